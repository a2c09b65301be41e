"""Members who hold, spend, draw lots, return, give away and turn out to be one person.

Each does one thing with the points of one order, so that what must be left of them is known whatever else
happens meanwhile. Every request is repeated under its key until it is answered, and each answer is kept.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from cli.platform.platform import Platform
from shared.testing import eventually
from tests.chaos.insisting import INSIST_SECONDS, insist
from tests.chaos.storefront import Books

__all__ = ["Catalogue", "Shop", "Shopper"]

# Two such orders together reach no tier, so that merging sends no mail. One earns 99 points.
CENTS = 9_900
POINTS = 99

LAPSE_SECONDS = 3
DRAWS_EACH = 5
PRIZES = 8


@dataclass
class Answered:
    """A request that was answered, and what was said."""

    service: str
    path: str
    body: Any
    key: str
    answer: httpx.Response


@dataclass(frozen=True)
class Catalogue:
    """The rewards that are on offer, by what becomes of them."""

    coupon: str
    coupon_of_the_past: str
    lottery: str


@dataclass
class Shop:
    """The services as shoppers see them; everything that was answered is kept in `said`."""

    platform: Platform
    clients: dict[str, httpx.AsyncClient]
    said: list[Answered] = field(default_factory=list)
    troubles: Counter[str] = field(default_factory=Counter)

    @classmethod
    @asynccontextmanager
    async def of(cls, platform: Platform) -> AsyncIterator["Shop"]:
        """The platform's services, until the end of the block."""
        headers = {"Authorization": f"Bearer {platform.key}"}
        clients = {
            service: httpx.AsyncClient(base_url=url, headers=headers, timeout=30)
            for service, url in platform.urls.items()
        }
        try:
            yield cls(platform, clients)
        finally:
            for client in clients.values():
                await client.aclose()

    async def ask(self, service: str, path: str, body: Any, key: str) -> Any:
        """Insist on an answer, keep it and return its document."""
        answer = await insist(self.clients[service], path, body, key, self.troubles)
        self.said.append(Answered(service, path, body, key, answer))
        return answer.json()

    async def look(self, service: str, path: str, **query: Any) -> Any:
        """What a service shows, as soon as it answers."""

        async def attempt() -> Any:
            try:
                answer = await self.clients[service].get(path, params=query)
            except httpx.TransportError:
                return None
            if answer.status_code == 503:
                return None
            answer.raise_for_status()
            return answer.json()

        return await eventually(attempt, deadline_seconds=INSIST_SECONDS, poll_seconds=0.1)

    async def until(self, service: str, path: str, name: str, value: object) -> None:
        """Wait until what a service shows has that value."""

        async def there() -> bool:
            shown = (await self.look(service, path))[name]
            assert shown == value, (path, shown)
            return True

        await eventually(there, deadline_seconds=INSIST_SECONDS, poll_seconds=0.1)

    async def points(self, member_id: str) -> Any:
        """A member's points."""
        return await self.look("points", f"/v1/members/{member_id}/points")

    async def catalogue(self, name: str) -> Catalogue:
        """Offer coupons of a promotion that goes on and of one that is over, and a lottery."""

        async def promotion(reference: str, **terms: Any) -> str:
            body = {"name": reference, "reference": reference, "kind": "percentage", "percent": 10, **terms}
            made = await self.ask("campaigns", "/v1/promotions", body, reference)
            return str(made["promotion_id"])

        async def reward(title: str, kind: str, cost_points: int, **terms: Any) -> str:
            body = {"name": title, "kind": kind, "cost_points": cost_points, **terms}
            return str((await self.ask("points", "/v1/rewards", body, f"{name}-{title}"))["reward_id"])

        going = await promotion(f"{name}-going")
        over = await promotion(f"{name}-over", ends_at="2026-01-01T00:00:00Z")
        poster = await reward("Poster", "gift", 30, gift={"sku": "POSTER"})
        prizes = [
            {"name": "Nothing", "kind": "nothing", "weight": 1},
            {"name": "Poster", "kind": "reward", "reward_id": poster, "weight": 1, "stock": PRIZES},
        ]
        return Catalogue(
            await reward("Coupon", "coupon", 25, coupon={"promotion_id": going}),
            await reward("Late coupon", "coupon", 25, coupon={"promotion_id": over}),
            await reward("Wheel", "lottery", 5, lottery={"prizes": prizes}),
        )


