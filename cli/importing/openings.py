"""Opening balances: points know members by their ids only, files often by what a shop calls them.

A row names its member by `member_id`, or by `customer_source` and `external_customer_id`; the latter are
looked up at members before the batch goes to points, each customer once.
"""

import asyncio
from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Any

import msgspec

from cli.importing.sender import Sender

__all__ = ["OpeningSender"]

# Look-ups under way at once: enough to hide the way there and back, few enough to be no burden.
LOOK_UPS = 16

_Customer = tuple[str, str]
_Answers = dict[int, dict[str, Any]]


class OpeningSender(Sender):
    """Posts openings to points, with the ids of their members."""

    def __init__(
        self,
        url: str,
        key: str,
        *,
        members_url: str,
        patience_seconds: float,
        waiting: Callable[[str], None] = lambda reason: None,
    ) -> None:
        super().__init__(url, key, service="points", patience_seconds=patience_seconds, waiting=waiting)
        self._members = Sender(members_url, key, patience_seconds=patience_seconds, waiting=waiting)
        self._known: dict[_Customer, str | None] = {}
        self._turn = asyncio.Semaphore(LOOK_UPS)

    async def close(self) -> None:
        """Close the connections to both services."""
        await self._members.close()
        await super().close()

    async def post(self, route: str, documents: Sequence[Any], idempotency_key: str) -> list[dict[str, Any]]:
        """The result of each opening, in order; one whose customer nobody knows is refused here."""
        await self._look_up({customer for each in documents if (customer := _customer(each)) is not None})
        answers: _Answers = {}
        ready: dict[int, Any] = {}
        for index, document in enumerate(documents):
            customer = _customer(document)
            member_id = None if customer is None else self._known[customer]
            if customer is not None and member_id is None:
                answers[index] = _unknown(customer)
                continue
            ready[index] = _with_member(document, member_id)
        if ready:
            # Who was unknown when an import was cut off may be known now: then it is another request.
            content = sha256(msgspec.json.encode(list(ready.values()))).hexdigest()[:16]
            posted = await super().post(route, list(ready.values()), f"{idempotency_key}-{content}")
            answers |= dict(zip(ready, posted, strict=True))
        return [answers[index] for index in range(len(documents))]

    async def _look_up(self, customers: set[_Customer]) -> None:
        new = sorted(customers - self._known.keys())
        found = await asyncio.gather(*(self._member_of(customer) for customer in new))
        self._known |= dict(zip(new, found, strict=True))

    async def _member_of(self, customer: _Customer) -> str | None:
        source, external_id = customer
        async with self._turn:
            page = await self._members.get("/v1/members", {"source": source, "external_id": external_id})
        items = page["items"]
        return str(items[0]["member_id"]) if items else None


def _customer(document: Any) -> _Customer | None:
    """Whom a document names by what a source calls them; None if it names a member, or nobody."""
    if not isinstance(document, dict) or document.get("member_id"):
        return None
    source, external_id = document.get("customer_source"), document.get("external_customer_id")
    return (source, external_id) if isinstance(source, str) and isinstance(external_id, str) else None


def _with_member(document: Any, member_id: str | None) -> Any:
    if not isinstance(document, dict):
        return document
    hidden = ("customer_source", "external_customer_id")
    named = {name: value for name, value in document.items() if name not in hidden}
    return named if member_id is None else named | {"member_id": member_id}


def _unknown(customer: _Customer) -> dict[str, Any]:
    source, external_id = customer
    return {
        "status": "refused",
        "problem": {
            "code": "member_not_found",
            "detail": f"members knows nobody whom {source} calls {external_id}; import their orders first",
        },
    }
