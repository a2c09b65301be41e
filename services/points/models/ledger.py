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
            "earned_points >= 0 AND spent_points >= 0 AND expired_points >= 0 AND clawed_back_points >= 0"
            " AND forfeited_points >= 0",
            name="lifetime_points",
        ),
        CheckConstraint(
            "open_points + pending_points - debt_points = earned_points - spent_points - expired_points"
            " - clawed_back_points - forfeited_points + adjusted_points + transferred_points",
            name="balance",
        ),
        # An alias has nothing: what came under its id is in the account of whom it is merged into.
        CheckConstraint(
            "merged_into IS NULL OR (merged_into <> member_id AND open_points = 0 AND pending_points = 0"
            " AND debt_points = 0)",
            name="merged_into",
        ),
        Index(
            "ix_accounts_next_expiry_at",
            "next_expiry_at",
            postgresql_where=text("next_expiry_at IS NOT NULL"),
        ),
        Index("ix_accounts_merged_into", "merged_into", postgresql_where=text("merged_into IS NOT NULL")),
        # Room for new versions of a row on its page, so that an update need not touch the indexes.
        {"postgresql_with": {"fillfactor": 70}},
    )

    member_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    sequence: Mapped[int] = mapped_column(BigInteger, server_default=ZERO)
    # The end of the audit chain: the hash of the entry `head_sequence`, which is the last one unless a
    # release that does not know of it has entered more. Nothing before the first.
    head: Mapped[bytes] = mapped_column(LargeBinary, server_default=text("''"))
    head_sequence: Mapped[int] = mapped_column(BigInteger, server_default=ZERO)
    open_points: Mapped[int] = mapped_column(BigInteger, server_default=ZERO)
    pending_points: Mapped[int] = mapped_column(BigInteger, server_default=ZERO)
    held_points: Mapped[int] = mapped_column(BigInteger, server_default=ZERO)
    debt_points: Mapped[int] = mapped_column(BigInteger, server_default=ZERO)
    earned_points: Mapped[int] = mapped_column(BigInteger, server_default=ZERO)
    spent_points: Mapped[int] = mapped_column(BigInteger, server_default=ZERO)
    expired_points: Mapped[int] = mapped_column(BigInteger, server_default=ZERO)
    clawed_back_points: Mapped[int] = mapped_column(BigInteger, server_default=ZERO)
    adjusted_points: Mapped[int] = mapped_column(BigInteger, server_default=ZERO)
    transferred_points: Mapped[int] = mapped_column(BigInteger, server_default=ZERO)
    forfeited_points: Mapped[int] = mapped_column(BigInteger, server_default=ZERO)
    # The account that holds what comes under this id since the member was merged into another one.
    merged_into: Mapped[UUID | None] = mapped_column(Uuid)
    # All sliding lots expire on one date, which every activity puts off by the policy: no lot is touched.
    sliding_policy: Mapped[str | None] = mapped_column(Text)
    sliding_expires_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    # When the account has to be settled next: never later than its first lot expires or matures, or its
    # first hold lapses.
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
        # What is entered most comes first, since conditions are tried in order.
        CheckConstraint(
            "(kind, contra) IN (('earn', 'issuance'), ('claw_back', 'issuance'), ('redeem', 'redemption'),"
            " ('expire', 'expiry'), ('adjust', 'adjustment'), ('opening', 'issuance'), ('repay', 'issuance'),"
            " ('transfer_in', 'transfer'), ('transfer_out', 'transfer'), ('merge_in', 'transfer'),"
            " ('merge_out', 'transfer'), ('forfeit', 'forfeit')) OR (kind = 'reverse' AND contra IN"
            " ('issuance', 'redemption', 'expiry', 'adjustment', 'transfer', 'forfeit'))",
            name="kind",
        ),
        CheckConstraint(
            "CASE WHEN kind IN ('earn', 'opening', 'transfer_in') THEN points >= 0"
            " WHEN kind IN ('claw_back', 'redeem', 'expire', 'transfer_out', 'forfeit') THEN points <= 0"
            " WHEN kind = 'repay' THEN points = 0 ELSE true END",
            name="sign",
        ),
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
    # The id that it came under, where the account is that of whom the member was merged into by then.
    origin_id: Mapped[UUID | None] = mapped_column(Uuid)
    # Whatever else explains the entry, as JSON. Not jsonb: the hash covers the text as it was written.
    detail: Mapped[str | None] = mapped_column(JSON)
    # The audit chain, as repository/chain.py makes it. Absent in entries that are older than the chain; the
    # last of those in an account has one that covers them all.
    hash: Mapped[bytes | None] = mapped_column(LargeBinary)


class Lot(Base):
    """Points that expire together. Its id is the id of the entry that earned it.

    A lot that came by a transfer has an id of its own and names the lot that it was cut from. `member_id` is
    the account that holds it; `origin_id` the member that it belongs to, if they were merged into that one.
    """

    __tablename__ = "lots"
    __table_args__ = (
        CheckConstraint("points > 0", name="points"),
        CheckConstraint("remaining_points BETWEEN 0 AND points", name="remaining_points"),
        CheckConstraint("expired_points BETWEEN 0 AND points - remaining_points", name="expired_points"),
        CheckConstraint("pinned_points BETWEEN 0 AND remaining_points", name="pinned_points"),
        CheckConstraint("pinned_points = 0 OR NOT pending", name="pending"),
        CheckConstraint("expires_at IS NULL OR NOT sliding", name="sliding"),
        Index("ix_lots_open", "member_id", "expires_at", postgresql_where=text("remaining_points > 0")),
        Index("ix_lots_pending", "member_id", postgresql_where=text("pending AND remaining_points > 0")),
    )

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    member_id: Mapped[UUID] = mapped_column(Uuid)
    points: Mapped[int] = mapped_column(BigInteger)
    remaining_points: Mapped[int] = mapped_column(BigInteger)
    expired_points: Mapped[int] = mapped_column(BigInteger, server_default=ZERO)
    earned_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    expires_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    # Pending points cannot be spent yet: until `matures_at`, or if that is null until somebody says so.
    pending: Mapped[bool] = mapped_column(server_default=text("false"))
    matures_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    # Whether it expires on the account's sliding date.
    sliding: Mapped[bool] = mapped_column(server_default=text("false"))
    # What holds are promised of it, which outlives its date until they end.
    pinned_points: Mapped[int] = mapped_column(BigInteger, server_default=ZERO)
    origin_id: Mapped[UUID | None] = mapped_column(Uuid)
    parent_id: Mapped[UUID | None] = mapped_column(Uuid)


class LotMove(Base):
    """How many points an entry took from a lot; what a reversal gives back exactly there."""

    __tablename__ = "lot_moves"
    __table_args__ = (
        CheckConstraint("points > 0", name="points"),
        CheckConstraint("returned_points BETWEEN 0 AND points", name="returned_points"),
        Index("ix_lot_moves_entry_id", "entry_id"),
    )

    lot_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    entry_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    points: Mapped[int] = mapped_column(BigInteger)
    returned_points: Mapped[int] = mapped_column(BigInteger, server_default=ZERO)


class OrderSpend(Base):
    """A redemption or hold that spent points on an order; they return to their lots if it is refunded."""

    __tablename__ = "order_spends"

    order_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    about_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
