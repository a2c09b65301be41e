"""What the ledger keeps of orders beside their entries: their refunds, and deliveries that came early."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    DateTime,
    Index,
    String,
    Text,
    Uuid,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from services.points.models.base import NOW, ZERO, Base


class OrderRefund(Base):
    """A refund as it was heard of. One whose order is not paid yet waits here without `applied_at`."""

    __tablename__ = "order_refunds"
    __table_args__ = (
        CheckConstraint("amount_minor >= 0", name="amount_minor"),
        CheckConstraint("clawed_back_points >= 0", name="clawed_back_points"),
        Index("ix_order_refunds_parked", "order_id", postgresql_where=text("applied_at IS NULL")),
    )

    order_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    refund_id: Mapped[str] = mapped_column(Text, primary_key=True)
    member_id: Mapped[UUID] = mapped_column(Uuid)
    currency: Mapped[str] = mapped_column(String(3))
    amount_minor: Mapped[int] = mapped_column(BigInteger)
    complete: Mapped[bool]
    actor: Mapped[str] = mapped_column(Text)
    refunded_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    heard_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=NOW)
    applied_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    clawed_back_points: Mapped[int] = mapped_column(BigInteger, server_default=ZERO)
    shipping_minor: Mapped[int] = mapped_column(BigInteger, server_default=ZERO)
    # Rows of [number, units, minor units]; absent if the refund named no lines.
    lines: Mapped[str | None] = mapped_column(JSON)


class EarlyDelivery(Base):
    """An order that was heard to be delivered before it was heard to be paid; it goes once it has earned."""

    __tablename__ = "early_deliveries"

    order_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    delivered_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    heard_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=NOW)
