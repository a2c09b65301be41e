"""Whether the summaries are what the facts add up to, and making them so."""

from datetime import date
from typing import Final

from sqlalchemy.ext.asyncio import AsyncSession

from services.analytics.repository import verification
from shared import metrics

__all__ = ["rebuild", "verify", "verify_recent"]

DIFFERENCES: Final = metrics.gauge(
    "regulars_analytics_differing_rows",
    "Rows of daily summaries that differ from their facts at the latest look; anything but 0 is a bug.",
    ("table",),
)


async def verify(session: AsyncSession) -> dict[str, int]:
    """Recompute every summary from the facts and count the rows that differ, by table; all 0 is right.

    Each table is compared in one statement, so an ingest meanwhile cannot look like a difference.
    """
    return {table: await verification.differences(session, table, None) for table in verification.SUMMARIES}


async def verify_recent(session: AsyncSession, since: date) -> dict[str, int]:
    """The same from the day `since` on, for the summaries that go by day; a metric shows the result."""
    found = {table: await verification.differences(session, table, since) for table in verification.DAILY}
    for table, rows in found.items():
        DIFFERENCES.labels(table).set(rows)
    return found


async def rebuild(session: AsyncSession) -> dict[str, int]:
    """Add every summary up again from the facts; return how many rows had differed, by table.

    Holds every ingest off until the transaction ends. Revisions go on growing.
    """
    await verification.lock_for_rebuild(session)
    found = await verify(session)
    for table, rows in found.items():
        if rows:
            await verification.recompute(session, table)
    return found
