"""Tables of analytics: facts, which are never changed, and summaries, which are sums of facts.

A fact's primary key is its natural key, unique for ever, and that is why the fact tables are not partitioned
by month: PostgreSQL keeps a key unique across partitions only if it contains the month, and an event said
again with another time would then be counted twice. A second table of keys would double the writing.

Every transaction that writes here goes through the tables in one order (`operations.ingest`) and through
each in the order of its key, so that two of them wait for each other and never deadlock.
"""

from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Date,
    DateTime,
    Index,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from shared.database import new_metadata
from shared.platform_tables import add_platform_tables

__all__ = [
    "Base",
    "CampaignCount",
    "CampaignSales",
    "DailyCount",
    "DailyProduct",
    "DailySales",
    "EventFact",
    "IngestDay",
    "MemberAlias",
    "MemberSales",
    "MemberTier",
    "OrderFact",
    "OrderLineFact",
    "ProductTitle",
    "RefundAllocation",
    "RefundFact",
]

CLOCK = text("clock_timestamp()")


class Base(DeclarativeBase):
    """The tables of analytics, beside those that every service has."""

    metadata = new_metadata()


add_platform_tables(Base.metadata)


def _key(kind: Any) -> Any:
    return mapped_column(kind, primary_key=True, autoincrement=False)


def _instant(**options: Any) -> Any:
    return mapped_column(DateTime(timezone=True), **options)


def _stored_at() -> Any:
    return _instant(nullable=False, server_default=CLOCK)


def _sum() -> Any:
    return mapped_column(BigInteger, nullable=False, server_default="0")


def _revision() -> Any:
    return mapped_column(BigInteger, nullable=False, server_default="1")


class OrderFact(Base):
    """A paid order. `received_at` is when the platform took the payment in, `day` the shop's local day."""

    __tablename__ = "order_facts"
    __table_args__ = (
        Index("ix_order_facts_activity_id", "activity_id", postgresql_where=text("activity_id IS NOT NULL")),
        Index("ix_order_facts_day", "day", postgresql_using="brin"),
        CheckConstraint("total_minor >= 0", name="total_not_negative"),
    )

    order_id: Mapped[UUID] = _key(Uuid)
    event_id: Mapped[UUID] = mapped_column(Uuid)
    member_id: Mapped[UUID] = mapped_column(Uuid)
    activity_id: Mapped[UUID | None] = mapped_column(Uuid)
    group_id: Mapped[UUID | None] = mapped_column(Uuid)
    occurred_at: Mapped[datetime] = _instant(nullable=False)
    received_at: Mapped[datetime] = _instant(nullable=False)
    stored_at: Mapped[datetime] = _stored_at()
    total_minor: Mapped[int] = mapped_column(BigInteger)
    shipping_minor: Mapped[int] = mapped_column(BigInteger)
    discount_minor: Mapped[int] = mapped_column(BigInteger)
    tax_minor: Mapped[int] = mapped_column(BigInteger)
    units: Mapped[int] = mapped_column(BigInteger)
    day: Mapped[date] = mapped_column(Date)
    source: Mapped[str] = mapped_column(Text)
    shop_id: Mapped[str] = mapped_column(Text)
    channel: Mapped[str] = mapped_column(Text)
    currency: Mapped[str] = mapped_column(Text)
    country: Mapped[str | None] = mapped_column(Text)
    campaign_ref: Mapped[str | None] = mapped_column(Text)


class OrderLineFact(Base):
    """A line of a paid order; `revenue_minor` is its share of what was paid for goods."""

    __tablename__ = "order_line_facts"

    order_id: Mapped[UUID] = _key(Uuid)
    line_no: Mapped[int] = _key(BigInteger)
    quantity: Mapped[int] = mapped_column(BigInteger)
    revenue_minor: Mapped[int] = mapped_column(BigInteger)
    cost_minor: Mapped[int | None] = mapped_column(BigInteger)
    product_id: Mapped[str] = mapped_column(Text)
    sku: Mapped[str] = mapped_column(Text)


