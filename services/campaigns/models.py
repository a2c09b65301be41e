"""Tables of campaigns and the constraints that stand behind its rules."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    DateTime,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    SmallInteger,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import TIMESTAMP, TSTZRANGE, ExcludeConstraint, Range
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from shared.database import new_metadata
from shared.platform_tables import add_platform_tables


class Base(DeclarativeBase):
    """Declarative base that carries the tables every service has."""

    metadata = new_metadata()


add_platform_tables(Base.metadata)

LIVE = "state IN ('held', 'paid', 'confirmed')"
UNDECIDED = "state IN ('pending', 'open', 'closing')"


class Activity(Base):
    """A group-buy activity. Whether it is active is computed from the clock, never stored."""

    __tablename__ = "activities"
    __table_args__ = (
        CheckConstraint("char_length(name) BETWEEN 1 AND 32", name="name_length"),
        CheckConstraint("starts_at < ends_at AND starts_at_local < ends_at_local", name="starts_before_end"),
        CheckConstraint("ends_at_local <= starts_at_local + interval '180 days'", name="at_most_180_days"),
        CheckConstraint("group_size BETWEEN 2 AND 100", name="group_size"),
        CheckConstraint("discount_percent BETWEEN 5 AND 99", name="discount_percent"),
        Index(
            "ix_activities_unannounced_end",
            "ends_at",
            postgresql_where=text("ended_at IS NULL AND cancelled_at IS NULL"),
        ),
    )

    activity_id: Mapped[UUID] = mapped_column(primary_key=True)
    shop_id: Mapped[str] = mapped_column(Text)
    name: Mapped[str] = mapped_column(Text)
    currency: Mapped[str] = mapped_column(Text)
    time_zone: Mapped[str] = mapped_column(Text)
    starts_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    ends_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    starts_at_local: Mapped[datetime] = mapped_column(TIMESTAMP(timezone=False))
    ends_at_local: Mapped[datetime] = mapped_column(TIMESTAMP(timezone=False))
    group_size: Mapped[int] = mapped_column(SmallInteger)
    discount_percent: Mapped[int] = mapped_column(SmallInteger)
    units_per_order: Mapped[int | None] = mapped_column(BigInteger)
    units_per_member: Mapped[int | None] = mapped_column(BigInteger)
    groups_per_member: Mapped[int | None] = mapped_column(BigInteger)
    minimum_remaining_seconds: Mapped[int] = mapped_column(BigInteger)
    checkout_url: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    cancelled_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    cancel_reason: Mapped[str | None] = mapped_column(Text)
    # When `activity.ended` was said; the end itself is `ends_at`.
    ended_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


class ActivitySku(Base):
    """A SKU on offer in an activity, with its price and a stock apart from the normal one."""

    __tablename__ = "activity_skus"
    __table_args__ = (
        CheckConstraint("normal_price_minor >= 1", name="normal_price"),
        CheckConstraint("price_minor BETWEEN 1 AND normal_price_minor", name="price"),
        CheckConstraint("discount_percent BETWEEN 5 AND 99", name="discount_percent"),
        CheckConstraint("stock_left BETWEEN 0 AND stock", name="stock_left"),
    )

    activity_id: Mapped[UUID] = mapped_column(ForeignKey("activities.activity_id"), primary_key=True)
    sku: Mapped[str] = mapped_column(Text, primary_key=True)
    product_id: Mapped[str] = mapped_column(Text)
    title: Mapped[str] = mapped_column(Text)
    normal_price_minor: Mapped[int] = mapped_column(BigInteger)
    discount_percent: Mapped[int] = mapped_column(SmallInteger)
    price_minor: Mapped[int] = mapped_column(BigInteger)
    stock: Mapped[int] = mapped_column(BigInteger)
    stock_left: Mapped[int] = mapped_column(BigInteger)


class Alias(Base):
    """That a member id is another's, or, without a survivor, is its own again; the highest revision holds."""

    __tablename__ = "aliases"
    __table_args__ = (Index("ix_aliases_surviving_id", "surviving_id"),)

    merged_id: Mapped[UUID] = mapped_column(primary_key=True)
    surviving_id: Mapped[UUID | None] = mapped_column()
    revision: Mapped[int] = mapped_column(BigInteger)


class SkuLock(Base):
    """A SKU belongs to one promotion at a time: two that overlap cannot both be written."""

    __tablename__ = "sku_locks"
    __table_args__ = (
        ExcludeConstraint(
            ("shop_id", "="), ("sku", "="), ("during", "&&"), using="gist", name="ex_sku_locks_one_promotion"
        ),
    )

    promotion_id: Mapped[UUID] = mapped_column(primary_key=True)
    shop_id: Mapped[str] = mapped_column(Text)
    sku: Mapped[str] = mapped_column(Text, primary_key=True)
    during: Mapped[Range[datetime]] = mapped_column(TSTZRANGE)


