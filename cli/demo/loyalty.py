"""Loyalty: each kind of reward is bought, an order ships for free, two members turn out to be one.

Coupons are bought in the afternoon, where campaigns has a promotion for them.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from cli.demo.books import Books
from cli.demo.client import Refused, Services
from cli.demo.purchases import tier

__all__ = ["Loyalty", "LoyaltyPlayer"]

SOURCE = "cdnow"
TOTE_POINTS, CARD_POINTS, SILVER_POINTS, SHIPPING_POINTS, DRAW_POINTS = 30, 20, 25, 15, 5
DRAWS_A_DAY = 3
PRICIEST_POINTS = 100


@dataclass
class Loyalty:
    """What was done."""

    redemptions: int = 0
    draws: int = 0
    merged: int = 0


class LoyaltyPlayer:
    """Plays through the APIs of the services, as a storefront and its members."""

    def __init__(self, services: Services, customers: list[str], books: Books) -> None:
        """`customers` are ids that the purchase history knows, of people who did nothing else yet."""
        self._services = services
        self._books = books
        self._loyalty = Loyalty()
        able = (each for each in customers if books.points_left(datetime.now(UTC), each) >= PRICIEST_POINTS)
        self._shopper, self._traveller, self._survivor, self._double = (next(able) for _ in range(4))
        # Whoever buys a tier must not have it yet.
        self._climber = next(each for each in able if tier(books.spend[each]) == "bronze")

    def play(self) -> Loyalty:
        """Play it to the end. Raises Refused or Stuck."""
        self._goods()
        self._tier()
        self._shipping()
        self._lottery()
        self._merge()
        return self._loyalty

    def _member(self, customer: str) -> str:
        found = self._services.get("members", "/v1/members", source=SOURCE, external_id=customer)
        return str(found["items"][0]["member_id"])

    def _reward(self, name: str, kind: str, cost_points: int, **terms: Any) -> str:
        body = {"name": name, "kind": kind, "cost_points": cost_points, **terms}
        return str(self._services.post("points", "/v1/rewards", body)["reward_id"])

    def _redeem(self, customer: str, reward: str, points: int) -> str:
        body = {"member_id": self._member(customer), "reward_id": reward}
        answer = self._services.post("points", "/v1/redemptions", body)
        self._spent(customer, points)
        return str(answer["redemption_id"])

    def _spent(self, customer: str, points: int) -> None:
        self._books.spent(customer, points, datetime.now(UTC))
        self._loyalty.redemptions += 1

    def _goods(self) -> None:
        """A bag goes all the way, a gift card with it; a second bag is called off and costs nothing."""
        bag = self._reward("Tote bag", "goods", TOTE_POINTS, goods={"sku": "TOTE"}, stock=2)
        card = self._reward("Birthday card", "gift", CARD_POINTS, gift={"sku": "CARD"})
        sent = self._redeem(self._shopper, bag, TOTE_POINTS)
        for step in ("packed", "shipped", "delivered"):
            self._services.post("points", "/v1/fulfilments", {"redemption_id": sent, "step": step})
        self._redeem(self._shopper, card, CARD_POINTS)
        body = {"member_id": self._member(self._shopper), "reward_id": bag}
        second = self._services.post("points", "/v1/redemptions", body)["redemption_id"]
        self._services.post("points", f"/v1/redemptions/{second}/cancel", {})

    def _tier(self) -> None:
        """A member buys a tier that orders would not have earned yet."""
        reward = self._reward("Silver", "tier_upgrade", SILVER_POINTS, tier_upgrade={"tier": "silver"})
        self._redeem(self._climber, reward, SILVER_POINTS)
        member = self._member(self._climber)

        def climbed() -> bool | None:
            return (
                True if self._services.get("members", f"/v1/members/{member}")["tier"] == "silver" else None
            )

        self._services.until("the bought tier", climbed)
        self._books.tier_bought(self._climber, "silver")

    def _shipping(self) -> None:
        """A standing choice makes one order ship for free; another is called off, and its points are back."""
        reward = self._reward("Free shipping", "free_shipping", SHIPPING_POINTS)
        member = self._member(self._traveller)
        self._services.put(
            "points", f"/v1/members/{member}/choices", {"free_shipping": {"reward_id": reward}}
        )
        kept, called_off = (self._placed(number) for number in ("postage-1", "postage-2"))
        for order in (kept, called_off):
            self._until_shipping(order, "applied")
        self._services.post(
            "members",
            "/v1/cancellations",
            {
                "source": SOURCE,
                "shop_id": SOURCE,
                "external_order_id": "postage-2",
                "cancelled_at": datetime.now(UTC).isoformat(),
            },
        )
        self._until_shipping(called_off, "cancelled")
        self._spent(self._traveller, SHIPPING_POINTS)

    def _placed(self, number: str) -> str:
        order = {
            "source": SOURCE,
            "shop_id": SOURCE,
            "external_order_id": number,
            "external_customer_id": self._traveller,
            "currency": "USD",
            "placed_at": datetime.now(UTC).isoformat(),
            "lines": [{"sku": "cd", "quantity": 1, "unit_price_minor": 1299}],
            "shipping_minor": 599,
        }
        return str(self._services.post("members", "/v1/orders", order)["order_id"])

    def _until_shipping(self, order: str, status: str) -> None:
        def decided() -> bool | None:
            benefit = self._services.get("points", f"/v1/orders/{order}/benefits")["free_shipping"]
            return True if benefit is not None and benefit["status"] == status else None

        self._services.until(f"free shipping to be {status}", decided)

    def _lottery(self) -> None:
        """Draws up to the daily limit; one more is refused."""
        prize = self._reward("Poster", "gift", CARD_POINTS, gift={"sku": "POSTER"})
        lottery = self._reward(
            "Wheel",
            "lottery",
            DRAW_POINTS,
            per_period={"period": "day", "limit": DRAWS_A_DAY},
            lottery={
                "prizes": [
                    {"name": "Nothing", "kind": "nothing", "weight": 1},
                    {"name": "Poster", "kind": "reward", "reward_id": prize, "weight": 1},
                ]
            },
        )
        draw = {"member_id": self._member(self._shopper), "lottery_id": lottery, "client_nonce": "demo"}
        for _ in range(DRAWS_A_DAY):
            self._services.post("points", "/v1/draws", draw)
            self._books.spent(self._shopper, DRAW_POINTS, datetime.now(UTC))
            self._loyalty.draws += 1
        try:
            self._services.post("points", "/v1/draws", draw)
        except Refused as refused:
            if "daily_limit_reached" not in str(refused):
                raise
        else:
            raise Refused("a draw beyond the daily limit went through")

    def _merge(self) -> None:
        """Two customers turn out to be one person, who has the points of both."""
        survivor, double = self._member(self._survivor), self._member(self._double)
        self._services.post("members", "/v1/members/merges", {"surviving_id": survivor, "merged_id": double})
        self._books.merged(self._survivor, self._double)
        points = self._books.points_left(datetime.now(UTC), self._survivor)

        def one_purse() -> bool | None:
            shown = [
                self._services.get("points", f"/v1/members/{member}/points")["available_points"]
                for member in (survivor, double)
            ]
            return True if shown == [points, points] else None

        self._services.until("the points of both", one_purse)
        self._loyalty.merged += 1
