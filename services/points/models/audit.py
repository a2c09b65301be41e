"""How far the continuous audit has come."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, DateTime, Text, Uuid
from sqlalchemy.orm import Mapped, mapped_column

from services.points.models.base import NOW, ZERO, Base


class AuditRound(Base):
    """Where the audit is in its round through all accounts, or all lots, and what it has found.

    `latest_findings` is of the last round that was completed, `findings` of the one under way.
    """

    __tablename__ = "audit_rounds"
    __table_args__ = (CheckConstraint("what IN ('accounts', 'lots')", name="what"),)

    what: Mapped[str] = mapped_column(Text, primary_key=True)
    after_id: Mapped[UUID | None] = mapped_column(Uuid)
    rounds: Mapped[int] = mapped_column(BigInteger, server_default=ZERO)
    checked: Mapped[int] = mapped_column(BigInteger, server_default=ZERO)
    findings: Mapped[int] = mapped_column(BigInteger, server_default=ZERO)
    latest_findings: Mapped[int] = mapped_column(BigInteger, server_default=ZERO)
    began_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=NOW)