class BuyGroup(Base):
    """A group that buys together; size, price and deadline are those it was opened with."""

    __tablename__ = "buy_groups"
    __table_args__ = (
        ForeignKeyConstraint(
            ["activity_id", "sku"],
            ["activity_skus.activity_id", "activity_skus.sku"],
            name="fk_buy_groups_activity_sku",
        ),
        CheckConstraint("state IN ('pending', 'open', 'closing', 'formed', 'failed')", name="state"),
        CheckConstraint("seats_taken BETWEEN 0 AND group_size", name="seats_taken"),
        CheckConstraint("seats_paid BETWEEN 0 AND seats_taken", name="seats_paid"),
        CheckConstraint("state <> 'formed' OR decided_at IS NOT NULL", name="formed_decided"),
        CheckConstraint("price_minor >= 1", name="price"),
        CheckConstraint("(state IN ('open', 'closing')) <= (deadline_at IS NOT NULL)", name="open_deadline"),
        Index("ix_buy_groups_due", "deadline_at", postgresql_where=text("state IN ('open', 'closing')")),
        Index("ix_buy_groups_activity_sku", "activity_id", "sku", "state"),
    )

    group_id: Mapped[UUID] = mapped_column(primary_key=True)
    activity_id: Mapped[UUID]
    shop_id: Mapped[str] = mapped_column(Text)
    sku: Mapped[str] = mapped_column(Text)
    initiator_id: Mapped[UUID]
    # Who leads now: the initiator, or the earliest payer once the initiator has left.
    leader_id: Mapped[UUID]
    group_size: Mapped[int] = mapped_column(SmallInteger)
    price_minor: Mapped[int] = mapped_column(BigInteger)
    currency: Mapped[str] = mapped_column(Text)
    listed: Mapped[bool]
    state: Mapped[str] = mapped_column(Text)
    seats_taken: Mapped[int] = mapped_column(SmallInteger)
    seats_paid: Mapped[int] = mapped_column(SmallInteger)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    opened_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    deadline_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    decided_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    reason: Mapped[str | None] = mapped_column(Text)


class Seat(Base):
    """A place in a group: held for a while, then paid, then confirmed or given back."""

    __tablename__ = "seats"
    __table_args__ = (
        CheckConstraint(
            "state IN ('held', 'paid', 'confirmed', 'lapsed', 'refund_pending', 'refunded')", name="state"
        ),
        CheckConstraint("quantity >= 1 AND amount_minor >= 1 AND seat_no >= 1", name="positive"),
        CheckConstraint("held_until <= lapses_at", name="lapses_after_hold"),
        Index("uq_seats_member", "group_id", "member_id", unique=True, postgresql_where=text(LIVE)),
        Index("uq_seats_seat_no", "group_id", "seat_no", unique=True, postgresql_where=text(LIVE)),
        Index("ix_seats_due", "lapses_at", postgresql_where=text("state = 'held'")),
        Index("ix_seats_group_id", "group_id"),
    )

    seat_id: Mapped[UUID] = mapped_column(primary_key=True)
    group_id: Mapped[UUID] = mapped_column(ForeignKey("buy_groups.group_id"))
    activity_id: Mapped[UUID]
    sku: Mapped[str] = mapped_column(Text)
    member_id: Mapped[UUID]
    seat_no: Mapped[int] = mapped_column(SmallInteger)
    quantity: Mapped[int] = mapped_column(BigInteger)
    amount_minor: Mapped[int] = mapped_column(BigInteger)
    currency: Mapped[str] = mapped_column(Text)
    state: Mapped[str] = mapped_column(Text)
    held_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    held_until: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    # When the seat is given back: a payment made by `held_until` may take a moment to be reported.
    lapses_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    paid_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    order_id: Mapped[UUID | None]
    link_id: Mapped[UUID | None]
    generation: Mapped[int] = mapped_column(BigInteger)


class MemberUsage(Base):
    """What a member has taken of an activity's limits: units in live seats, groups opened and undecided."""

    __tablename__ = "member_usage"
    __table_args__ = (CheckConstraint("units >= 0 AND open_groups >= 0", name="natural"),)

    activity_id: Mapped[UUID] = mapped_column(primary_key=True)
    member_id: Mapped[UUID] = mapped_column(primary_key=True)
    units: Mapped[int] = mapped_column(BigInteger)
    open_groups: Mapped[int] = mapped_column(BigInteger)


class Payment(Base):
    """A captured payment for a seat: undecided while its group is, then confirmed or sent back."""

    __tablename__ = "payments"
    __table_args__ = (
        CheckConstraint("state IN ('captured', 'confirmed', 'refund_requested', 'refunded')", name="state"),
        CheckConstraint("amount_minor >= 0 AND refunded_minor >= 0", name="natural"),
        CheckConstraint("state <> 'refund_requested' OR reason IS NOT NULL", name="refund_has_reason"),
        # A seat is paid once; every other payment for it goes back.
        Index(
            "uq_payments_seat",
            "seat_id",
            unique=True,
            postgresql_where=text("state IN ('captured', 'confirmed')"),
        ),
        Index("ix_payments_seat_id", "seat_id"),
        Index("ix_payments_order_id", "order_id"),
        Index(
            "ix_payments_requested",
            "requested_at",
            "payment_key",
            postgresql_where=text("requested_at IS NOT NULL"),
        ),
    )

    payment_key: Mapped[UUID] = mapped_column(primary_key=True)
    order_id: Mapped[UUID]
    payment_id: Mapped[str | None] = mapped_column(Text)
    seat_id: Mapped[UUID]
    group_id: Mapped[UUID]
    activity_id: Mapped[UUID]
    member_id: Mapped[UUID]
    source: Mapped[str] = mapped_column(Text)
    shop_id: Mapped[str] = mapped_column(Text)
    external_order_id: Mapped[str] = mapped_column(Text)
    amount_minor: Mapped[int] = mapped_column(BigInteger)
    currency: Mapped[str] = mapped_column(Text)
    paid_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    received_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    state: Mapped[str] = mapped_column(Text)
    reason: Mapped[str | None] = mapped_column(Text)
    requested_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    refunded_minor: Mapped[int] = mapped_column(BigInteger)
    refunded_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


