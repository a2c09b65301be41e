"""A group-buy afternoon: buyers who find each other, one who does not, one who pays late, and a coupon."""

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from cli.demo.books import Books
from cli.demo.client import Refused, Services

__all__ = ["Afternoon", "AfternoonPlayer"]

# Activities are planned on this wall clock.
PACIFIC = ZoneInfo("America/Los_Angeles")

SHOP, SOURCE = "vinyl-club", "cdnow"
FORMING_GROUPS = 4
# Long enough to open two groups in it on a busy machine, short enough to wait for its end.
FLASH_SECONDS = (6, 20, 60)
COUPON_POINTS = 25
SKUS: list[dict[str, Any]] = [
    {
        "sku": "LP-BLUE",
        "product_id": "LP",
        "title": "Blue vinyl",
        "normal_price_minor": 3999,
        "stock": 100,
    },
    {
        "sku": "LP-RED",
        "product_id": "LP",
        "title": "Red vinyl",
        "normal_price_minor": 4999,
        "stock": 100,
        "discount_percent": 30,
    },
]


@dataclass
class Afternoon:
    """What was done, as the storefront remembers it."""

    orders: dict[str, int] = field(default_factory=dict)
    refunded: dict[str, int] = field(default_factory=dict)
    groups_formed: int = 0
    groups_failed: int = 0
    points_redeemed: int = 0
    coupon: str = ""

    @property
    def revenue_minor(self) -> int:
        """Everything that was paid, whatever was paid back later."""
        return sum(self.orders.values())


