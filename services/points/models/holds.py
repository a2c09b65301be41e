"""Holds, and the aliases of merged members."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, DateTime, Index, Text, Uuid, text
from sqlalchemy.orm import Mapped, mapped_column

from services.points.models.base import NOW, ZERO, Base


class Hold(Base):
    """Points promised to a purchase that is under way, until they are captured, voided or `expires_at`."""

    __tablename__ = "holds"
    __table_args__ = (
        CheckConstraint("points > 0", name="points"),
        CheckConstraint("captured_points BETWEEN 0 AND points", name="captured_points"),
        CheckConstraint("status IN ('held', 'captured', 'voided', 'expired')", name="status"),
        CheckConstraint("(status = 'captured') = (captured_points > 0)", name="captured"),
        CheckConstraint("(status = 'held') = (settled_at IS NULL)", name="settled_at"),
        Index("ix_holds_held", "member_id", postgresql_where=text("status = 'held'")),
        Index("ix_holds_order_id", "order_id", postgresql_where=text("status = 'held'")),
    )

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    member_id: Mapped[UUID] = mapped_column(Uuid)
    # The id that it came under, if that member is merged into the one whose account holds the points.
    origin_id: Mapped[UUID | None] = mapped_column(Uuid)
    points: Mapped[int] = mapped_column(BigInteger)
    captured_points: Mapped[int] = mapped_column(BigInteger, server_default=ZERO)
    status: Mapped[str] = mapped_column(Text, server_default=text("'held'"))
    order_id: Mapped[UUID | None] = mapped_column(Uuid)
    reason: Mapped[str] = mapped_column(Text)
    actor: Mapped[str] = mapped_column(Text)
    held_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=NOW)
    expires_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    settled_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


class HoldLot(Base):
    """What a hold has pinned of a lot."""

    __tablename__ = "hold_lots"
    __table_args__ = (CheckConstraint("points > 0", name="points"),)

    hold_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    lot_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    points: Mapped[int] = mapped_column(BigInteger)


class MemberAlias(Base):
    """What was last said of a member's merging: into whom, or that it was undone (`merged` is false)."""

    __tablename__ = "member_aliases"
    __table_args__ = (
        CheckConstraint("merged_id <> surviving_id", name="ids"),
        CheckConstraint("debt_points >= 0", name="debt_points"),
        Index("ix_member_aliases_surviving_id", "surviving_id"),
    )

    merged_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    surviving_id: Mapped[UUID] = mapped_column(Uuid)
    revision: Mapped[int] = mapped_column(BigInteger)
    merged: Mapped[bool]
    # What the merged member owed when merged; it goes back with them as far as it is still owed.
    debt_points: Mapped[int] = mapped_column(BigInteger, server_default=ZERO)
    changed_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
