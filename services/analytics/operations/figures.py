"""Reading figures out: daily sales, members, campaigns, totals."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncSession

from services.analytics.errors import CampaignNotFound, MemberNotFound, RangeTooLong
from services.analytics.repository import reading
from services.analytics.repository.reading import GroupBy
from services.analytics.settings import settings

__all__ = [
    "Books",
    "CampaignFigures",
    "GroupBy",
    "MemberFigures",
    "Totals",
    "campaign",
    "campaigns",
    "daily_sales",
    "ingest_books",
    "member",
    "now",
    "summary",
]

EVER = (date(1, 1, 1), date(9999, 12, 31))


@dataclass(frozen=True, slots=True)
class MemberFigures:
    """A person and what they bought, by currency."""

    person: Row[Any]
    sales: Sequence[Row[Any]]
    as_of: datetime

    @property
    def stage(self) -> str:
        """The lifecycle stage that the person is in."""
        return str(self.person.stage or reading.FIRST_STAGE)


@dataclass(frozen=True, slots=True)
class CampaignFigures:
    """An activity, its counts by (kind, label), its money by currency."""

    activity_id: UUID
    plan: dict[str, Any]
    cancelled_at: datetime | None
    ended_at: datetime | None
    buyers: int
    counts: dict[tuple[str, str], int]
    sales: Sequence[Row[Any]]
    revision: int
    as_of: datetime

    def count(self, kind: str, label: str | None = None) -> int:
        """How often a kind of event happened, with one label or with any."""
        return sum(
            number
            for (known, known_label), number in self.counts.items()
            if known == kind and label in (None, known_label)
        )

    @property
    def state(self) -> str:
        """Where the activity is in its life."""
        if self.cancelled_at is not None:
            return "cancelled"
        if not self.plan:
            return "unknown"
        if self.ended_at is not None or datetime.fromisoformat(self.plan["ends_at"]) <= self.as_of:
            return "ended"
        return "active" if datetime.fromisoformat(self.plan["starts_at"]) <= self.as_of else "scheduled"


@dataclass(frozen=True, slots=True)
class Books:
    """The books of ingest: rows by UTC day and source."""

    days: Sequence[Row[Any]]
    as_of: datetime

    def total(self, outcome: str) -> int:
        """Events of an outcome on all the days."""
        return sum(getattr(row, outcome) for row in self.days)


@dataclass(frozen=True, slots=True)
class Totals:
    """Everything so far."""

    sales: Sequence[Row[Any]]
    counts: Sequence[Row[Any]]
    tiers: dict[str, int]
    stages: dict[str, int]
    members: int
    refunds_waiting: int
    books: Books
    as_of: datetime

    def amount(self, kind: str) -> int:
        """Sum of the amounts of a kind that carries points."""
        return sum(row.amount for row in self.counts if row.kind == kind and not row.currency)

    def count(self, kind: str) -> int:
        """How often a kind of event happened."""
        return sum(row.occurrences for row in self.counts if row.kind == kind)

    def by_label(self, kind: str) -> dict[str, int]:
        """How often a kind of event happened, by its label."""
        return {row.label: row.occurrences for row in self.counts if row.kind == kind}

    @property
    def spent_points(self) -> int:
        """Points that bought something, on rewards or out of holds, and did not come back."""
        return (
            self.amount("points.redeemed") + self.amount("points.captured") - self.amount("points.returned")
        )

    @property
    def revision(self) -> int:
        """Grows with every change of a day's figures."""
        return sum(row.revision for row in (*self.sales, *self.counts))


async def now(session: AsyncSession) -> datetime:
    """The database's time, which figures are as of."""
    found: datetime = await reading.clock(session)
    return found


async def daily_sales(
    session: AsyncSession,
    group_by: GroupBy | None,
    *,
    first: date,
    last: date,
    currency: str | None,
    limit: int,
    after: dict[str, Any] | None = None,
) -> Sequence[Row[Any]]:
    """Sales of the days `first` to `last`, both included; at most `limit` rows after a position."""
    days = (last - first).days + 1
    if not 1 <= days <= settings().range_max_days:
        raise RangeTooLong(
            f"{first} to {last} is {days} days; 1 to {settings().range_max_days} are possible."
        )
    return await reading.daily_sales(
        session, group_by, first=first, last=last, currency=currency, limit=limit, after=after
    )


async def member(session: AsyncSession, member_id: UUID) -> MemberFigures:
    """Recency, frequency and monetary value of the person behind an id."""
    person = await reading.member(session, member_id)
    sales = await reading.member_sales(session, person.member_ids)
    if person.joined_at is None and not sales and len(person.member_ids) == 1 and person.tier is None:
        raise MemberNotFound
    return MemberFigures(person, sales, await now(session))


async def campaign(session: AsyncSession, activity_id: UUID) -> CampaignFigures:
    """What an activity brought."""
    found = await reading.campaign(session, activity_id)
    steps = await reading.campaign_steps(session, activity_id)
    sales = await reading.campaign_sales(session, activity_id)
    if not steps and not sales:
        raise CampaignNotFound
    return CampaignFigures(
        activity_id,
        found.plan or {},
        found.cancelled_at,
        found.ended_at,
        found.buyers,
        {(row.kind, row.label): row.occurrences for row in steps},
        sales,
        sum(row.revision for row in (*steps, *sales)),
        await now(session),
    )


async def campaigns(session: AsyncSession, after: UUID | None, limit: int) -> list[CampaignFigures]:
    """Activities, the latest first."""
    return [await campaign(session, found) for found in await reading.activities(session, after, limit)]


async def ingest_books(session: AsyncSession, first: date, last: date) -> Books:
    """The books of ingest for the UTC days `first` to `last`."""
    return Books(await reading.ingest_days(session, first, last), await now(session))


async def summary(session: AsyncSession) -> Totals:
    """Everything so far."""
    found = await reading.totals(session)
    return Totals(
        await reading.sales_totals(session),
        await reading.kind_totals(session),
        {row.tier: row.members for row in await reading.tiers(session)},
        {row.stage: row.members for row in await reading.stages(session)},
        found.members,
        found.refunds_waiting,
        await ingest_books(session, *EVER),
        await now(session),
    )
