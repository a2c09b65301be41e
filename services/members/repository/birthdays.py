"""When members are celebrated, and how often they said another date."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from services.members.domain import Celebrated

__all__ = [
    "Schedule",
    "changes_of_the_year",
    "due_members",
    "log_changes",
    "save_schedules",
    "schedules",
]

# Members without a row come too, so that the clock is read in the same statement.
SCHEDULES = text(
    """
    SELECT k.id, b.member_id IS NOT NULL AS is_known, b.birthday_year, b.next_at, b.celebrated_year,
           b.celebrated_on, clock_timestamp() AS now
    FROM unnest(CAST(:ids AS uuid[])) AS k(id) LEFT JOIN birthdays AS b ON b.member_id = k.id
    """
)

SAVE_SCHEDULES = text(
    """
    INSERT INTO birthdays (member_id, birthday_year, next_at, celebrated_year, celebrated_on)
    SELECT * FROM unnest(CAST(:ids AS uuid[]), CAST(:years AS integer[]), CAST(:nexts AS timestamptz[]),
                         CAST(:celebrated_years AS integer[]), CAST(:celebrated_days AS date[]))
    ON CONFLICT (member_id) DO UPDATE SET
        birthday_year = excluded.birthday_year, next_at = excluded.next_at,
        celebrated_year = excluded.celebrated_year, celebrated_on = excluded.celebrated_on
    """
)

DUE = text(
    """
    SELECT member_id FROM birthdays
    WHERE next_at <= coalesce(CAST(:now AS timestamptz), clock_timestamp()) ORDER BY next_at LIMIT :limit
    """
)

LOG_CHANGES = text(
    """
    INSERT INTO birthday_changes (member_id, is_first, actor)
    SELECT member_id, is_first, :actor
    FROM unnest(CAST(:ids AS uuid[]), CAST(:firsts AS boolean[])) AS n(member_id, is_first)
    """
)

CHANGES_OF_THE_YEAR = text(
    """
    SELECT b.member_id, (
        SELECT count(*) FROM birthday_changes AS c WHERE c.member_id = b.member_id AND NOT c.is_first
           AND c.recorded_at > clock_timestamp() - interval '365 days') AS changes
    FROM birthdays AS b WHERE b.member_id = ANY(CAST(:ids AS uuid[]))
    """
)


@dataclass(slots=True)
class Schedule:
    """A member's next celebration and the last one; `now` is the database's clock when it was read.

    `birthday_year` and `next_at` are None for somebody who has no birthday, and the year alone is None for
    somebody whose birthday nobody has looked at yet.
    """

    member_id: UUID
    is_known: bool
    birthday_year: int | None
    next_at: datetime | None
    celebrated: Celebrated
    now: datetime


async def schedules(session: AsyncSession, ids: Collection[UUID]) -> list[Schedule]:
    """Return a schedule for every member, an empty one for those who have none."""
    rows = await session.execute(SCHEDULES, {"ids": list(ids)})
    return [
        Schedule(
            row.id,
            row.is_known,
            row.birthday_year,
            row.next_at,
            Celebrated(row.celebrated_year, row.celebrated_on),
            row.now,
        )
        for row in rows
    ]


async def save_schedules(session: AsyncSession, changed: Sequence[Schedule]) -> None:
    """Write schedules."""
    if changed:
        await session.execute(
            SAVE_SCHEDULES,
            {
                "ids": [each.member_id for each in changed],
                "years": [each.birthday_year for each in changed],
                "nexts": [each.next_at for each in changed],
                "celebrated_years": [each.celebrated.year for each in changed],
                "celebrated_days": [each.celebrated.on for each in changed],
            },
        )


async def due_members(session: AsyncSession, *, now: datetime | None, limit: int) -> list[UUID]:
    """Return members whose day has begun, by the database's clock or at another instant."""
    return list((await session.scalars(DUE, {"now": now, "limit": limit})).all())


async def log_changes(session: AsyncSession, said: Sequence[tuple[UUID, bool]], actor: str) -> None:
    """Record that members said a birthday: (member, whether it is their first)."""
    if said:
        await session.execute(
            LOG_CHANGES,
            {
                "ids": [member_id for member_id, _ in said],
                "firsts": [first for _, first in said],
                "actor": actor,
            },
        )


async def changes_of_the_year(session: AsyncSession, ids: Collection[UUID]) -> dict[UUID, int]:
    """Return how often members changed their birthday in 365 days; who never said one is missing."""
    if not ids:
        return {}
    rows = await session.execute(CHANGES_OF_THE_YEAR, {"ids": list(ids)})
    return {row.member_id: row.changes for row in rows}