@dataclass
class Shopper:
    """A customer with one order, who does one thing; the methods do it and return what must be left."""

    shop: Shop
    books: Books
    catalogue: Catalogue
    customer: str
    member_id: str = ""
    asked: int = 0

    async def ask(self, service: str, path: str, body: Any) -> Any:
        """Ask under a key of this shopper's."""
        self.asked += 1
        return await self.shop.ask(service, path, body, f"{self.customer}-{self.asked}")

    async def hold(self, points: int, **terms: Any) -> str:
        """Have points held; the path of the hold."""
        held = await self.ask("points", "/v1/holds", {"member_id": self.member_id, "points": points, **terms})
        return f"/v1/holds/{held['hold_id']}"

    async def redeem(self, reward_id: str, status: str) -> None:
        """Buy a reward that another service delivers, and wait for what it says."""
        body = {"member_id": self.member_id, "reward_id": reward_id}
        redeemed = await self.ask("points", "/v1/redemptions", body)
        await self.shop.until("points", f"/v1/redemptions/{redeemed['redemption_id']}", "status", status)

    async def refund(self, cents: int) -> None:
        """Send goods back."""
        await self.ask(
            "members",
            "/v1/refunds",
            {
                "source": "shop",
                "shop_id": "main",
                "external_order_id": self.customer,
                "refund_id": "r1",
                "refunded_at": datetime.now(UTC).isoformat(),
                "amount_minor": cents,
            },
        )
        self.books.refunded_minor += cents
        self.books.spend[self.customer] -= cents

    async def captures_a_part(self) -> int:
        """Hold, and spend less than that."""
        hold = await self.hold(60)
        await self.ask("points", f"{hold}/capture", {"points": 40})
        self.books.spent_points += 40
        return POINTS - 40

    async def voids(self) -> int:
        """Hold, and think better of it."""
        await self.ask("points", f"{await self.hold(50)}/void", {})
        return POINTS

    async def lets_a_hold_lapse(self) -> int:
        """Hold for a moment, and forget about it. Asked too late, ask anew."""
        hold = None
        while hold is None:
            until = datetime.now(UTC) + timedelta(seconds=LAPSE_SECONDS)
            try:
                hold = await self.hold(50, expires_at=until.isoformat())
            except RuntimeError as refused:
                if "hold_in_the_past" not in str(refused):
                    raise
        await self.shop.until("points", hold, "status", "expired")
        return POINTS

    async def buys_a_coupon(self) -> int:
        """Hold, grant, capture, with campaigns answering over the bus."""
        await self.redeem(self.catalogue.coupon, "granted")
        self.books.spent_points += 25
        return POINTS - 25

    async def is_declined_a_coupon(self) -> int:
        """The promotion is over: campaigns says so, and the points are back."""
        await self.redeem(self.catalogue.coupon_of_the_past, "declined")
        return POINTS

    async def draws_lots(self) -> int:
        """Draw, several times."""
        for number in range(DRAWS_EACH):
            body = {
                "member_id": self.member_id,
                "lottery_id": self.catalogue.lottery,
                "client_nonce": f"{number}",
            }
            await self.ask("points", "/v1/draws", body)
        self.books.spent_points += 5 * DRAWS_EACH
        return POINTS - 5 * DRAWS_EACH

    async def returns_a_part(self) -> int:
        """50 of 99 dollars go back: 49 points stay."""
        await self.refund(5_000)
        self.books.clawed_back_points += 50
        return 49

    async def returns_what_was_spent(self) -> int:
        """All points are spent, then everything goes back: they are owed."""
        await self.ask("points", f"{await self.hold(POINTS)}/capture", {})
        await self.refund(CENTS)
        self.books.spent_points += POINTS
        self.books.clawed_back_points += POINTS
        self.books.debt_points += POINTS
        return 0

    async def gives_away(self, other: "Shopper") -> int:
        """Give points to another; what the two have together is the same."""
        body = {"from_id": self.member_id, "to_id": other.member_id, "points": 20, "reason": "A present"}
        await self.ask("points", "/v1/transfers", body)
        return 2 * POINTS

    async def merges(self, other: "Shopper") -> int:
        """Be one person with another while both hold and spend; what the two have together."""
        mine, theirs = await asyncio.gather(self.hold(30), other.hold(20))
        await self.ask("members", "/v1/members/merges", self._pair(other))
        await asyncio.gather(
            self.ask("points", f"{mine}/capture", {}),
            other.ask("points", f"{theirs}/void", {}),
            other.redeem(self.catalogue.coupon, "granted"),
        )
        self.books.spent_points += 30 + 25
        return 2 * POINTS - 30 - 25

    async def merges_for_good(self, other: "Shopper") -> int:
        """The two stay one person."""
        left = await self.merges(other)
        self.books.merge(self.customer, other.customer)
        return left

    async def merges_and_parts(self, other: "Shopper") -> int:
        """It was a mistake."""
        left = await self.merges(other)
        await self.ask("members", "/v1/members/unmerges", self._pair(other))
        return left

    def _pair(self, other: "Shopper") -> dict[str, str]:
        return {"surviving_id": self.member_id, "merged_id": other.member_id}
