"""Points that are moved by hand."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, DateTime, Index, Text, Uuid, text
from sqlalchemy.orm import Mapped, mapped_column

from services.points.models.base import Base


class Adjustment(Base):
    """Points that somebody moves by hand: at once, or when somebody else has approved.

    `points` is what the member gets, negative if they give. A proposal that nobody decides lapses.
    """

    __tablename__ = "adjustments"
    __table_args__ = (
        CheckConstraint("points <> 0", name="points"),
        CheckConstraint(
            "status IN ('posted', 'pending_approval', 'approved', 'rejected', 'lapsed')", name="status"
        ),
        CheckConstraint("(status IN ('posted', 'approved')) = (entry_id IS NOT NULL)", name="entry_id"),
        CheckConstraint(
            "(decided_at IS NULL) = (status IN ('posted', 'pending_approval'))", name="decided_at"
        ),
        CheckConstraint("status = 'posted' OR lapses_at IS NOT NULL", name="lapses_at"),
        CheckConstraint("decided_by <> actor", name="four_eyes"),
        CheckConstraint("points < 0 OR NOT allow_debt", name="allow_debt"),
        CheckConstraint("points > 0 OR expires_at IS NULL", name="expires_at"),
        Index("ix_adjustments_member_id", "member_id", "requested_at"),
        Index("ix_adjustments_pending", "lapses_at", postgresql_where=text("status = 'pending_approval'")),
    )

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    member_id: Mapped[UUID] = mapped_column(Uuid)
    points: Mapped[int] = mapped_column(BigInteger)
    reason: Mapped[str] = mapped_column(Text)
    expires_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    allow_debt: Mapped[bool]
    status: Mapped[str] = mapped_column(Text)
    actor: Mapped[str] = mapped_column(Text)
    requested_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    lapses_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    decided_by: Mapped[str | None] = mapped_column(Text)
    decided_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    decision_reason: Mapped[str | None] = mapped_column(Text)
    entry_id: Mapped[UUID | None] = mapped_column(Uuid)
