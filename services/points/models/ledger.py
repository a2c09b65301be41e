"""Accounts, entries, lots and their moves."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    DateTime,
    Index,
    Integer,
    LargeBinary,
    String,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from services.points.models.base import NOW, ZERO, Base


class Account(Base):
    """A member's account: the aggregate that every change locks, and its cached figures."""

    __tablename__ = "accounts"
    __table_args__ = (
        CheckConstraint("open_points >= 0", name="open_points"),
        CheckConstraint("debt_points >= 0", name="debt_points"),
        CheckConstraint("pending_points >= 0", name="pending_points"),
        CheckConstraint("held_points BETWEEN 0 AND open_points", name="held_points"),
        CheckConstraint(
            "earned_points >= 0 AND spent_points >= 0 AND expired_points >= 0 AND clawed_back_points >= 0",
            name="lifetime_points",
        ),
        CheckConstraint(
            "open_points = earned_points - spent_points - expired_points - clawed_back_points + debt_points",
            name="balance",
        ),
        Index(
            "ix_accounts_next_expiry_at",
            "next_expiry_at",
            postgresql_where=text("next_expiry_at IS NOT NULL"),
        ),
        # Room for new versions of a row on its page, so that an update need not touch the indexes.
        {"postgresql_with": {"fillfactor": 70}},
    )

    member_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    sequence: Mapped[int] = mapped_column(BigInteger, server_default=ZERO)
    open_points: Mapped[int] = mapped_column(BigInteger, server_default=ZERO)
    pending_points: Mapped[int] = mapped_column(BigInteger, server_default=ZERO)
    held_points: Mapped[int] = mapped_column(BigInteger, server_default=ZERO)
    debt_points: Mapped[int] = mapped_column(BigInteger, server_default=ZERO)
    earned_points: Mapped[int] = mapped_column(BigInteger, server_default=ZERO)
    spent_points: Mapped[int] = mapped_column(BigInteger, server_default=ZERO)
    expired_points: Mapped[int] = mapped_column(BigInteger, server_default=ZERO)
    clawed_back_points: Mapped[int] = mapped_column(BigInteger, server_default=ZERO)
    # When the job has to look at the account next: never later than its first open lot expires.
    next_expiry_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=NOW)


class Entry(Base):
    """A transfer between a member's account and the contra account of its kind; never changed or deleted.

    `points` is what the member gets, negative if they give; the contra account gets the opposite, so every
    entry sums to zero. `about_id` is the order, redemption or, for an expiry, the entry itself; with kind and
    reference (the refund) it names the reason once for ever.
    """

    __tablename__ = "entries"
    __table_args__ = (
        UniqueConstraint("about_id", "kind", "reference", name="uq_entries_natural_key"),
        CheckConstraint(
            "(kind, contra) IN (('earn', 'issuance'), ('claw_back', 'issuance'), ('redeem', 'redemption'),"
            " ('expire', 'expiry'))",
            name="kind",
        ),
        CheckConstraint("CASE WHEN kind = 'earn' THEN points >= 0 ELSE points <= 0 END", name="sign"),
        CheckConstraint("kind NOT IN ('earn', 'claw_back') OR rule_version IS NOT NULL", name="rule_version"),
    )

    member_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    sequence: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    id: Mapped[UUID] = mapped_column(Uuid)
    kind: Mapped[str] = mapped_column(Text)
    contra: Mapped[str] = mapped_column(Text)
    points: Mapped[int] = mapped_column(BigInteger)
    about_id: Mapped[UUID] = mapped_column(Uuid)
    reference: Mapped[str] = mapped_column(Text, server_default=text("''"))
    rule_version: Mapped[int | None] = mapped_column(Integer)
    # What the points were reckoned from: the order's total, or what the refund gave back.
    basis_minor: Mapped[int | None] = mapped_column(BigInteger)
    currency: Mapped[str | None] = mapped_column(String(3))
    actor: Mapped[str] = mapped_column(Text)
    reason: Mapped[str] = mapped_column(Text)
    occurred_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    recorded_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    # Whatever else explains the entry, as JSON. Not jsonb: the hash covers the text as it was written.
    detail: Mapped[str | None] = mapped_column(JSON)
    # The audit chain, as repository/chain.py makes it. Absent in entries that are older than the chain; the
    # last of those in an account has one that covers them all.
    hash: Mapped[bytes | None] = mapped_column(LargeBinary)


class Lot(Base):
    """Points that expire together. Its id is the id of the entry that earned it."""

    __tablename__ = "lots"
    __table_args__ = (
        CheckConstraint("points > 0", name="points"),
        CheckConstraint("remaining_points BETWEEN 0 AND points", name="remaining_points"),
        CheckConstraint("expired_points BETWEEN 0 AND points - remaining_points", name="expired_points"),
        Index("ix_lots_open", "member_id", "expires_at", postgresql_where=text("remaining_points > 0")),
    )

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    member_id: Mapped[UUID] = mapped_column(Uuid)
    points: Mapped[int] = mapped_column(BigInteger)
    remaining_points: Mapped[int] = mapped_column(BigInteger)
    expired_points: Mapped[int] = mapped_column(BigInteger, server_default=ZERO)
    earned_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    expires_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


class LotMove(Base):
    """How many points an entry took from a lot; what a reversal gives back exactly there."""

    __tablename__ = "lot_moves"
    __table_args__ = (CheckConstraint("points > 0", name="points"),)

    lot_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    entry_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    points: Mapped[int] = mapped_column(BigInteger)
