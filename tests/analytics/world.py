"""A small world of events, made from numbers, so that a test says only what matters to it."""

import random
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import text

from services.analytics.handlers import handlers
from services.analytics.repository.verification import SUMMARIES
from shared.database import Database
from shared.events import (
    CouponIssued,
    CouponRedeemed,
    Envelope,
    Event,
    GroupExpired,
    GroupFormed,
    GroupJoined,
    GroupOpened,
    LinkShared,
    LinkVisited,
    MemberCreated,
    MemberStageChanged,
    MemberTierDowngraded,
    MemberTierUpgraded,
    MessageDelivered,
    MessageSent,
    OrderCancelled,
    OrderLine,
    OrderPaid,
    OrderRefunded,
    Participation,
    PointsCaptured,
    PointsClawedBack,
    PointsEarned,
    PointsExpired,
    PointsRedeemed,
    PointsReturned,
    RefundLine,
    RefundRequested,
    decode,
)
from shared.ids import derived_id

START = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)
ACTIVITY = derived_id("activity", "1")
CHANNELS = ("instagram", "email", None)
CURRENCIES = ("USD", "USD", "EUR", "JPY")


def of(kind: str, number: int) -> UUID:
    """The same id for the same number, every time."""
    return derived_id(kind, str(number))


def envelope(event: Event, *, event_id: UUID | None = None, source: str | None = None) -> Envelope[Event]:
    """The event as the consumer hands it over, with an id that follows from what it says."""
    return Envelope(
        id=event_id or derived_id("event", repr(event)),
        type=event.type,
        source=source or event.stated_by[0],
        time=START,
        key=event.key,
        data=event,
    )


def paid(number: int, **changes: Any) -> OrderPaid:
    """A paid order of two lines, one of them discounted; `changes` replace fields."""
    lines = [
        OrderLine(
            line_no=1,
            sku=f"SKU-{number % 5}",
            product_id=f"P-{number % 5}",
            title=f"Tea no. {number % 5}",
            quantity=1 + number % 3,
            unit_price_minor=1000 + 7 * number,
            unit_cost_minor=400,
        ),
        OrderLine(
            line_no=2,
            sku="SKU-X",
            product_id="P-X",
            quantity=1,
            unit_price_minor=999,
            discount_minor=99,
        ),
    ]
    goods = sum(line.quantity * line.unit_price_minor - line.discount_minor for line in lines)
    at = START + timedelta(hours=7 * number)
    values: dict[str, Any] = {
        "order_id": of("order", number),
        "member_id": of("member", number % 7),
        "source": "amazon",
        "shop_id": f"shop-{number % 2}",
        "external_order_id": str(number),
        "currency": CURRENCIES[number % 4],
        # A third of the orders has a discount on the whole, which its lines do not show.
        "total_minor": goods + 499 - (150 if number % 3 == 0 else 0),
        "shipping_minor": 499,
        "placed_at": at,
        "paid_at": at,
        "channel": CHANNELS[number % 3],
        "participation": seat(number) if number % 4 == 0 else None,
        "lines": lines,
    }
    return OrderPaid(**values | changes)


