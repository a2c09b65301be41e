"""Statements on points that are moved by hand."""

from collections.abc import Collection, Sequence
from dataclasses import astuple, dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from services.points.repository.aliases import PERSONS
from shared.writing import Append, append, columns


@dataclass(slots=True)
class AdjustmentRow:
    """A row of `adjustments`."""

    id: UUID
    member_id: UUID
    points: int
    reason: str
    expires_at: datetime | None
    allow_debt: bool
    status: str
    actor: str
    requested_at: datetime
    lapses_at: datetime | None = None
    decided_by: str | None = None
    decided_at: datetime | None = None
    decision_reason: str | None = None
    entry_id: UUID | None = None


class _Decision(NamedTuple):
    """What is written when an adjustment is decided, in the order of DECIDE."""

    id: UUID
    status: str
    decided_by: str | None
    decided_at: datetime | None
    decision_reason: str | None
    entry_id: UUID | None


# In the order of AdjustmentRow.
ADJUSTMENTS = Append(
    "adjustments",
    id="uuid",
    member_id="uuid",
    points="bigint",
    reason="text",
    expires_at="timestamptz",
    allow_debt="boolean",
    status="text",
    actor="text",
    requested_at="timestamptz",
    lapses_at="timestamptz",
    decided_by="text",
    decided_at="timestamptz",
    decision_reason="text",
    entry_id="uuid",
)
# A proposal whose time is over has lapsed, whether or not the job has been round.
SHOWN = """
    SELECT id, member_id, points, reason, expires_at, allow_debt,
           CASE WHEN status = 'pending_approval' AND lapses_at <= clock_timestamp() THEN 'lapsed'
                ELSE status END AS status,
           actor, requested_at, lapses_at, decided_by, decided_at, decision_reason, entry_id
    FROM adjustments
"""

LOCK = text(f"{SHOWN} WHERE id = ANY(CAST(:ids AS uuid[])) ORDER BY id FOR UPDATE")

LIST = text(
    f"""
    SELECT * FROM ({SHOWN}) AS adjustment
    WHERE (CAST(:status AS text) IS NULL OR status = :status)
          AND (CAST(:member_id AS uuid) IS NULL OR member_id = :member_id)
          AND (CAST(:before AS uuid) IS NULL OR id < :before)
    ORDER BY id DESC LIMIT :limit
    """  # noqa: S608 - a constant
)

DECIDE = text(
    """
    UPDATE adjustments SET status = new.status, decided_by = new.decided_by, decided_at = new.decided_at,
           decision_reason = new.decision_reason, entry_id = new.entry_id
    FROM unnest(CAST(:p0 AS uuid[]), CAST(:p1 AS text[]), CAST(:p2 AS text[]), CAST(:p3 AS timestamptz[]),
                CAST(:p4 AS text[]), CAST(:p5 AS uuid[]))
         AS new(id, status, decided_by, decided_at, decision_reason, entry_id)
    WHERE adjustments.id = new.id
    """
)

# What each actor has moved for each person without being asked, in absolute points, under whichever of the
# ids that are merged into one account.
MOVED = text(
    f"""
    SELECT actor, person.account_id, CAST(sum(abs(points)) AS bigint)
    FROM {PERSONS}
    JOIN adjustments USING (member_id)
    WHERE actor = ANY(CAST(:actors AS text[]))
          AND status = 'posted' AND requested_at > CAST(:since AS timestamptz)
    GROUP BY actor, person.account_id
    """  # noqa: S608 - a constant
)

LAPSE = text(
    """
    UPDATE adjustments SET status = 'lapsed', decided_at = clock_timestamp()
    WHERE id IN (
        SELECT id FROM adjustments WHERE status = 'pending_approval' AND lapses_at <= clock_timestamp()
        ORDER BY lapses_at LIMIT :limit FOR UPDATE SKIP LOCKED
    )
    RETURNING id
    """
)


async def add(session: AsyncSession, rows: Sequence[AdjustmentRow]) -> None:
    """Keep what was posted or proposed."""
    await append(session, ADJUSTMENTS, list(map(astuple, rows)))


async def moved_since(
    session: AsyncSession, account_ids: Collection[UUID], actors: Collection[str], since: datetime
) -> dict[tuple[str, UUID], int]:
    """Return the absolute points that each actor moved in each account at once since then."""
    rows = await session.execute(
        MOVED, {"account_ids": list(account_ids), "actors": list(actors), "since": since}
    )
    return {(row[0], row[1]): row[2] for row in rows}


async def lock(session: AsyncSession, ids: Collection[UUID]) -> dict[UUID, AdjustmentRow]:
    """Lock those of the adjustments that exist, as they are by the database's clock."""
    rows = await session.execute(LOCK, {"ids": sorted(ids)})
    return {row.id: AdjustmentRow(*row) for row in rows}


async def decide(session: AsyncSession, rows: Sequence[AdjustmentRow]) -> None:
    """Write what was decided."""
    if rows:
        values = [_Decision(*(getattr(row, name) for name in _Decision._fields)) for row in rows]
        await session.execute(DECIDE, columns(values))


async def listed(
    session: AsyncSession,
    *,
    status: str | None = None,
    member_id: UUID | None = None,
    before: UUID | None = None,
    limit: int,
) -> list[AdjustmentRow]:
    """Return adjustments, the newest first."""
    parameters = {"status": status, "member_id": member_id, "before": before, "limit": limit}
    return [AdjustmentRow(*row) for row in await session.execute(LIST, parameters)]


async def find(session: AsyncSession, adjustment_id: UUID) -> AdjustmentRow | None:
    """Return one adjustment."""
    row = (await session.execute(text(f"{SHOWN} WHERE id = :id"), {"id": adjustment_id})).one_or_none()
    return None if row is None else AdjustmentRow(*row)


async def lapse(session: AsyncSession, limit: int) -> int:
    """Let proposals lapse whose time is over; return how many."""
    return len((await session.scalars(LAPSE, {"limit": limit})).all())
