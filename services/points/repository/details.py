"""What an earn entry remembers of its order: the facts that rules may ask for, and why it earned what it did.

Written as compact JSON, since every order has one: what is absent, zero or empty is left out, and lines are
rows. The facts serve refunds by line, explanations, and trials of other rules.
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import msgspec

from services.points.domain.earning import Judgement, Parts
from services.points.domain.facts import MemberFacts, PaidOrder
from services.points.domain.orders import Grant, LineFacts, OrderFacts, Seat


class LineDetail(msgspec.Struct, array_like=True):
    """A line, as a row."""

    line_no: int
    sku: str
    product_id: str
    category: str | None
    quantity: int
    unit_price_minor: int
    discount_minor: int
    tax_minor: int


class OrderDetail(msgspec.Struct, omit_defaults=True):
    """What the columns of an entry do not say of its order."""

    source: str
    shop_id: str
    lines: list[LineDetail] = []
    shipping_minor: int = 0
    discount_minor: int = 0
    tax_minor: int = 0
    redeemed_minor: int = 0
    placed_at: datetime | None = None
    channel: str | None = None
    campaign_ref: str | None = None
    country: str | None = None
    coupon_codes: list[str] = []
    activity_id: UUID | None = None
    group_id: UUID | None = None


class MemberDetail(msgspec.Struct, omit_defaults=True):
    """What the rules were told of the member."""

    tier: str | None = None
    tier_percent: int | None = None
    first_order: bool = False
    birthday_starts_at: datetime | None = None
    birthday_ends_at: datetime | None = None
    tags: Collection[str] = ()
    groups: Collection[str] = ()


class RulesDetail(msgspec.Struct, omit_defaults=True):
    """What a rule set made of the order.

    `lines`, `rest` and `bonuses` are the points granted; `uncapped_points` what there was before `cuts`.
    """

    lines: list[int] = []
    rest: int = 0
    bonuses: list[tuple[str, int]] = []
    factors: list[tuple[str, str]] = []
    excluded: list[int] = []
    basis_minor: int | None = None
    exchange_rate: str | None = None
    uncapped_points: int | None = None
    cuts: list[tuple[str, int, int]] = []
    nothing: str | None = None
    member: MemberDetail | None = None


class EarnDetail(msgspec.Struct, omit_defaults=True):
    """The detail of an earn entry."""

    order: OrderDetail
    rules: RulesDetail | None = None


_DECODER = msgspec.json.Decoder(EarnDetail)


class EntryColumns(NamedTuple):
    """What the columns of an earn entry say of its order."""

    order_id: UUID
    currency: str
    total_minor: int
    paid_at: datetime


def detail_of(order: PaidOrder, rules: RulesDetail | None = None) -> EarnDetail:
    """Return what to remember of an order."""
    seat = order.participation
    return EarnDetail(
        OrderDetail(
            order.source,
            order.shop_id,
            [
                LineDetail(
                    line.line_no,
                    line.sku,
                    line.product_id,
                    line.category,
                    line.quantity,
                    line.unit_price_minor,
                    line.discount_minor,
                    line.tax_minor,
                )
                for line in order.lines
            ],
            order.shipping_minor,
            order.discount_minor,
            order.tax_minor,
            order.redeemed_minor,
            order.placed_at if order.placed_at != order.paid_at else None,
            order.channel,
            order.campaign_ref,
            order.country,
            list(order.coupon_codes),
            seat.activity_id if seat is not None else None,
            seat.group_id if seat is not None else None,
        ),
        rules,
    )


def rules_detail(
    judged: Judgement, parts: Parts, cuts: Sequence[tuple[str, int, int]], member: MemberFacts
) -> RulesDetail:
    """Return what to remember of a judgement; `parts` are what the caps left of it."""
    return RulesDetail(
        lines=list(parts.lines),
        rest=parts.rest,
        bonuses=list(zip(judged.bonuses, parts.bonuses, strict=True)),
        factors=list(judged.factors),
        excluded=list(judged.excluded),
        basis_minor=judged.basis_minor,
        exchange_rate=judged.exchange_rate,
        uncapped_points=judged.parts.total if cuts else None,
        cuts=list(cuts),
        nothing=judged.why_nothing,
        member=MemberDetail(*member) if any(member) else None,
    )


def read_detail(written: str) -> EarnDetail:
    """Read a detail back; fields of a later release are passed over."""
    return _DECODER.decode(written)


def facts_of(detail: EarnDetail, entry: EntryColumns) -> OrderFacts:
    """Return the order as rules ask of it."""
    order = detail.order
    seat = None
    if order.activity_id is not None and order.group_id is not None:
        seat = Seat(order.activity_id, order.group_id)
    return OrderFacts(
        order_id=entry.order_id,
        source=order.source,
        shop_id=order.shop_id,
        currency=entry.currency,
        total_minor=entry.total_minor,
        paid_at=entry.paid_at,
        placed_at=order.placed_at or entry.paid_at,
        shipping_minor=order.shipping_minor,
        discount_minor=order.discount_minor,
        tax_minor=order.tax_minor,
        redeemed_minor=order.redeemed_minor,
        channel=order.channel,
        campaign_ref=order.campaign_ref,
        country=order.country,
        coupon_codes=tuple(order.coupon_codes),
        participation=seat,
        lines=tuple(
            LineFacts(
                line.line_no,
                line.sku,
                line.product_id,
                line.category,
                line.quantity,
                line.unit_price_minor,
                line.discount_minor,
                line.tax_minor,
            )
            for line in order.lines
        ),
    )


def member_of(detail: MemberDetail | None) -> MemberFacts:
    """Return what the rules were told of the member."""
    if detail is None:
        return MemberFacts()
    return MemberFacts(
        detail.tier,
        detail.tier_percent,
        detail.first_order,
        detail.birthday_starts_at,
        detail.birthday_ends_at,
        detail.tags,
        detail.groups,
    )


def grant_of(written: str | None, entry: EntryColumns) -> Grant | None:
    """Return what a rule set granted part by part, or None if points were a matter of the total alone."""
    if written is None:
        return None
    detail = read_detail(written)
    rules = detail.rules
    if rules is None:
        return None
    return Grant(
        facts_of(detail, entry),
        member_of(rules.member),
        Parts(tuple(rules.lines), rules.rest, tuple(points for _, points in rules.bonuses)),
        tuple(name for name, _ in rules.bonuses),
    )


def shown(written: str | None) -> dict[str, Any] | None:
    """Return a detail as plain JSON."""
    return None if written is None else msgspec.json.decode(written)
