"""What lifecycle stages are judged by, who is due, and what was said."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncSession

from shared.writing import Append, append

__all__ = ["StageChange", "due_members", "history_page", "insert_history", "purchases", "swept", "take_sweep"]


class StageChange(NamedTuple):
    """A change of stage, as its table and its event tell it."""

    member_id: UUID
    from_stage: str
    to_stage: str
    at: datetime
    reason: str
    purchases: int
    recency_days: int
    expected_interval_days: int
    strategy: str | None
    rules_version: int


# In the order of StageChange.
STAGE_HISTORY = Append(
    "stage_history",
    member_id="uuid",
    from_stage="text",
    to_stage="text",
    at="timestamptz",
    reason="text",
    purchases="integer",
    recency_days="integer",
    expected_interval_days="integer",
    strategy="text",
    rules_version="integer",
)


PURCHASES = text(
    """
    SELECT k.person_id, array_agg(o.paid_at ORDER BY o.paid_at) AS bought_at
    FROM unnest(CAST(:persons AS uuid[]), CAST(:members AS uuid[])) AS k(person_id, member_id)
    JOIN orders AS o ON o.member_id = k.member_id
    WHERE o.paid_at IS NOT NULL AND o.cancelled_at IS NULL
      AND (o.refunded_minor = 0 OR o.refunded_minor < o.total_minor)
    GROUP BY k.person_id
    """
)

# Locked in the order of ids, like every batch does it; what another one holds is left for the next time.
DUE = text(
    """
    SELECT id FROM members WHERE id IN (
        SELECT m.id FROM members AS m
        WHERE m.stage_look_at <= coalesce(CAST(:as_of AS timestamptz), clock_timestamp())
          AND m.erased_at IS NULL
          AND NOT EXISTS (SELECT FROM aliases WHERE aliases.merged_id = m.id)
        ORDER BY m.stage_look_at LIMIT :limit)
    ORDER BY id FOR NO KEY UPDATE SKIP LOCKED
    """
)

# Earlier rules that have not reached everybody yet need not, once there are newer ones.
SWEEP = text(
    """
    SELECT version, swept_to FROM lifecycles
    WHERE version = (SELECT max(version) FROM lifecycles) AND NOT is_swept FOR UPDATE SKIP LOCKED
    """
)

NEXT_MEMBERS = text(
    """
    SELECT id FROM members
    WHERE (CAST(:after AS uuid) IS NULL OR id > CAST(:after AS uuid)) AND erased_at IS NULL
    ORDER BY id LIMIT :limit
    """
)

SWEPT = text(
    "UPDATE lifecycles SET swept_to = coalesce(:swept_to, swept_to), is_swept = :is_swept"
    " WHERE version = :version"
)

HISTORY_PAGE = text(
    """
    SELECT id, from_stage, to_stage, at, reason, purchases, recency_days, expected_interval_days, strategy,
        rules_version, recorded_at
    FROM stage_history
    WHERE member_id = ANY(CAST(:ids AS uuid[])) AND (CAST(:before AS bigint) IS NULL OR id < :before)
    ORDER BY id DESC LIMIT :limit
    """
)


async def purchases(
    session: AsyncSession, persons: Collection[tuple[UUID, Sequence[UUID]]]
) -> dict[UUID, list[datetime]]:
    """Return when persons bought, in order; each is named with the members that it is."""
    pairs = [(person_id, member_id) for person_id, ids in persons for member_id in ids]
    if not pairs:
        return {}
    people, members = zip(*pairs, strict=True)
    rows = await session.execute(PURCHASES, {"persons": people, "members": members})
    return {row.person_id: row.bought_at for row in rows}


async def due_members(session: AsyncSession, *, as_of: datetime | None, limit: int) -> list[UUID]:
    """Lock and return persons whose stage is to be looked at by now, each for one caller at a time."""
    return list((await session.scalars(DUE, {"as_of": as_of, "limit": limit})).all())


async def take_sweep(session: AsyncSession, *, limit: int) -> tuple[int, list[UUID]] | None:
    """Return the version of rules that has not reached everybody, and the next members it has to reach."""
    row = (await session.execute(SWEEP)).one_or_none()
    if row is None:
        return None
    found = await session.scalars(NEXT_MEMBERS, {"after": row.swept_to, "limit": limit})
    return row.version, list(found.all())


async def swept(session: AsyncSession, version: int, *, swept_to: UUID | None, is_swept: bool) -> None:
    """Store how far rules have come."""
    await session.execute(SWEPT, {"version": version, "swept_to": swept_to, "is_swept": is_swept})


async def insert_history(session: AsyncSession, changes: Sequence[StageChange]) -> None:
    """Write down changes of stage."""
    await append(session, STAGE_HISTORY, changes)


async def history_page(
    session: AsyncSession, ids: Collection[UUID], *, before: int | None, limit: int
) -> Sequence[RowMapping]:
    """Return the stages that were said of a person, the latest first."""
    found = await session.execute(HISTORY_PAGE, {"ids": list(ids), "before": before, "limit": limit})
    return found.mappings().all()
