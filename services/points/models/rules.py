"""The rules that orders earn by, what their caps have counted, and what they know of members."""

from datetime import date, datetime
from uuid import UUID

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    Date,
    DateTime,
    Index,
    Integer,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from services.points.models.base import NOW, Base


class EarningRule(Base):
    """A version of the earning rules, in its simple form or with the document of a rule set.

    One without `effective_at` is a draft. Any other never changes, but can be ended early.
    """

    __tablename__ = "earning_rules"
    __table_args__ = (
        UniqueConstraint("effective_at"),
        CheckConstraint("points_per_unit BETWEEN 0 AND 1000000", name="points_per_unit"),
        CheckConstraint("lot_lifetime_days BETWEEN 1 AND 36500", name="lot_lifetime_days"),
        CheckConstraint("(points_per_unit IS NULL) = (terms IS NOT NULL)", name="form"),
        CheckConstraint("(terms IS NULL) = (terms_id IS NULL)", name="terms_id"),
        CheckConstraint("ended_at >= effective_at", name="ended_at"),
    )

    version: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    points_per_unit: Mapped[int | None] = mapped_column(BigInteger)
    lot_lifetime_days: Mapped[int | None] = mapped_column(Integer)
    effective_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    created_by: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=NOW)
    name: Mapped[str | None] = mapped_column(Text)
    terms: Mapped[str | None] = mapped_column(JSON)
    # Another one with every change of the document, so that a process can keep what it has made of it.
    terms_id: Mapped[UUID | None] = mapped_column(Uuid)
    ended_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    activated_by: Mapped[str | None] = mapped_column(Text)
    activated_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


class CapUsage(Base):
    """Points granted in a window that a cap counts: of a member, or of the program under the id of nobody."""

    __tablename__ = "cap_usage"
    __table_args__ = (CheckConstraint("points >= 0", name="points"),)

    subject_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    period: Mapped[str] = mapped_column(Text, primary_key=True)
    starts_on: Mapped[date] = mapped_column(Date, primary_key=True)
    points: Mapped[int] = mapped_column(BigInteger)


class MemberBirthday(Base):
    """The latest birthday of a member that members spoke of: the bounds of the day where the member lives."""

    __tablename__ = "member_birthdays"

    member_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    starts_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    ends_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


class BackTest(Base):
    """A trial of a rule set on orders that have earned, as far as it has come."""

    __tablename__ = "back_tests"
    __table_args__ = (
        CheckConstraint("status IN ('running', 'judging_tiers', 'done')", name="status"),
        CheckConstraint("paid_from < paid_until", name="window"),
        Index("ix_back_tests_running", "created_at", postgresql_where=text("status = 'running'")),
    )

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    version: Mapped[int | None] = mapped_column(Integer)
    terms: Mapped[str] = mapped_column(JSON)
    paid_from: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    paid_until: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    status: Mapped[str] = mapped_column(Text, server_default=text("'running'"))
    # Accounts are tried in the order of their ids; all up to this one have been.
    after_member_id: Mapped[UUID | None] = mapped_column(Uuid)
    trial: Mapped[str] = mapped_column(JSON)
    created_by: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=NOW)
    finished_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


class BackTestTiers(Base):
    """What members said of the tiers of one part of a back-test: rows of (from, to, whether up, how many)."""

    __tablename__ = "back_test_tiers"

    back_test_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    part: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    moves: Mapped[str] = mapped_column(JSON)