class RefundFact(Base):
    """Money that went back; `matched` once its order is known, whose day and products it restates."""

    __tablename__ = "refund_facts"
    __table_args__ = (
        Index("ix_refund_facts_waiting", "order_id", postgresql_where=text("NOT matched")),
        Index("ix_refund_facts_day", "day", postgresql_using="brin"),
        CheckConstraint("amount_minor >= 0", name="amount_not_negative"),
    )

    order_id: Mapped[UUID] = _key(Uuid)
    refund_id: Mapped[str] = _key(Text)
    event_id: Mapped[UUID] = mapped_column(Uuid)
    member_id: Mapped[UUID] = mapped_column(Uuid)
    occurred_at: Mapped[datetime] = _instant(nullable=False)
    received_at: Mapped[datetime] = _instant(nullable=False)
    stored_at: Mapped[datetime] = _stored_at()
    amount_minor: Mapped[int] = mapped_column(BigInteger)
    shipping_minor: Mapped[int] = mapped_column(BigInteger)
    day: Mapped[date] = mapped_column(Date)
    matched: Mapped[bool] = mapped_column(Boolean, nullable=False, server_default=text("false"))
    source: Mapped[str] = mapped_column(Text)
    shop_id: Mapped[str] = mapped_column(Text)
    currency: Mapped[str] = mapped_column(Text)
    lines: Mapped[Any] = mapped_column(JSONB, nullable=False)


class EventFact(Base):
    """Anything else that happened: points, groups, links, messages, coupons, members, tiers.

    `amount` is points where `currency` is empty, else minor units. `label` is what the kind is told apart by:
    a tier, a channel, a reason. `detail` keeps what later questions ask, such as a link's generation.
    """

    __tablename__ = "event_facts"
    __table_args__ = (
        Index(
            "ix_event_facts_refund_requests",
            "order_id",
            postgresql_where=text("kind = 'refund.requested'"),
        ),
        Index("ix_event_facts_day", "day", postgresql_using="brin"),
    )

    kind: Mapped[str] = _key(Text)
    fact_id: Mapped[UUID] = _key(Uuid)
    event_id: Mapped[UUID] = mapped_column(Uuid)
    member_id: Mapped[UUID | None] = mapped_column(Uuid)
    activity_id: Mapped[UUID | None] = mapped_column(Uuid)
    group_id: Mapped[UUID | None] = mapped_column(Uuid)
    order_id: Mapped[UUID | None] = mapped_column(Uuid)
    occurred_at: Mapped[datetime] = _instant(nullable=False)
    received_at: Mapped[datetime] = _instant(nullable=False)
    stored_at: Mapped[datetime] = _stored_at()
    amount: Mapped[int] = mapped_column(BigInteger)
    day: Mapped[date] = mapped_column(Date)
    label: Mapped[str] = mapped_column(Text)
    currency: Mapped[str] = mapped_column(Text)
    detail: Mapped[Any | None] = mapped_column(JSONB(none_as_null=True))


class MemberAlias(Base):
    """A member id that turned out to be another member's, or, without a survivor, is its own again.

    The view `member_identities` follows the chains. A row stays, so that old news is known for what it is.
    """

    __tablename__ = "member_aliases"
    __table_args__ = (Index(None, "surviving_id"),)

    merged_id: Mapped[UUID] = _key(Uuid)
    surviving_id: Mapped[UUID | None] = mapped_column(Uuid)
    revision: Mapped[int] = mapped_column(BigInteger, nullable=False, server_default="0")
    merged_at: Mapped[datetime] = _instant(nullable=False)
    event_id: Mapped[UUID] = mapped_column(Uuid)


class MemberSales(Base):
    """What one member id bought in one currency; its row is locked before an order meets its refunds."""

    __tablename__ = "member_sales"

    member_id: Mapped[UUID] = _key(Uuid)
    currency: Mapped[str] = _key(Text)
    orders: Mapped[int] = _sum()
    units: Mapped[int] = _sum()
    revenue_minor: Mapped[int] = _sum()
    refunded_minor: Mapped[int] = _sum()
    first_order_at: Mapped[datetime | None] = _instant()
    last_order_at: Mapped[datetime | None] = _instant()
    revision: Mapped[int] = _revision()
    updated_at: Mapped[datetime] = _stored_at()


class RefundAllocation(Base):
    """The products that a matched refund gave back; an empty product is postage and what names no line."""

    __tablename__ = "refund_allocations"

    order_id: Mapped[UUID] = _key(Uuid)
    refund_id: Mapped[str] = _key(Text)
    product_id: Mapped[str] = _key(Text)
    amount_minor: Mapped[int] = mapped_column(BigInteger)


class MemberTier(Base):
    """The tier that a member holds, by the latest change."""

    __tablename__ = "member_tiers"

    member_id: Mapped[UUID] = _key(Uuid)
    tier: Mapped[str] = mapped_column(Text)
    changed_at: Mapped[datetime] = _instant(nullable=False)
    event_id: Mapped[UUID] = mapped_column(Uuid)