class AfternoonPlayer:
    """Plays the afternoon through the APIs of the services, as a storefront and its buyers."""

    def __init__(self, services: Services, customers: list[str], books: Books) -> None:
        """`customers` are ids that the purchase history knows; ten are needed."""
        self._services = services
        self._books = books
        self._afternoon = Afternoon()
        self._customers = {self._member(customer): customer for customer in customers}
        self._members = list(self._customers)

    def play(self) -> Afternoon:
        """Play it to the end. Raises Refused or Stuck."""
        activity = self._activity("Vinyl afternoon", timedelta(days=1))
        pairs = [(self._members[2 * n], self._members[2 * n + 1]) for n in range(FORMING_GROUPS)]
        groups = [self._forming(activity, n, *pair) for n, pair in enumerate(pairs)]
        for group in groups:
            self._until_decided(group, "formed")
        self._afternoon.groups_formed = len(groups)
        self._flash(self._members[2 * FORMING_GROUPS], self._members[2 * FORMING_GROUPS + 1])
        self._answer_refunds()
        self._coupon(pairs[0][0])
        return self._afternoon

    def _member(self, customer: str) -> str:
        found = self._services.get("members", "/v1/members", source=SOURCE, external_id=customer)
        return str(found["items"][0]["member_id"])

    def _activity(self, name: str, length: timedelta) -> dict[str, Any]:
        now = datetime.now(UTC).replace(microsecond=0)
        local = [moment.astimezone(PACIFIC) for moment in (now, now + length)]
        body = {
            "name": name,
            "shop_id": SHOP,
            "starts_at_local": local[0].replace(tzinfo=None).isoformat(),
            "starts_at_fold": local[0].fold,
            "ends_at_local": local[1].replace(tzinfo=None).isoformat(),
            "ends_at_fold": local[1].fold,
            "group_size": 2,
            "discount_percent": 20,
            "currency": "USD",
            # A SKU is in one activity at a time, so each activity has its own.
            "skus": [
                {**sku, "sku": f"{sku['sku']}-{name.split()[0].upper()}{length.seconds}"} for sku in SKUS
            ],
        }
        activity: dict[str, Any] = self._services.post("campaigns", "/v1/activities", body)
        return activity

    def _forming(self, activity: dict[str, Any], number: int, first: str, second: str) -> str:
        """A group whose initiator pays and shares a link, through which another member joins and pays."""
        sku = activity["skus"][number % len(activity["skus"])]["sku"]
        seat = self._open(activity, sku, first)
        self._pay(seat, first, datetime.now(UTC))
        group = str(seat["group_id"])
        self._until_decided(group, "open")
        link = self._services.post(
            "campaigns", f"/v1/groups/{group}/links", {"sharer_id": first, "channel": "whatsapp"}
        )
        joined = self._services.post("campaigns", "/v1/seats", {"token": link["token"], "member_id": second})
        self._pay(joined, second, datetime.now(UTC))
        return group

    def _flash(self, alone: str, late: str) -> None:
        """An activity of a few seconds: one initiator finds nobody, the other pays after its end."""
        for seconds in FLASH_SECONDS:
            activity = self._activity("Flash sale", timedelta(seconds=seconds))
            try:
                seats = [
                    self._open(activity, sku["sku"], member)
                    for sku, member in zip(activity["skus"], (alone, late), strict=True)
                ]
            except Refused:
                # The machine was too busy to open two groups in that time.
                continue
            break
        else:
            raise Refused("no group could be opened in a flash sale")
        self._pay(seats[0], alone, datetime.now(UTC))
        ends_at = datetime.fromisoformat(activity["ends_at"])
        time.sleep(max(0.0, (ends_at - datetime.now(UTC)).total_seconds()))
        self._pay(seats[1], late, max(datetime.now(UTC), ends_at + timedelta(milliseconds=1)))
        for seat in seats:
            self._until_decided(str(seat["group_id"]), "failed")
        self._afternoon.groups_failed = len(seats)

    def _open(self, activity: dict[str, Any], sku: str, member: str) -> dict[str, Any]:
        body = {"activity_id": activity["activity_id"], "sku": sku, "member_id": member}
        seat: dict[str, Any] = self._services.post("campaigns", "/v1/groups", body)
        return seat

    def _until_decided(self, group: str, state: str) -> None:
        def reached() -> bool | None:
            found = self._services.get("campaigns", f"/v1/groups/{group}")
            return True if found["state"] == state else None

        self._services.until(f"group {group} to be {state}", reached)

    def _pay(self, seat: dict[str, Any], member: str, paid_at: datetime) -> None:
        """The storefront reports a paid order for a seat."""
        number = f"group-buy-{len(self._afternoon.orders) + 1}"
        customer = self._customers[member]
        moment = paid_at.isoformat()
        order = {
            "source": SOURCE,
            "shop_id": SHOP,
            "external_order_id": number,
            "external_customer_id": customer,
            "currency": seat["currency"],
            "placed_at": moment,
            "paid_at": moment,
            "payment_id": f"pay-{number}",
            "lines": [
                {
                    "sku": seat["sku"],
                    "quantity": seat["quantity"],
                    "unit_price_minor": seat["amount_minor"] // seat["quantity"],
                }
            ],
            "channel": "group-buy",
            "participation": {
                "activity_id": seat["activity_id"],
                "group_id": seat["group_id"],
                "seat_id": seat["seat_id"],
            },
        }
        self._services.post("members", "/v1/orders", order)
        self._afternoon.orders[number] = seat["amount_minor"]
        self._books.paid(customer, number, seat["amount_minor"], paid_at)

    def _answer_refunds(self) -> None:
        """The storefront pays back what campaigns asks for, with the key that makes it safe to repeat."""
        wanted = self._afternoon.groups_failed
        self._services.until(f"{wanted} refund requests", lambda: self._requests(wanted))
        for request in self._requests(wanted) or []:
            refund = {
                "source": request["source"],
                "shop_id": request["shop_id"],
                "external_order_id": request["external_order_id"],
                "refund_id": request["refund_key"],
                "refund_key": request["refund_key"],
                "refunded_at": datetime.now(UTC).isoformat(),
                "amount_minor": request["amount_minor"],
                "reason": request["reason"],
            }
            self._services.post("members", "/v1/refunds", refund)
            self._afternoon.refunded[request["external_order_id"]] = request["amount_minor"]
            self._books.refunded(request["external_order_id"], request["amount_minor"], datetime.now(UTC))
        self._services.until("the refunds to arrive", lambda: self._all_answered(wanted))

    def _requests(self, wanted: int) -> list[dict[str, Any]] | None:
        found: list[dict[str, Any]] = self._services.get("campaigns", "/v1/refund-requests", state="open")[
            "items"
        ]
        return found if len(found) >= wanted else None

    def _all_answered(self, wanted: int) -> bool | None:
        answered = self._services.get("campaigns", "/v1/summary")["refunds_answered"]
        return True if answered == wanted else None

    def _coupon(self, member: str) -> None:
        """A member spends points on a coupon, which campaigns then issues."""
        promotion = {"name": "5 dollars off", "kind": "amount", "amount_minor": 500, "currency": "USD"}
        promotion_id = self._services.post("campaigns", "/v1/promotions", promotion)["promotion_id"]
        reward = {
            "name": "5 dollars off",
            "kind": "coupon",
            "cost_points": COUPON_POINTS,
            "coupon": {"promotion_id": promotion_id},
        }
        answer = self._services.post("points", "/v1/rewards", reward)
        self._services.until("points to spend", lambda: self._may_spend(member))
        redemption = {"member_id": member, "reward_id": answer["reward_id"]}
        self._afternoon.points_redeemed = self._services.post("points", "/v1/redemptions", redemption)[
            "points"
        ]
        self._books.spent(self._customers[member], self._afternoon.points_redeemed, datetime.now(UTC))
        coupon = self._services.until("the coupon", lambda: self._first_coupon(member))
        self._afternoon.coupon = coupon["code"]

    def _may_spend(self, member: str) -> bool | None:
        balance = self._services.get("points", f"/v1/members/{member}/points")["available_points"]
        return True if balance >= COUPON_POINTS else None

    def _first_coupon(self, member: str) -> dict[str, Any] | None:
        found: list[dict[str, Any]] = self._services.get("campaigns", "/v1/coupons", member_id=member)[
            "items"
        ]
        return found[0] if found else None
