"""Statements on merged members and on what moves between their accounts."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncSession

from shared.writing import columns


@dataclass(slots=True)
class AliasRow:
    """What was last said of a member's merging."""

    merged_id: UUID
    surviving_id: UUID
    revision: int
    merged: bool
    debt_points: int
    changed_at: datetime


@dataclass(slots=True)
class OpenLot:
    """An open lot of the accounts at hand, with the member whom it came under."""

    id: UUID
    member_id: UUID
    owner_id: UUID
    remaining_points: int
    pinned_points: int
    pending: bool
    earned_at: datetime
    expires_at: datetime | None
    sliding: bool


class OpenPin(NamedTuple):
    """What an open hold has pinned of a lot, and the member whom the hold came under."""

    hold_id: UUID
    lot_id: UUID
    points: int
    owner_id: UUID


# Accounts, `account_ids`, each with all ids of its person: what is kept under the id that it came under
# counts as one's, and apart again after the merge was undone.
PERSONS = """
    (
        SELECT id AS account_id, id AS member_id FROM unnest(CAST(:account_ids AS uuid[])) AS account(id)
        UNION ALL
        SELECT merged_into, member_id FROM accounts WHERE merged_into = ANY(CAST(:account_ids AS uuid[]))
    ) AS person
"""

# Merges are few, and one at a time is what keeps two that meet from each seeing half of the other.
LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended('points-merge', 0))")

# Everybody who was or is linked with these members, in either direction and over any number of links.
COMPONENT = text(
    """
    WITH RECURSIVE linked (id) AS (
        SELECT unnest(CAST(:member_ids AS uuid[]))
        UNION
        SELECT other.id FROM linked
             JOIN member_aliases AS alias ON linked.id IN (alias.merged_id, alias.surviving_id)
             CROSS JOIN LATERAL (VALUES (alias.merged_id), (alias.surviving_id)) AS other(id)
    )
    SELECT id FROM linked
    """
)

ALIASES = text(
    """
    SELECT merged_id, surviving_id, revision, merged, debt_points, changed_at FROM member_aliases
    WHERE merged_id = ANY(CAST(:member_ids AS uuid[]))
    """
)

SAVE_ALIASES = text(
    """
    INSERT INTO member_aliases (merged_id, surviving_id, revision, merged, debt_points, changed_at)
    SELECT * FROM unnest(CAST(:p0 AS uuid[]), CAST(:p1 AS uuid[]), CAST(:p2 AS bigint[]),
                         CAST(:p3 AS boolean[]), CAST(:p4 AS bigint[]), CAST(:p5 AS timestamptz[]))
    ON CONFLICT (merged_id) DO UPDATE
    SET surviving_id = excluded.surviving_id, revision = excluded.revision, merged = excluded.merged,
        debt_points = excluded.debt_points, changed_at = excluded.changed_at
    """
)

OPEN_LOTS = text(
    """
    SELECT id, member_id, coalesce(origin_id, member_id), remaining_points, pinned_points, pending, earned_at,
           expires_at, sliding
    FROM lots WHERE member_id = ANY(CAST(:member_ids AS uuid[])) AND remaining_points > 0
    ORDER BY id
    """
)

OPEN_PINS = text(
    """
    SELECT hold_lots.hold_id, hold_lots.lot_id, hold_lots.points, coalesce(holds.origin_id, holds.member_id)
    FROM holds JOIN hold_lots ON hold_lots.hold_id = holds.id
    WHERE holds.member_id = ANY(CAST(:member_ids AS uuid[])) AND holds.status = 'held'
    ORDER BY hold_lots.hold_id, hold_lots.lot_id
    """
)

MOVE_LOTS = text(
    """
    UPDATE lots SET member_id = moved.member_id, origin_id = coalesce(lots.origin_id, lots.member_id)
    FROM unnest(CAST(:p0 AS uuid[]), CAST(:p1 AS uuid[])) AS moved(id, member_id)
    WHERE lots.id = moved.id
    """
)

