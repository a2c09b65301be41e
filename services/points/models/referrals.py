"""Who brought whom: share links as far as their sharers are known, and the purchases made through them."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, DateTime, Index, Integer, Text, Uuid, text
from sqlalchemy.orm import Mapped, mapped_column

from services.points.models.base import ZERO, Base


class ShareLink(Base):
    """A link that a member shared."""

    __tablename__ = "share_links"

    link_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    sharer_id: Mapped[UUID] = mapped_column(Uuid)


class Referral(Base):
    """An order that came through a shared link; it waits until it is known who shared it."""

    __tablename__ = "referrals"
    __table_args__ = (
        CheckConstraint("status IN ('waiting', 'granted', 'refused', 'taken_back')", name="status"),
        CheckConstraint("points >= 0", name="points"),
        CheckConstraint("(status = 'refused') = (refusal IS NOT NULL)", name="refusal"),
        CheckConstraint("(status IN ('granted', 'taken_back')) = (entry_id IS NOT NULL)", name="entry_id"),
        Index("ix_referrals_referred_id", "referred_id"),
        Index("ix_referrals_waiting", "link_id", postgresql_where=text("status = 'waiting'")),
    )

    order_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    referred_id: Mapped[UUID] = mapped_column(Uuid)
    link_id: Mapped[UUID] = mapped_column(Uuid)
    paid_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    status: Mapped[str] = mapped_column(Text, server_default=text("'waiting'"))
    refusal: Mapped[str | None] = mapped_column(Text)
    referrer_id: Mapped[UUID | None] = mapped_column(Uuid)
    entry_id: Mapped[UUID | None] = mapped_column(Uuid)
    rule_version: Mapped[int | None] = mapped_column(Integer)
    points: Mapped[int] = mapped_column(BigInteger, server_default=ZERO)
