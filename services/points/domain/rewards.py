"""Rewards: what points buy, when, for whom, and what becomes of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID
from zoneinfo import ZoneInfo

from shared.clock import day_bounds

COUPON: Final = "coupon"
TIER_UPGRADE: Final = "tier_upgrade"
FREE_SHIPPING: Final = "free_shipping"
GOODS: Final = "goods"
GIFT: Final = "gift"
LOTTERY: Final = "lottery"

# Another service delivers these and says whether it could; until then the redemption is pending.
DELIVERED_ELSEWHERE: Final = frozenset({COUPON, TIER_UPGRADE})
# Somebody packs these.
FULFILLED_BY_HAND: Final = frozenset({GOODS, GIFT})
# What a lottery may give away beside points: everything that needs neither an order nor another draw.
PRIZES: Final = frozenset({COUPON, TIER_UPGRADE, GOODS, GIFT})

PENDING: Final = "pending"
GRANTED: Final = "granted"
DECLINED: Final = "declined"
CANCELLED: Final = "cancelled"
# What counts against a member's limits: points that came back bought nothing.
COUNTED: Final = frozenset({PENDING, GRANTED})

REQUESTED: Final = "requested"
# The way of goods, one step after the other; a step may be passed over, and there is no way back.
FULFILMENT_STEPS: Final = (REQUESTED, "packed", "shipped", "delivered")
# As long as they have not left the house, goods can be called off.
CANCELLABLE_STEPS: Final = frozenset({REQUESTED, "packed"})


@dataclass(slots=True)
class Reward:
    """A reward of the catalogue; `stock` is what is left of it, None if that is no matter.

    `reference` is what to deliver: the promotion of a coupon, the level of a tier upgrade, the SKU of goods.
    `per_member_limit` is for ever, `period_limit` within a `period` of the program's calendar. `tiers` are
    the levels that may redeem it, None for everybody.
    """

    id: UUID
    name: str
    kind: str
    cost_points: int
    reference: str | None
    stock: int | None
    per_member_limit: int | None
    starts_at: datetime | None
    ends_at: datetime | None
    retired_at: datetime | None
    cost_minor: int | None
    cost_currency: str | None
    period: str | None = None
    period_limit: int | None = None
    tiers: Sequence[str] | None = None
    # Goods: how long after the redemption the member may still change their mind, if nothing is packed.
    cancel_hours: int | None = None
    # Free shipping: the dearest postage that it covers.
    max_shipping_minor: int | None = None
    max_shipping_currency: str | None = None
    # Lotteries: how long one server seed is used.
    round_hours: int | None = None

    def is_available(self, now: datetime) -> bool:
        """Say whether it can be redeemed at `now`: from its start on, until before its end."""
        if self.retired_at is not None:
            return False
        if self.starts_at is not None and now < self.starts_at:
            return False
        return self.ends_at is None or now < self.ends_at

    def is_for(self, tier: str | None) -> bool:
        """Say whether a member of this tier may redeem it."""
        return self.tiers is None or tier in self.tiers

    def covers(self, shipping_minor: int, currency: str) -> bool:
        """Say whether this free shipping pays for such postage; a bound is in its own currency only."""
        if self.max_shipping_minor is None:
            return True
        return currency == self.max_shipping_currency and shipping_minor <= self.max_shipping_minor

    def first_status(self) -> str:
        """Return what a redemption of it begins with."""
        return PENDING if self.kind in DELIVERED_ELSEWHERE else GRANTED

    def first_step(self) -> str | None:
        """Return where its fulfilment begins, None if there is nothing to pack."""
        return REQUESTED if self.kind in FULFILLED_BY_HAND else None


def may_cancel(reward: Reward, fulfilment: str | None, redeemed_at: datetime, now: datetime) -> bool:
    """Say whether the member may still call the redemption off: goods, until packed and in time.

    A coupon may have been used and a tier enjoyed; a draw has happened; free shipping ends with its order.
    """
    if fulfilment != REQUESTED:
        return False
    return reward.cancel_hours is None or now < redeemed_at + timedelta(hours=reward.cancel_hours)


def may_advance(step: str, to: str) -> bool:
    """Say whether goods at `step` can go on to `to`, or be called off."""
    if to == CANCELLED:
        return step in CANCELLABLE_STEPS
    if step not in FULFILMENT_STEPS:
        return False
    return FULFILMENT_STEPS.index(to) > FULFILMENT_STEPS.index(step)


def period_start(period: str, now: datetime, zone: ZoneInfo) -> datetime:
    """Return when the day, week or month that `now` lies in began on the wall clock of `zone`.

    Weeks begin on Monday. A day of 23 or 25 hours is a day.
    """
    today = now.astimezone(zone).date()
    first = {
        "day": today,
        "week": today - timedelta(days=today.weekday()),
        "month": today.replace(day=1),
    }[period]
    return day_bounds(first, zone)[0]