MOVE_HOLDS = text(
    """
    UPDATE holds SET member_id = moved.member_id, origin_id = coalesce(holds.origin_id, holds.member_id)
    FROM unnest(CAST(:p0 AS uuid[]), CAST(:p1 AS uuid[])) AS moved(owner_id, member_id)
    WHERE holds.status = 'held' AND holds.member_id = ANY(CAST(:member_ids AS uuid[]))
          AND coalesce(holds.origin_id, holds.member_id) = moved.owner_id
          AND holds.member_id <> moved.member_id
    """
)

MOVE_PINS = text(
    """
    UPDATE hold_lots SET lot_id = moved.to_id
    FROM unnest(CAST(:p0 AS uuid[]), CAST(:p1 AS uuid[]), CAST(:p2 AS uuid[]))
         AS moved(hold_id, from_id, to_id)
    WHERE hold_lots.hold_id = moved.hold_id AND hold_lots.lot_id = moved.from_id
    """
)

POINT_ACCOUNTS = text(
    """
    UPDATE accounts SET merged_into = pointed.root
    FROM unnest(CAST(:p0 AS uuid[]), CAST(:p1 AS uuid[])) AS pointed(member_id, root)
    WHERE accounts.member_id = pointed.member_id
    """
)


async def _write(session: AsyncSession, statement: TextClause, rows: Sequence[Any], **more: Any) -> None:
    if rows:
        await session.execute(statement, columns(rows) | more)


async def lock_merges(session: AsyncSession) -> None:
    """Make other merges wait until the end of the transaction; everything else goes on."""
    await session.execute(LOCK)


async def component(session: AsyncSession, member_ids: Sequence[UUID]) -> set[UUID]:
    """Return these members and everybody who was or is linked with them."""
    return set((await session.scalars(COMPONENT, {"member_ids": list(member_ids)})).all())


async def aliases(session: AsyncSession, member_ids: Sequence[UUID]) -> dict[UUID, AliasRow]:
    """Return what was last said of these members' merging."""
    return {
        row[0]: AliasRow(*row) for row in await session.execute(ALIASES, {"member_ids": list(member_ids)})
    }


async def save_aliases(session: AsyncSession, rows: Sequence[AliasRow]) -> None:
    """Keep what was said last."""
    await _write(
        session,
        SAVE_ALIASES,
        [
            (row.merged_id, row.surviving_id, row.revision, row.merged, row.debt_points, row.changed_at)
            for row in rows
        ],
    )


async def open_lots(session: AsyncSession, member_ids: Sequence[UUID]) -> list[OpenLot]:
    """Return the open lots of these accounts."""
    return [OpenLot(*row) for row in await session.execute(OPEN_LOTS, {"member_ids": list(member_ids)})]


async def open_pins(session: AsyncSession, member_ids: Sequence[UUID]) -> list[OpenPin]:
    """Return what the open holds of these accounts have pinned."""
    return [OpenPin(*row) for row in await session.execute(OPEN_PINS, {"member_ids": list(member_ids)})]


async def move_lots(session: AsyncSession, rows: Sequence[tuple[UUID, UUID]]) -> None:
    """Put (lot) into (account); the lot remembers the member whom it came under."""
    await _write(session, MOVE_LOTS, rows)


async def move_holds(
    session: AsyncSession, rows: Sequence[tuple[UUID, UUID]], member_ids: Sequence[UUID]
) -> None:
    """Put open holds that came under (member) into (account)."""
    await _write(session, MOVE_HOLDS, rows, member_ids=list(member_ids))


async def move_pins(session: AsyncSession, rows: Sequence[tuple[UUID, UUID, UUID]]) -> None:
    """Let (hold) pin another lot (to) in place of one (from)."""
    await _write(session, MOVE_PINS, rows)


async def point_accounts(session: AsyncSession, rows: Sequence[tuple[UUID, UUID | None]]) -> None:
    """Make (member) an alias of (root), or a member of their own if that is None."""
    await _write(session, POINT_ACCOUNTS, rows)
