"""Tables of the ledger. The constraints are the last line of defence: what they forbid cannot be stored.

Rows of the hot tables refer to each other without foreign keys: a check per row would cost more than the
row itself. All of them are written under the lock of the member's account, entries and lots are never
deleted, and the summary compares the tables with each other.
"""

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
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from shared.database import new_metadata
from shared.platform_tables import add_platform_tables


class Base(DeclarativeBase):
    """Declarative base that carries the tables every service has."""

    metadata = new_metadata()


add_platform_tables(Base.metadata)

NOW = text("clock_timestamp()")
ZERO = text("0")


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


class EarningRule(Base):
    """A version of the earning rule. Versions are added and never changed."""

    __tablename__ = "earning_rules"
    __table_args__ = (
        UniqueConstraint("effective_at"),
        CheckConstraint("points_per_unit BETWEEN 0 AND 1000000", name="points_per_unit"),
        CheckConstraint("lot_lifetime_days BETWEEN 1 AND 36500", name="lot_lifetime_days"),
    )

    version: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    points_per_unit: Mapped[int] = mapped_column(BigInteger)
    lot_lifetime_days: Mapped[int | None] = mapped_column(Integer)
    effective_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    created_by: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=NOW)


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
