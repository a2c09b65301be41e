"""What an order is, what may be said about it twice, and what it adds up to.

What is made once per order of a batch is a named tuple: as immutable as a frozen dataclass, and made in a
third of the time.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import Enum
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

__all__ = [
    "Cancellation",
    "ContactPoint",
    "Delivery",
    "IncomingOrder",
    "KnownOrder",
    "Line",
    "OrderKey",
    "Refund",
    "RefundedLine",
    "Verdict",
    "cancelled_at",
    "delivered_at",
    "refunded_at",
    "says_the_same",
    "state_of",
    "total_of",
    "verdict",
]

OrderKey = tuple[str, str, str]
"""(source, shop, external order id): what names an order outside, for ever."""


class Line(NamedTuple):
    """One line of an order; amounts in minor units, discount and tax for the whole line."""

    line_no: int
    sku: str
    product_id: str
    title: str | None
    category: str | None
    quantity: int
    unit_price_minor: int
    discount_minor: int
    tax_minor: int
    unit_cost_minor: int | None


class ContactPoint(NamedTuple):
    """An address that came with an order, and what the customer agreed to on that channel."""

    channel: str
    address: str
    verified: bool
    # (purpose, granted, hash of the wording, when it was said)
    consents: Sequence[tuple[str, bool, str | None, datetime]] = ()


class IncomingOrder(NamedTuple):
    """An order as a storefront states it. `content` is the hash of all that may never change."""

    key: OrderKey
    external_customer_id: str
    currency: str
    placed_at: datetime
    paid_at: datetime | None
    payment_id: str | None
    lines: Sequence[Line]
    shipping_minor: int
    discount_minor: int
    redeemed_minor: int
    total_minor: int
    stated_total_minor: int | None
    channel: str | None
    campaign_ref: str | None
    country: str | None
    coupon_codes: Sequence[str]
    participation: Mapping[str, UUID] | None
    attributes: Mapping[str, Any]
    contact_points: Sequence[ContactPoint]
    content: bytes


@dataclass(slots=True)
class KnownOrder:
    """An order as it is stored, with what may still change."""

    id: UUID
    member_id: UUID
    key: OrderKey
    currency: str
    total_minor: int
    placed_at: datetime
    paid_at: datetime | None
    payment_id: str | None
    cancelled_at: datetime | None
    refunded_minor: int
    participation: Mapping[str, Any] | None
    content: bytes

    @property
    def spend_minor(self) -> int:
        """What the order adds to its member's spend: what was paid and neither refunded nor called off."""
        if self.paid_at is None or self.cancelled_at is not None:
            return 0
        return self.total_minor - self.refunded_minor


@dataclass(frozen=True, slots=True)
class RefundedLine:
    """The part of a line that was refunded."""

    line_no: int
    quantity: int
    amount_minor: int


@dataclass(frozen=True, slots=True)
class Refund:
    """A refund as a storefront states it."""

    key: OrderKey
    refund_id: str
    refunded_at: datetime
    amount_minor: int
    shipping_minor: int
    lines: Sequence[RefundedLine] = field(default_factory=tuple)
    reason: str | None = None
    refund_key: str | None = None
    # The order's, if it is not said.
    currency: str | None = None

    @property
    def name(self) -> tuple[str, str, str, str]:
        """What names a refund outside, for ever: its order and its own id."""
        return (*self.key, self.refund_id)


@dataclass(frozen=True, slots=True)
class Cancellation:
    """A cancellation as a storefront states it."""

    key: OrderKey
    cancelled_at: datetime
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Delivery:
    """That an order reached its customer whole, as a storefront states it."""

    key: OrderKey
    delivered_at: datetime


Return = TypeVar("Return", Refund, Cancellation)


def says_the_same(known: Return, stated: Return) -> bool:
    """Say whether a repeated refund or cancellation repeats what is known.

    A reason that is not known is none to contradict: it is forgotten when the order's customer is erased.
    Neither is a currency that one of them does not say.
    """
    if known.reason is None:
        stated = replace(stated, reason=None)
    if isinstance(known, Refund) and isinstance(stated, Refund) and None in (known.currency, stated.currency):
        return replace(known, currency=None) == replace(stated, currency=None)
    return known == stated


def cancelled_at(order: KnownOrder, cancellation: Cancellation) -> datetime:
    """When a cancellation counts: as stated, but not before its order was placed.

    The clocks of a marketplace differ, and an export that knows days only dates everything to their midnight.
    That an order was called off is a fact nevertheless; only it cannot have been before there was one.
    """
    return max(cancellation.cancelled_at, order.placed_at)


def refunded_at(order: KnownOrder, refund: Refund) -> datetime:
    """When a refund of a paid order counts: as stated, but not before the order was placed and paid."""
    return max(refund.refunded_at, order.placed_at, order.paid_at or order.placed_at)


def delivered_at(order: KnownOrder, delivery: Delivery) -> datetime:
    """When a delivery counts: as stated, but not before its order was placed."""
    return max(delivery.delivered_at, order.placed_at)


class Verdict(Enum):
    """What a statement about a known order amounts to."""

    UNCHANGED = "unchanged"
    PAY = "pay"
    CONFLICT = "conflict"


def total_of(lines: Sequence[Line], shipping_minor: int, discount_minor: int) -> int:
    """What the customer pays: Σ(quantity · unit price − line discount) + shipping − discount."""
    goods = sum(line.quantity * line.unit_price_minor - line.discount_minor for line in lines)
    return goods + shipping_minor - discount_minor


def verdict(known: KnownOrder, order: IncomingOrder) -> Verdict:
    """Judge a repeated order. The same is unchanged, a first payment pays, everything else contradicts.

    A statement without a payment about a paid order is old news and no contradiction. Of an order whose
    customer was erased nothing is kept that could be contradicted.
    """
    if known.content and known.content != order.content:
        return Verdict.CONFLICT
    if order.paid_at is None:
        return Verdict.UNCHANGED
    if known.paid_at is None:
        return Verdict.PAY
    other_payment = None not in (known.payment_id, order.payment_id) and known.payment_id != order.payment_id
    if known.paid_at != order.paid_at or other_payment:
        return Verdict.CONFLICT
    return Verdict.UNCHANGED


def state_of(order: KnownOrder) -> str:
    """The order's state: cancelled before refunded (in whole) before paid before placed."""
    if order.cancelled_at is not None:
        return "cancelled"
    if order.paid_at is None:
        return "placed"
    if order.refunded_minor and order.refunded_minor == order.total_minor:
        return "refunded"
    return "paid"