class MemberStage(Base):
    """The lifecycle stage that a member is in, by the latest judgement; others never left the first."""

    __tablename__ = "member_stages"

    member_id: Mapped[UUID] = _key(Uuid)
    stage: Mapped[str] = mapped_column(Text)
    judged_at: Mapped[datetime] = _instant(nullable=False)
    event_id: Mapped[UUID] = mapped_column(Uuid)


class ProductTitle(Base):
    """What a product was last sold as."""

    __tablename__ = "product_titles"

    source: Mapped[str] = _key(Text)
    product_id: Mapped[str] = _key(Text)
    title: Mapped[str] = mapped_column(Text)
    sold_at: Mapped[datetime] = _instant(nullable=False)


class DailySales(Base):
    """Sales of a shop's local day by channel and currency.

    `refunded_minor` is the accounting view, on the refund's day; `cohort_refunded_minor` restates the day of
    the order. A channel that is not known is empty.
    """

    __tablename__ = "daily_sales"

    day: Mapped[date] = _key(Date)
    source: Mapped[str] = _key(Text)
    shop_id: Mapped[str] = _key(Text)
    channel: Mapped[str] = _key(Text)
    currency: Mapped[str] = _key(Text)
    orders: Mapped[int] = _sum()
    units: Mapped[int] = _sum()
    revenue_minor: Mapped[int] = _sum()
    shipping_minor: Mapped[int] = _sum()
    discount_minor: Mapped[int] = _sum()
    tax_minor: Mapped[int] = _sum()
    refunds: Mapped[int] = _sum()
    refunded_minor: Mapped[int] = _sum()
    cohort_refunded_minor: Mapped[int] = _sum()
    revision: Mapped[int] = _revision()
    updated_at: Mapped[datetime] = _stored_at()


class DailyProduct(Base):
    """Sales of a day by product; the empty product holds postage, so that products add up to the total."""

    __tablename__ = "daily_products"

    day: Mapped[date] = _key(Date)
    source: Mapped[str] = _key(Text)
    product_id: Mapped[str] = _key(Text)
    currency: Mapped[str] = _key(Text)
    orders: Mapped[int] = _sum()
    units: Mapped[int] = _sum()
    revenue_minor: Mapped[int] = _sum()
    refunded_minor: Mapped[int] = _sum()
    cohort_refunded_minor: Mapped[int] = _sum()
    revision: Mapped[int] = _revision()
    updated_at: Mapped[datetime] = _stored_at()


class DailyCount(Base):
    """How often a kind of event happened on a day, and the sum of its amounts."""

    __tablename__ = "daily_counts"

    day: Mapped[date] = _key(Date)
    kind: Mapped[str] = _key(Text)
    label: Mapped[str] = _key(Text)
    currency: Mapped[str] = _key(Text)
    occurrences: Mapped[int] = _sum()
    amount: Mapped[int] = _sum()
    revision: Mapped[int] = _revision()
    updated_at: Mapped[datetime] = _stored_at()


class CampaignCount(Base):
    """How often a kind of event happened for an activity: the steps of its funnel."""

    __tablename__ = "campaign_counts"

    activity_id: Mapped[UUID] = _key(Uuid)
    kind: Mapped[str] = _key(Text)
    label: Mapped[str] = _key(Text)
    occurrences: Mapped[int] = _sum()
    revision: Mapped[int] = _revision()
    updated_at: Mapped[datetime] = _stored_at()


class CampaignSales(Base):
    """Orders that paid for a seat of an activity, and what of it went back."""

    __tablename__ = "campaign_sales"

    activity_id: Mapped[UUID] = _key(Uuid)
    currency: Mapped[str] = _key(Text)
    orders: Mapped[int] = _sum()
    units: Mapped[int] = _sum()
    revenue_minor: Mapped[int] = _sum()
    refunded_minor: Mapped[int] = _sum()
    revision: Mapped[int] = _revision()
    updated_at: Mapped[datetime] = _stored_at()


class IngestDay(Base):
    """What arrived on a UTC day from a source; what was rejected is counted from the dead letters."""

    __tablename__ = "ingest_days"

    received_on: Mapped[date] = _key(Date)
    source: Mapped[str] = _key(Text)
    stored: Mapped[int] = _sum()
    duplicate: Mapped[int] = _sum()
    updated_at: Mapped[datetime] = _stored_at()
