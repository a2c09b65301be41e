"""The catalogue, what was redeemed of it, and what members chose to have applied by itself."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    BigInteger,
    CheckConstraint,
    DateTime,
    Index,
    Integer,
    String,
    Text,
    Uuid,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from services.points.models.base import NOW, Base


class Reward(Base):
    """Something that points buy. `stock` is what is left."""

    __tablename__ = "rewards"
    __table_args__ = (
        CheckConstraint(
            "kind IN ('coupon', 'tier_upgrade', 'free_shipping', 'goods', 'gift', 'lottery')", name="kind"
        ),
        CheckConstraint(
            "kind NOT IN ('coupon', 'tier_upgrade', 'goods', 'gift') OR reference IS NOT NULL",
            name="reference",
        ),
        CheckConstraint("cost_points > 0", name="cost_points"),
        CheckConstraint("stock >= 0", name="stock"),
        CheckConstraint("per_member_limit > 0", name="per_member_limit"),
        CheckConstraint(
            "(period IS NULL) = (period_limit IS NULL) AND period_limit > 0"
            " AND period IN ('day', 'week', 'month')",
            name="period_limit",
        ),
        CheckConstraint("ends_at > starts_at", name="window"),
        CheckConstraint(
            "(cost_minor IS NULL) = (cost_currency IS NULL) AND cost_minor >= 0", name="cost_minor"
        ),
        CheckConstraint("cancel_hours IS NULL OR kind IN ('goods', 'gift')", name="cancel_hours"),
        CheckConstraint(
            "(max_shipping_minor IS NULL) = (max_shipping_currency IS NULL)"
            " AND (max_shipping_minor IS NULL OR (max_shipping_minor > 0 AND kind = 'free_shipping'))",
            name="max_shipping_minor",
        ),
        CheckConstraint("(kind = 'lottery') = (round_hours IS NOT NULL)", name="round_hours"),
    )

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    name: Mapped[str] = mapped_column(Text)
    kind: Mapped[str] = mapped_column(Text)
    cost_points: Mapped[int] = mapped_column(BigInteger)
    reference: Mapped[str | None] = mapped_column(Text)
    stock: Mapped[int | None] = mapped_column(BigInteger)
    per_member_limit: Mapped[int | None] = mapped_column(Integer)
    starts_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    ends_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    cost_minor: Mapped[int | None] = mapped_column(BigInteger)
    cost_currency: Mapped[str | None] = mapped_column(String(3))
    created_by: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=NOW)
    retired_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    period: Mapped[str | None] = mapped_column(Text)
    period_limit: Mapped[int | None] = mapped_column(Integer)
    tiers: Mapped[list[str] | None] = mapped_column(ARRAY(Text))
    cancel_hours: Mapped[int | None] = mapped_column(Integer)
    max_shipping_minor: Mapped[int | None] = mapped_column(BigInteger)
    max_shipping_currency: Mapped[str | None] = mapped_column(String(3))
    round_hours: Mapped[int | None] = mapped_column(Integer)


class Redemption(Base):
    """Points spent on a reward, or a reward that a draw won: then it cost nothing and names the draw."""

    __tablename__ = "redemptions"
    __table_args__ = (
        CheckConstraint("points >= 0 AND (points > 0 OR draw_id IS NOT NULL)", name="points"),
        CheckConstraint("status IN ('pending', 'granted', 'declined', 'cancelled')", name="status"),
        CheckConstraint(
            "fulfilment IN ('requested', 'packed', 'shipped', 'delivered', 'cancelled')", name="fulfilment"
        ),
        Index("ix_redemptions_member_id", "member_id", "reward_id", "redeemed_at"),
        Index("ix_redemptions_order_id", "order_id", postgresql_where=text("order_id IS NOT NULL")),
        # What still has to leave the house, the oldest first.
        Index(
            "ix_redemptions_fulfilment",
            "fulfilment",
            "id",
            postgresql_where=text("fulfilment IN ('requested', 'packed', 'shipped')"),
        ),
        # The few that wait for another service's word.
        Index("ix_redemptions_pending", "redeemed_at", postgresql_where=text("status = 'pending'")),
    )

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    member_id: Mapped[UUID] = mapped_column(Uuid)
    reward_id: Mapped[UUID] = mapped_column(Uuid)
    order_id: Mapped[UUID | None] = mapped_column(Uuid)
    points: Mapped[int] = mapped_column(BigInteger)
    status: Mapped[str] = mapped_column(Text)
    actor: Mapped[str] = mapped_column(Text)
    redeemed_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    fulfilment: Mapped[str | None] = mapped_column(Text)
    # How the parcel is called by whoever carries it.
    tracking: Mapped[str | None] = mapped_column(Text)
    draw_id: Mapped[UUID | None] = mapped_column(Uuid)
    # Why it was declined or cancelled, and when the status or the fulfilment last changed.
    reason: Mapped[str | None] = mapped_column(Text)
    changed_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


class MemberChoice(Base):
    """What a member has chosen to have applied to every order: a reward of the kind, paid in points."""

    __tablename__ = "member_choices"
    __table_args__ = (CheckConstraint("kind = 'free_shipping'", name="kind"),)

    member_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    kind: Mapped[str] = mapped_column(Text, primary_key=True)
    reward_id: Mapped[UUID] = mapped_column(Uuid)
    actor: Mapped[str] = mapped_column(Text)
    chosen_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


class OrderBenefit(Base):
    """What became of free shipping for an order; the row is what makes it happen once.

    A cancelled order has a row too, without a redemption if nothing was applied: so nothing will be.
    """

    __tablename__ = "order_benefits"
    __table_args__ = (
        CheckConstraint("status IN ('applied', 'refused', 'cancelled')", name="status"),
        CheckConstraint("status <> 'applied' OR redemption_id IS NOT NULL", name="redemption_id"),
        CheckConstraint("(status = 'refused') = (reason IS NOT NULL)", name="reason"),
    )

    order_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    member_id: Mapped[UUID] = mapped_column(Uuid)
    status: Mapped[str] = mapped_column(Text)
    redemption_id: Mapped[UUID | None] = mapped_column(Uuid)
    # The code of the refusal.
    reason: Mapped[str | None] = mapped_column(Text)
    decided_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