class Refund(Base):
    """A refund that a storefront reported for an order with a seat; it may come before its payment."""

    __tablename__ = "refunds"

    order_id: Mapped[UUID] = mapped_column(primary_key=True)
    refund_id: Mapped[str] = mapped_column(Text, primary_key=True)
    refund_key: Mapped[str | None] = mapped_column(Text)
    amount_minor: Mapped[int] = mapped_column(BigInteger)
    complete: Mapped[bool]
    refunded_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    # The payment that it gave back; none until that is known.
    payment_key: Mapped[UUID | None]


class Link(Base):
    """A share link to a group; one per sharer and channel."""

    __tablename__ = "links"
    __table_args__ = (
        UniqueConstraint(
            "group_id", "sharer_id", "channel", name="uq_links_sharer", postgresql_nulls_not_distinct=True
        ),
    )

    link_id: Mapped[UUID] = mapped_column(primary_key=True)
    activity_id: Mapped[UUID]
    group_id: Mapped[UUID] = mapped_column(ForeignKey("buy_groups.group_id"))
    sharer_id: Mapped[UUID]
    channel: Mapped[str | None] = mapped_column(Text)
    parent_link_id: Mapped[UUID | None]
    generation: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


class Promotion(Base):
    """What a coupon is worth, and for how long."""

    __tablename__ = "promotions"
    __table_args__ = (
        CheckConstraint("kind IN ('amount', 'percentage', 'free_shipping')", name="kind"),
        CheckConstraint("(kind = 'amount') = (amount_minor IS NOT NULL)", name="amount_has_amount"),
        CheckConstraint("amount_minor IS NULL OR currency IS NOT NULL", name="amount_has_currency"),
        CheckConstraint("(kind = 'percentage') = (percent IS NOT NULL)", name="percentage_has_percent"),
        CheckConstraint("percent BETWEEN 1 AND 100 AND amount_minor >= 1", name="worth"),
        Index("uq_promotions_reference", "reference", unique=True),
    )

    promotion_id: Mapped[UUID] = mapped_column(primary_key=True)
    reference: Mapped[str | None] = mapped_column(Text)
    name: Mapped[str] = mapped_column(Text)
    kind: Mapped[str] = mapped_column(Text)
    amount_minor: Mapped[int | None] = mapped_column(BigInteger)
    currency: Mapped[str | None] = mapped_column(Text)
    percent: Mapped[int | None] = mapped_column(SmallInteger)
    minimum_spend_minor: Mapped[int | None] = mapped_column(BigInteger)
    valid_days: Mapped[int | None] = mapped_column(BigInteger)
    ends_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


class Coupon(Base):
    """A member's coupon; a redemption of points buys exactly one."""

    __tablename__ = "coupons"
    __table_args__ = (
        CheckConstraint("state IN ('issued', 'redeemed')", name="state"),
        Index("uq_coupons_code", "code", unique=True),
        Index("uq_coupons_redemption_id", "redemption_id", unique=True),
        Index("ix_coupons_member_id", "member_id", "coupon_id"),
    )

    coupon_id: Mapped[UUID] = mapped_column(primary_key=True)
    promotion_id: Mapped[UUID] = mapped_column(ForeignKey("promotions.promotion_id"))
    member_id: Mapped[UUID]
    code: Mapped[str] = mapped_column(Text)
    state: Mapped[str] = mapped_column(Text)
    redemption_id: Mapped[UUID | None]
    issued_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    expires_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


class ParkedReward(Base):
    """A coupon that was paid for with points before anybody said what it is worth."""

    __tablename__ = "parked_rewards"
    __table_args__ = (Index("ix_parked_rewards_reference", "reference"),)

    redemption_id: Mapped[UUID] = mapped_column(primary_key=True)
    member_id: Mapped[UUID]
    reference: Mapped[str] = mapped_column(Text)
    granted_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


class DeclinedReward(Base):
    """A coupon that was paid for with points and is not issued, whatever is heard or defined later."""

    __tablename__ = "declined_rewards"

    redemption_id: Mapped[UUID] = mapped_column(primary_key=True)
    member_id: Mapped[UUID]
    reference: Mapped[str] = mapped_column(Text)
    reason: Mapped[str] = mapped_column(Text)
    declined_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
