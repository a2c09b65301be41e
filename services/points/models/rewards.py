"""The catalogue and what was redeemed of it."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    DateTime,
    Index,
    Integer,
    String,
    Text,
    Uuid,
)
from sqlalchemy.orm import Mapped, mapped_column

from services.points.models.base import NOW, Base


class Reward(Base):
    """Something that points buy. `stock` is what is left."""

    __tablename__ = "rewards"
    __table_args__ = (
        CheckConstraint("kind = 'coupon'", name="kind"),
        CheckConstraint("cost_points > 0", name="cost_points"),
        CheckConstraint("stock >= 0", name="stock"),
        CheckConstraint("per_member_limit > 0", name="per_member_limit"),
        CheckConstraint("ends_at > starts_at", name="window"),
        CheckConstraint(
            "(cost_minor IS NULL) = (cost_currency IS NULL) AND cost_minor >= 0", name="cost_minor"
        ),
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


class Redemption(Base):
    """Points spent on a reward."""

    __tablename__ = "redemptions"
    __table_args__ = (
        CheckConstraint("points > 0", name="points"),
        CheckConstraint("status = 'granted'", name="status"),
        Index("ix_redemptions_member_id", "member_id", "reward_id"),
    )

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    member_id: Mapped[UUID] = mapped_column(Uuid)
    reward_id: Mapped[UUID] = mapped_column(Uuid)
    order_id: Mapped[UUID | None] = mapped_column(Uuid)
    points: Mapped[int] = mapped_column(BigInteger)
    status: Mapped[str] = mapped_column(Text)
    actor: Mapped[str] = mapped_column(Text)
    redeemed_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
