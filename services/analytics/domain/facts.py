"""What analytics keeps of an event, and what it refuses to believe."""

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final, NamedTuple
from uuid import UUID

__all__ = [
    "MAX_AMOUNT",
    "Alias",
    "Batch",
    "EventFact",
    "LineFact",
    "Match",
    "OrderFact",
    "OrderLine",
    "RefundFact",
    "Title",
    "impossible_amount",
    "impossible_time",
    "judged_at",
]

EARLIEST: Final = datetime(1970, 1, 1, tzinfo=UTC)
# Clocks of storefronts run ahead, and a day covers a local time that was sent as UTC.
FUTURE_TOLERANCE: Final = timedelta(days=1)
# One amount of 2⁶³ would make every later event of its day overflow and be refused. This leaves room for
# nine thousand such amounts in one sum, and is ten trillion dollars.
MAX_AMOUNT: Final = 10**15


class OrderFact(NamedTuple):
    """A paid order; amounts are minor units of `currency`."""

    order_id: UUID
    event_id: UUID
    member_id: UUID
    activity_id: UUID | None
    group_id: UUID | None
    occurred_at: datetime
    received_at: datetime
    total_minor: int
    shipping_minor: int
    discount_minor: int
    tax_minor: int
    units: int
    day: date
    source: str
    shop_id: str
    channel: str
    currency: str
    country: str | None
    campaign_ref: str | None


class LineFact(NamedTuple):
    """A line of a paid order."""

    order_id: UUID
    line_no: int
    quantity: int
    revenue_minor: int
    cost_minor: int | None
    product_id: str
    sku: str


class OrderLine(NamedTuple):
    """What a refund needs to know of a line that it gives back."""

    line_no: int
    product_id: str
    revenue_minor: int


class RefundFact(NamedTuple):
    """Money that went back; `lines` are [line_no, quantity, amount_minor]."""

    order_id: UUID
    refund_id: str
    event_id: UUID
    member_id: UUID
    occurred_at: datetime
    received_at: datetime
    amount_minor: int
    shipping_minor: int
    day: date
    source: str
    shop_id: str
    currency: str
    lines: list[list[int]]


class Match(NamedTuple):
    """A refund that has met its order: the refund's own day, and what it restates."""

    order_id: UUID
    refund_id: str
    amount_minor: int
    shipping_minor: int
    day: date
    source: str
    shop_id: str
    currency: str
    lines: list[list[int]]
    order_day: date
    order_shop_id: str
    order_total_minor: int
    channel: str
    activity_id: UUID | None


class EventFact(NamedTuple):
    """Anything else that happened; see the table of the same name."""

    kind: str
    fact_id: UUID
    event_id: UUID
    occurred_at: datetime
    received_at: datetime
    day: date
    member_id: UUID | None = None
    activity_id: UUID | None = None
    group_id: UUID | None = None
    order_id: UUID | None = None
    amount: int = 0
    label: str = ""
    currency: str = ""
    detail: dict[str, Any] | None = None


class Alias(NamedTuple):
    """A member id that became another's, or nobody's again; of an id the highest revision holds."""

    merged_id: UUID
    surviving_id: UUID | None
    revision: int
    merged_at: datetime
    event_id: UUID


class Title(NamedTuple):
    """What a product was sold as."""

    source: str
    product_id: str
    title: str
    sold_at: datetime


@dataclass(slots=True)
class Batch:
    """The facts of one batch of events; `origins` are the events' ids with who stated them, for the books."""

    orders: list[OrderFact] = field(default_factory=list)
    lines: list[LineFact] = field(default_factory=list)
    titles: list[Title] = field(default_factory=list)
    refunds: list[RefundFact] = field(default_factory=list)
    events: list[EventFact] = field(default_factory=list)
    aliases: list[Alias] = field(default_factory=list)
    origins: list[tuple[UUID, str]] = field(default_factory=list)


def judged_at(fact: EventFact) -> datetime:
    """When a change of stage was found out: it may have befallen long before, and be judged again later."""
    assert fact.detail is not None
    return datetime.fromisoformat(fact.detail["judged_at"])


def impossible_time(occurred_at: datetime, now: datetime) -> bool:
    """Whether nothing can have happened at that time: before 1970, or more than a day after `now`."""
    return not EARLIEST <= occurred_at <= now + FUTURE_TOLERANCE


def impossible_amount(amount: int) -> bool:
    """Whether an amount is so large that sums with it would leave 64 bits."""
    return not -MAX_AMOUNT <= amount <= MAX_AMOUNT
