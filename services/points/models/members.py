"""What points keep of members: the little that rules and rewards ask."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Boolean, CheckConstraint, DateTime, Integer, Text, Uuid
from sqlalchemy.orm import Mapped, mapped_column

from services.points.models.base import Base


class ErasedMember(Base):
    """A member who was erased: what comes to them later goes as well, and nothing about them is kept."""

    __tablename__ = "erased_members"

    member_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    erased_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


class MemberTier(Base):
    """The tier that a member holds, as members last said; no row and no tier are the same."""

    __tablename__ = "member_tiers"
    __table_args__ = (CheckConstraint("points_multiplier_percent > 0", name="points_multiplier_percent"),)

    member_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    tier: Mapped[str | None] = mapped_column(Text)
    # What the tier makes of points earned; none is 100.
    points_multiplier_percent: Mapped[int | None] = mapped_column(Integer)
    changed_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    # The event that said so; ids of events ascend as they are said.
    event_id: Mapped[UUID | None] = mapped_column(Uuid)


class MemberLabel(Base):
    """A tag of a member, or a group that they are in, as members last said: held, or held no longer."""

    __tablename__ = "member_labels"
    __table_args__ = (CheckConstraint("kind IN ('tag', 'group')", name="kind"),)

    member_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    kind: Mapped[str] = mapped_column(Text, primary_key=True)
    label: Mapped[str] = mapped_column(Text, primary_key=True)
    held: Mapped[bool] = mapped_column(Boolean)
    # Ids of events rise: of two the later one holds, whatever came first.
    event_id: Mapped[UUID] = mapped_column(Uuid)
