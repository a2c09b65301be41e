"""Asking members and points about one member."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import httpx

from cli.answers import reason_of, silence_of

__all__ = ["Found", "MemberUnknown", "Unanswered", "find", "read"]

REQUEST_TIMEOUT_SECONDS = 15.0
ENTRIES_SHOWN = 10
ORDERS_NAMED = 50


class Unanswered(Exception):
    """A service could not be asked, or refused to answer; the message says which and why."""


class MemberUnknown(Exception):
    """There is no such member; the message says who was looked for."""


@dataclass(frozen=True)
class Found:
    """What is known of a member; without an answer from points `points` is None, `points_missing` is why.

    `orders` are those that entries may be about: the latest, or more where these do not name them all.
    """

    member: dict[str, Any]
    points: dict[str, Any] | None
    entries: list[dict[str, Any]]
    points_missing: str | None = None
    orders: list[dict[str, Any]] = field(default_factory=list)

    def facts(self) -> dict[str, Any]:
        """Everything, as `--json` prints it."""
        return {
            "member": self.member,
            "points": self.points,
            "entries": None if self.points is None else self.entries,
        }


def read(urls: Mapping[str, str], key: str, name: str) -> Found:
    """Read a member by id, or by SOURCE:EXTERNAL_ID. Raises MemberUnknown and Unanswered.

    Points may be away: then the rest is still worth seeing.
    """
    with _client(key) as client:
        member = _ask(client, urls, "members", f"/v1/members/{_id_of(client, urls, name)}")
        if member is None:
            raise MemberUnknown(f"There is no member {name}.")
        path = f"/v1/members/{member['member_id']}"
        try:
            points = _ask(client, urls, "points", f"{path}/points")
            page = _ask(client, urls, "points", f"{path}/entries", limit=ENTRIES_SHOWN)
        except Unanswered as reason:
            return Found(member, None, [], str(reason))
        entries = page["items"] if page else []
        orders = member["recent_orders"]
        if {entry.get("order_id") for entry in entries} - {None, *(order["order_id"] for order in orders)}:
            earlier = _ask(client, urls, "members", f"{path}/orders", limit=ORDERS_NAMED)
            orders = earlier["items"] if earlier else orders
    return Found(member, points, entries, orders=orders)


def find(urls: Mapping[str, str], key: str, words: str) -> list[dict[str, Any]]:
    """Return members whom any source knows by these words, or who proved that address theirs."""
    with _client(key) as client:
        page = _ask(client, urls, "members", "/v1/members", q=words)
    found: list[dict[str, Any]] = page["items"] if page else []
    return found


def _id_of(client: httpx.Client, urls: Mapping[str, str], name: str) -> UUID:
    try:
        return UUID(name)
    except ValueError:
        source, colon, external_id = name.partition(":")
    if not (source and colon and external_id):
        raise MemberUnknown(
            f"{name!r} is neither a member id nor SOURCE:EXTERNAL_ID; to look for one, add `find`."
        )
    page = _ask(client, urls, "members", "/v1/members", source=source, external_id=external_id)
    if not page or not page["items"]:
        raise MemberUnknown(f"There is no member {name}.")
    return UUID(page["items"][0]["member_id"])


def _client(key: str) -> httpx.Client:
    return httpx.Client(headers={"Authorization": f"Bearer {key}"}, timeout=REQUEST_TIMEOUT_SECONDS)


def _ask(
    client: httpx.Client, urls: Mapping[str, str], service: str, path: str, **query: Any
) -> dict[str, Any] | None:
    """The answer to a GET, decoded; None if there is nothing under that path. Raises Unanswered."""
    try:
        answer = client.get(f"{urls[service]}{path}", params=query)
    except httpx.TransportError as error:
        raise Unanswered(f"{service} does not answer: {silence_of(error, urls[service])}") from error
    if answer.status_code == 404:
        return None
    if answer.is_error:
        raise Unanswered(f"{service} answered HTTP {answer.status_code}: {reason_of(answer)}")
    decoded: dict[str, Any] = answer.json()
    return decoded