def seat(number: int) -> Participation:
    """A seat of the one activity."""
    return Participation(activity_id=ACTIVITY, group_id=of("group", number // 8), seat_id=of("seat", number))


def refunded(number: int, amount_minor: int = 700, **changes: Any) -> OrderRefunded:
    """A refund of order `number`, five days later, without lines."""
    order = paid(number)
    values: dict[str, Any] = {
        "order_id": order.order_id,
        "member_id": order.member_id,
        "source": order.source,
        "shop_id": order.shop_id,
        "external_order_id": order.external_order_id,
        "refund_id": f"r-{number}-{amount_minor}",
        "refunded_at": order.paid_at + timedelta(days=5),
        "currency": order.currency,
        "amount_minor": amount_minor,
        "complete": False,
    }
    return OrderRefunded(**values | changes)


def points(number: int) -> list[Event]:
    """A member's points: earned, clawed back, redeemed, captured out of a hold, returned in part, expired."""
    at = START + timedelta(hours=5 * number)
    common: dict[str, Any] = {"member_id": of("member", number % 7), "balance_points": 0}
    return [
        PointsEarned(
            entry_id=of("earned", number),
            points=20 + number,
            reason="order",
            rule_version=1,
            earned_at=at,
            **common,
        ),
        PointsClawedBack(
            entry_id=of("clawed", number),
            order_id=of("order", number),
            refund_id="r",
            points=3,
            clawed_back_at=at,
            **common,
        ),
        PointsRedeemed(
            redemption_id=of("redemption", number),
            reward_id=of("reward", 1),
            reward_kind="coupon",
            points=5,
            redeemed_at=at,
            **common,
        ),
        PointsCaptured(
            hold_id=of("hold", number),
            entry_id=of("captured", number),
            points=4,
            reason="checkout",
            captured_at=at,
            **common,
        ),
        PointsReturned(
            entry_id=of("returned", number),
            reversed_entry_id=of("captured", number),
            points=1,
            reason="order_refunded",
            returned_at=at,
            **common,
        ),
        PointsExpired(entry_id=of("expired", number), points=2, lots=1, expired_at=at, **common),
    ]


def campaign(number: int) -> list[Event]:
    """A group of the activity: links, seats, its end, and a refund that was asked for."""
    at = START + timedelta(hours=number)
    group: dict[str, Any] = {"activity_id": ACTIVITY, "group_id": of("group", number)}
    order = paid(8 * number)
    joined = [
        GroupJoined(
            seat_id=of("seat", 8 * number + place),
            member_id=of("member", place),
            seat_no=1 + place,
            paid_at=at,
            order_id=of("order", 8 * number + place),
            generation=place,
            **group,
        )
        for place in (0, 1)
    ]
    ending: Event = (
        GroupFormed(member_ids=[of("member", 0)], order_ids=[of("order", number)], formed_at=at, **group)
        if number % 2
        else GroupExpired(
            member_ids=[of("member", 0)],
            order_ids=[of("order", number)],
            missing_seats=1,
            expired_at=at,
            **group,
        )
    )
    return [
        GroupOpened(
            shop_id="shop-0",
            sku="SKU-0",
            group_size=2,
            initiator_id=of("member", 0),
            opened_at=at,
            deadline_at=at + timedelta(days=1),
            price_minor=900,
            currency="USD",
            **group,
        ),
        LinkShared(link_id=of("link", number), channel="whatsapp", at=at, **group),
        LinkVisited(link_id=of("link", number), at=at + timedelta(minutes=1), **group),
        LinkVisited(link_id=of("link", number), at=at + timedelta(minutes=2), is_bot=True, **group),
        *joined,
        ending,
        RefundRequested(
            refund_key=f"refund-{number}",
            order_id=order.order_id,
            member_id=order.member_id,
            source=order.source,
            shop_id=order.shop_id,
            external_order_id=order.external_order_id,
            amount_minor=order.total_minor,
            currency=order.currency,
            reason="group_expired",
            requested_at=at,
        ),
    ]


def member_life(number: int) -> list[Event]:
    """A member who joins, rises, falls, is written to, gets a coupon, uses it, and calls an order off."""
    member: dict[str, Any] = {"member_id": of("member", number)}
    message: dict[str, Any] = member | {
        "message_id": of("message", number),
        "channel": "email",
        "purpose": "service",
        "template": "welcome",
        "trigger": "member.tier_upgraded",
    }
    coupon: dict[str, Any] = member | {
        "coupon_id": of("coupon", number),
        "code": f"C{number}",
        "promotion_id": of("promotion", 1),
    }
    at = START + timedelta(hours=number)
    hour = timedelta(hours=1)
    return [
        MemberCreated(source="amazon", external_id=str(number), created_at=at, **member),
        MemberTierUpgraded(to_tier="silver", changed_at=at + hour, reason="spend", **member),
        MemberTierUpgraded(
            from_tier="silver", to_tier="gold", changed_at=at + 2 * hour, reason="spend", **member
        ),
        MemberTierDowngraded(
            from_tier="gold", to_tier="silver", changed_at=at + 3 * hour, reason="refund", **member
        ),
        *(
            MemberStageChanged(
                from_stage=before,
                to_stage=after,
                # Found out in another order than it befell in.
                changed_at=at - hours * hour,
                judged_at=at + hours * hour,
                reason="purchase",
                purchases=3,
                recency_days=1,
                expected_interval_days=30,
                **member,
            )
            for hours, (before, after) in enumerate(
                [("identification", "development"), ("development", "stability"), ("stability", "decline")]
            )
        ),
        MessageSent(sent_at=at, cost_minor=2, currency="USD", **message),
        MessageDelivered(delivered_at=at, **message),
        CouponIssued(issued_at=at, **coupon),
        CouponRedeemed(
            order_id=of("order", number), discount_minor=100, currency="USD", redeemed_at=at, **coupon
        ),
        OrderCancelled(
            order_id=of("order", 1000 + number),
            source="amazon",
            shop_id="shop-0",
            external_order_id=str(1000 + number),
            cancelled_at=at,
            **member,
        ),
    ]


def history(size: int = 24) -> list[Envelope[Event]]:
    """Everything that can happen, `size` orders of it; refunds with lines, without, several, too large."""
    events: list[Event] = [paid(number) for number in range(size)]
    events += [refunded(number) for number in range(0, size, 3)]
    events += [refunded(number, 50, shipping_minor=50) for number in range(0, size, 6)]
    events += [
        refunded(
            number,
            300 + number,
            lines=[
                RefundLine(line_no=1, quantity=1, amount_minor=250),
                RefundLine(line_no=2, quantity=0, amount_minor=40),
            ],
        )
        for number in range(1, size, 5)
    ]
    # Of an order that analytics never hears of.
    events.append(refunded(size + 100))
    for number in range(size // 8):
        events += campaign(number)
    for number in range(size // 3):
        events += points(number)
    for number in range(7):
        events += member_life(number)
    events += frozen_examples()
    return [envelope(event) for event in events]


def frozen_examples() -> list[Event]:
    """The frozen example of every event that analytics hears."""
    folder = Path(__file__).parents[1] / "contracts" / "examples"
    return [
        decode(event_type, 1, (folder / f"{event_type}.v1.json").read_bytes())
        for event_type in sorted(handlers.by_type)
    ]


def shuffled(events: Sequence[Envelope[Event]], seed: int) -> list[Envelope[Event]]:
    """The events in an order that the seed decides."""
    mixed = list(events)
    random.Random(seed).shuffle(mixed)
    return mixed


async def hear(database: Database, events: Iterable[Envelope[Event]], batch: int = 1000) -> None:
    """Hand the events to the handlers past the inbox, so that only natural keys keep them apart."""
    waiting = list(events)
    for start in range(0, len(waiting), batch):
        async with database.transaction() as session:
            await handlers.dispatch(session, waiting[start : start + batch])


async def summaries(database: Database) -> dict[str, list[tuple[Any, ...]]]:
    """Every summary as it is kept, without revisions, times of storing and rows of zeros."""
    found = {}
    async with database.reading() as session:
        for table, (_query, keys, sums) in SUMMARIES.items():
            rows = await session.execute(
                text(f"SELECT {keys}{', ' if sums else ''}{sums} FROM {table} ORDER BY {keys}")
            )
            key_count = len(keys.split(","))
            found[table] = [tuple(row) for row in rows if not sums or any(row[key_count:])]
    return found
