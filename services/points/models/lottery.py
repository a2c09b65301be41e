"""Lotteries: their odds and prizes, the rounds with their seeds, and every draw."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    DateTime,
    Integer,
    LargeBinary,
    String,
    Text,
    UniqueConstraint,
    Uuid,
)
from sqlalchemy.orm import Mapped, mapped_column

from services.points.models.base import NOW, Base


class LotteryOdds(Base):
    """A version of a lottery's odds. Versions are added and never changed."""

    __tablename__ = "lottery_odds"

    lottery_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    version: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    digest: Mapped[str] = mapped_column(String(64))
    # Rounds that begin from then on are drawn under it.
    effective_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    created_by: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=NOW)


class LotteryPrize(Base):
    """One line of the odds; only what is left of it ever changes."""

    __tablename__ = "lottery_prizes"
    __table_args__ = (
        CheckConstraint("weight > 0", name="weight"),
        CheckConstraint(
            "CASE kind WHEN 'nothing' THEN points IS NULL AND reward_id IS NULL AND stock IS NULL"
            " WHEN 'points' THEN points > 0 AND reward_id IS NULL"
            " WHEN 'reward' THEN reward_id IS NOT NULL AND points IS NULL ELSE false END",
            name="kind",
        ),
        CheckConstraint("(stock IS NULL) = (left_units IS NULL)", name="stock"),
        CheckConstraint("left_units BETWEEN 0 AND stock", name="left_units"),
    )

    lottery_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    version: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    number: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    name: Mapped[str] = mapped_column(Text)
    kind: Mapped[str] = mapped_column(Text)
    weight: Mapped[int] = mapped_column(BigInteger)
    stock: Mapped[int | None] = mapped_column(BigInteger)
    points: Mapped[int | None] = mapped_column(BigInteger)
    lifetime_days: Mapped[int | None] = mapped_column(Integer)
    reward_id: Mapped[UUID | None] = mapped_column(Uuid)
    left_units: Mapped[int | None] = mapped_column(BigInteger)


class LotteryRound(Base):
    """A span of time under one seed. The commitment is public from the start, the seed from the end on."""

    __tablename__ = "lottery_rounds"
    __table_args__ = (
        CheckConstraint("ends_at > starts_at", name="span"),
        CheckConstraint("octet_length(seed) = 32", name="seed"),
        CheckConstraint("commitment = encode(sha256(seed), 'hex')", name="commitment"),
    )

    lottery_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    commitment: Mapped[str] = mapped_column(String(64))
    seed: Mapped[bytes] = mapped_column(LargeBinary)
    odds_version: Mapped[int] = mapped_column(Integer)
    starts_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    ends_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    committed_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


class Draw(Base):
    """A draw with everything that decided it; never changed or deleted. Its id is that of its redemption."""

    __tablename__ = "draws"
    __table_args__ = (
        # A member's draws of a round count from 1 without gaps, so that nobody can draw until it suits.
        UniqueConstraint(
            "lottery_id", "round_number", "member_id", "draw_number", name="uq_draws_lottery_id"
        ),
        CheckConstraint("outcome IN ('won', 'nothing', 'exhausted')", name="outcome"),
        CheckConstraint("draw_number > 0 AND ticket >= 0", name="numbers"),
        CheckConstraint(
            "CASE outcome WHEN 'won' THEN coalesce(stock_before, 1) > 0"
            " WHEN 'exhausted' THEN stock_before = 0 ELSE stock_before IS NULL END",
            name="stock_before",
        ),
    )

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    lottery_id: Mapped[UUID] = mapped_column(Uuid)
    round_number: Mapped[int] = mapped_column(Integer)
    commitment: Mapped[str] = mapped_column(String(64))
    odds_version: Mapped[int] = mapped_column(Integer)
    odds_digest: Mapped[str] = mapped_column(String(64))
    member_id: Mapped[UUID] = mapped_column(Uuid)
    client_nonce: Mapped[str] = mapped_column(Text)
    draw_number: Mapped[int] = mapped_column(Integer)
    ticket: Mapped[int] = mapped_column(BigInteger)
    prize_number: Mapped[int] = mapped_column(Integer)
    stock_before: Mapped[int | None] = mapped_column(BigInteger)
    outcome: Mapped[str] = mapped_column(Text)
    cost_points: Mapped[int] = mapped_column(BigInteger)
    drawn_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    receipt: Mapped[str] = mapped_column(String(64))
    # What the draw granted, if it won a reward of the catalogue.
    prize_redemption_id: Mapped[UUID | None] = mapped_column(Uuid)
