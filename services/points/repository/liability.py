"""What the program owes, and what of its points is never spent: two statements over all lots."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession


@dataclass(frozen=True, slots=True)
class ExpiryMonth:
    """Points that expire in a local month (`YYYY-MM`), or never if that is None."""

    month: str | None
    outstanding_points: int
    held_points: int
    pending_points: int


@dataclass(frozen=True, slots=True)
class Cohort:
    """What became of the points that were issued in a local month."""

    month: str
    issued_points: int
    expired_points: int
    outstanding_points: int


# Points past their date are owed no longer, except those that a hold was promised before. A sliding lot
# expires on the date of its account.
OUTSTANDING = text(
    """
    SELECT to_char(lot.expires_at AT TIME ZONE :zone, 'YYYY-MM') AS month,
           sum(lot.live_points) AS outstanding_points,
           sum(lot.pinned_points) AS held_points,
           coalesce(sum(lot.live_points) FILTER (WHERE lot.pending), 0) AS pending_points
    FROM (
        SELECT due.expires_at, lots.pinned_points, lots.pending,
               CASE WHEN due.expires_at <= CAST(:now AS timestamptz) AND NOT lots.pending
                    THEN lots.pinned_points ELSE lots.remaining_points END AS live_points
        FROM lots
             LEFT JOIN accounts ON lots.sliding AND accounts.member_id = lots.member_id
             CROSS JOIN LATERAL (
                 SELECT CASE WHEN lots.sliding THEN accounts.sliding_expires_at
                             ELSE lots.expires_at END AS expires_at
             ) AS due
        WHERE lots.remaining_points > 0
    ) AS lot
    WHERE lot.live_points > 0
    GROUP BY 1 ORDER BY 1 NULLS LAST
    """
)

# A lot that came by a transfer was cut from another one: its points were issued with that one, and the month
# that they were issued in goes with them.
COHORTS = text(
    """
    SELECT to_char(earned_at AT TIME ZONE :zone, 'YYYY-MM') AS month,
           coalesce(sum(points) FILTER (WHERE parent_id IS NULL), 0) AS issued_points,
           sum(expired_points) AS expired_points, sum(remaining_points) AS outstanding_points
    FROM lots
    GROUP BY 1 ORDER BY 1
    """
)

DEBT = text("SELECT coalesce(sum(debt_points), 0) FROM accounts WHERE debt_points > 0")


async def by_month_of_expiry(session: AsyncSession, *, zone: str, now: datetime) -> list[ExpiryMonth]:
    """Add up what is outstanding, by the month in which it expires; the last one may be never."""
    rows = await session.execute(OUTSTANDING, {"zone": zone, "now": now})
    # Sums of bigints are numeric, which the driver hands over as Decimal.
    return [ExpiryMonth(row[0], *(int(points) for points in row[1:])) for row in rows]


async def by_month_of_issue(session: AsyncSession, *, zone: str) -> list[Cohort]:
    """Add up what was issued and what of it has expired, by the month of issue."""
    rows = await session.execute(COHORTS, {"zone": zone})
    return [Cohort(row[0], *(int(points) for points in row[1:])) for row in rows]


async def debt_points(session: AsyncSession) -> int:
    """Add up what members owe."""
    return int((await session.execute(DEBT)).scalar_one())
