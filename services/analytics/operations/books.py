"""The books of ingest: received = stored + duplicate + rejected, per day of arrival and source."""

from collections.abc import Collection, Iterable, Sequence
from datetime import date, datetime
from typing import Final, NamedTuple
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from services.analytics import repository
from shared import metrics
from shared.clock import utc_now

__all__ = ["FACTS", "Ingested", "count_duplicates", "keep_books"]

FACTS: Final = metrics.counter(
    "regulars_analytics_facts_total",
    "Events that analytics took in, by outcome: stored, or duplicate of a fact that it had.",
    ("outcome",),
)


class Ingested(NamedTuple):
    """How many events of a batch were new facts, and how many were known already."""

    stored: int
    duplicate: int


async def keep_books(
    session: AsyncSession, origins: Sequence[tuple[UUID, str]], stored: Collection[UUID], day: date
) -> Ingested:
    """Enter what arrived on `day`: `origins` are event ids with who stated them, `stored` the new ones."""
    books: dict[tuple[date, str], list[int]] = {}
    new = set(stored)
    for event_id, origin in origins:
        row = books.setdefault((day, origin), [0, 0])
        row[0 if event_id in new else 1] += 1
        # The same event twice in a batch is one fact and one duplicate.
        new.discard(event_id)
    await repository.add_ingest(session, books)
    result = Ingested(sum(row[0] for row in books.values()), sum(row[1] for row in books.values()))
    FACTS.labels("stored").inc(result.stored)
    FACTS.labels("duplicate").inc(result.duplicate)
    return result


async def count_duplicates(
    session: AsyncSession, origins: Iterable[str], *, now: datetime | None = None
) -> None:
    """Enter events that the inbox knew already, by who stated each."""
    day = (now or utc_now()).date()
    books: dict[tuple[date, str], list[int]] = {}
    for origin in origins:
        books.setdefault((day, origin), [0, 0])[1] += 1
    await repository.add_ingest(session, books)
    FACTS.labels("duplicate").inc(sum(row[1] for row in books.values()))
