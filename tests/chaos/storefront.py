"""A storefront that sends orders and does not let go until each batch is answered."""

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import msgspec

from cli.platform.platform import Platform
from shared.bus import Outgoing
from tests.chaos.insisting import insist

__all__ = ["Books", "Load", "Storefront", "order", "submitted"]

BATCH_ORDERS = 50
CONNECTIONS = 6
ORDERS_PER_CUSTOMER = 4

# The tiers that a new installation has, by spend in cents.
LEVELS = (("platinum", 150_000), ("gold", 50_000), ("silver", 20_000), ("bronze", 0))


def order(number: str, customer: str, cents: int, paid_at: datetime, **fields: Any) -> dict[str, Any]:
    """A paid order of one line, whose customer may be written to."""
    moment = paid_at.isoformat()
    return {
        "source": "shop",
        "shop_id": "main",
        "external_order_id": number,
        "external_customer_id": customer,
        "contact_points": [
            {
                "channel": "email",
                "address": f"{customer}@example.test",
                "verified": True,
                "consents": [{"purpose": "service", "granted": True}],
            }
        ],
        "currency": "USD",
        "placed_at": moment,
        "paid_at": moment,
        "lines": [{"sku": "tea", "quantity": 1, "unit_price_minor": cents}],
        **fields,
    }


def submitted(document: dict[str, Any] | bytes) -> Outgoing:
    """An order on the bus, from a plain producer that sets no headers; bytes are sent as they are."""
    if isinstance(document, bytes):
        return Outgoing(topic="storefront.orders", key="?", value=document)
    key = str(document["external_order_id"])
    return Outgoing(topic="storefront.orders", key=key, value=msgspec.json.encode(document))


@dataclass
class Books:
    """What was handed over, and so what the services must come to."""

    orders: int = 0
    revenue_minor: int = 0
    points: int = 0
    refunded_minor: int = 0
    spent_points: int = 0
    clawed_back_points: int = 0
    debt_points: int = 0
    aliases: int = 0
    spend: Counter[str] = field(default_factory=Counter)

    def enter(self, orders: Sequence[dict[str, Any]]) -> None:
        """Count orders that are sent for the first time."""
        for one in orders:
            cents = one["lines"][0]["unit_price_minor"]
            self.orders += 1
            self.revenue_minor += cents
            self.points += cents // 100
            self.spend[one["external_customer_id"]] += cents

    def merge(self, surviving: str, merged: str) -> None:
        """Two customers are one person from now on."""
        self.spend[surviving] += self.spend.pop(merged)
        self.aliases += 1

    @property
    def points_to_spend(self) -> int:
        """What members have left: debt is what was clawed back though it was spent already."""
        return self.points - self.spent_points - self.clawed_back_points + self.debt_points

    @property
    def tiers(self) -> dict[str, int]:
        """Members by the tier that their spend reaches."""
        reached = (next(name for name, least in LEVELS if cents >= least) for cents in self.spend.values())
        return dict(Counter(reached))


class Load:
    """Orders of customers of their own, sent over several connections at once."""

    def __init__(self, name: str, orders: int | list[dict[str, Any]]) -> None:
        """`name` makes customers and orders distinct from those of other loads, and their amounts the same
        on every run; a number of orders stands for as many of any kind."""
        self.orders = _sundry(name, orders) if isinstance(orders, int) else orders
        self.batches = [
            (f"{name}-{start}", self.orders[start : start + BATCH_ORDERS])
            for start in range(0, len(self.orders), BATCH_ORDERS)
        ]


def _sundry(name: str, orders: int) -> list[dict[str, Any]]:
    chance = random.Random(name)
    now = datetime.now(UTC)
    return [
        order(
            f"{name}-{number}",
            f"{name}-{chance.randrange(orders // ORDERS_PER_CUSTOMER)}",
            chance.choice([0, 99, 100, 1_999, 2_500, 7_250, chance.randrange(30_000)]),
            now - timedelta(minutes=chance.randrange(200_000)),
        )
        for number in range(orders)
    ]


class Storefront:
    """Sends orders to members over HTTP, and repeats what was not answered with the same key."""

    def __init__(self, platform: Platform, books: Books) -> None:
        self._url = platform.urls["members"]
        self._key = platform.key
        self._books = books
        self.accepted = 0
        self.troubles: Counter[str] = Counter()

    async def send(self, load: Load, *, meanwhile: Callable[[float], None] = lambda share: None) -> None:
        """Hand a load over; `meanwhile` is told after every batch what share of it has been answered.

        Every order must be accepted, and exactly once: a batch whose answer was lost is answered again from
        its key, so nothing ever comes out as known before.
        """
        self._books.enter(load.orders)
        waiting = list(reversed(load.batches))
        answered = 0
        headers = {"Authorization": f"Bearer {self._key}"}
        async with httpx.AsyncClient(base_url=self._url, headers=headers, timeout=30) as client:

            async def clerk() -> None:
                nonlocal answered
                while waiting:
                    key, orders = waiting.pop()
                    answer = (await insist(client, "/v1/orders", orders, key, self.troubles)).json()
                    refused = [item for item in answer["results"] if item["status"] == "refused"]
                    assert (answer["accepted"], answer["unchanged"]) == (len(orders), 0), refused[:3]
                    self.accepted += answer["accepted"]
                    answered += 1
                    meanwhile(answered / len(load.batches))

            async with asyncio.TaskGroup() as clerks:
                for _ in range(CONNECTIONS):
                    clerks.create_task(clerk())
