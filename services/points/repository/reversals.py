"""Statements that give back what entries took from lots."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from shared.writing import columns


@dataclass(frozen=True, slots=True)
class Taking:
    """An entry that took points from lots; `owner_id` is the member whom it came under."""

    entry_id: UUID
    about_id: UUID
    kind: str
    contra: str
    # The account that it is entered in, and the member whom it came under.
    account_id: UUID
    owner_id: UUID


@dataclass(slots=True)
class TakenLot:
    """What an entry took of a lot and has not been given back, and the lot as it is."""

    entry_id: UUID
    lot_id: UUID
    points: int
    returned_points: int
    # The member whom the lot came under: it is in the account of whoever they are merged into.
    owner_id: UUID
    expires_at: datetime | None
    sliding: bool
    pending: bool


class GivenBack(NamedTuple):
    """Points given back to a lot, in the order of GIVE_BACK; the lot is in `member_id`'s account."""

    lot_id: UUID
    entry_id: UUID
    points: int
    member_id: UUID
    expires_at: datetime | None
    sliding: bool


TAKINGS = text(
    """
    SELECT entries.id, entries.about_id, entries.kind, entries.contra, entries.member_id,
           coalesce(entries.origin_id, entries.member_id)
    FROM unnest(CAST(:about_ids AS uuid[]), CAST(:kinds AS text[])) AS asked(about_id, kind)
         JOIN entries ON entries.about_id = asked.about_id AND entries.kind = asked.kind
                         AND entries.reference = ''
    """
)

# The last in spending order comes first: what was taken last is the first to go back.
TAKEN_LOTS = text(
    """
    SELECT lot_moves.entry_id, lots.id, lot_moves.points, lot_moves.returned_points,
           coalesce(lots.origin_id, lots.member_id), lots.expires_at, lots.sliding, lots.pending
    FROM lot_moves JOIN lots ON lots.id = lot_moves.lot_id
    WHERE lot_moves.entry_id = ANY(CAST(:entry_ids AS uuid[]))
    ORDER BY lots.expires_at DESC NULLS FIRST, lots.earned_at DESC, lots.id DESC
    """
)

KNOWN_REVERSALS = text(
    """
    SELECT about_id, reference FROM entries
    WHERE about_id = ANY(CAST(:entry_ids AS uuid[])) AND kind = 'reverse'
    """
)

GIVE_BACK = text(
    """
    WITH given AS MATERIALIZED (
        SELECT * FROM unnest(CAST(:p0 AS uuid[]), CAST(:p1 AS uuid[]), CAST(:p2 AS bigint[]),
                             CAST(:p3 AS uuid[]), CAST(:p4 AS timestamptz[]), CAST(:p5 AS boolean[]))
                      AS g(lot_id, entry_id, points, member_id, expires_at, sliding)
    ), moved AS (
        UPDATE lot_moves SET returned_points = lot_moves.returned_points + move.points
        FROM (SELECT lot_id, entry_id, CAST(sum(points) AS bigint) AS points
              FROM given GROUP BY lot_id, entry_id) AS move
        WHERE lot_moves.lot_id = move.lot_id AND lot_moves.entry_id = move.entry_id
    )
    UPDATE lots SET remaining_points = lots.remaining_points + lot.points, member_id = lot.member_id,
           origin_id = CASE WHEN lot.member_id <> lots.member_id OR lots.origin_id IS NOT NULL
                            THEN coalesce(lots.origin_id, lots.member_id) END,
           expires_at = lot.expires_at, sliding = lot.sliding
    FROM (SELECT DISTINCT ON (lot_id) lot_id, member_id, expires_at, sliding,
                 CAST(sum(points) OVER (PARTITION BY lot_id) AS bigint) AS points
          FROM given ORDER BY lot_id, expires_at DESC NULLS FIRST) AS lot
    WHERE lots.id = lot.lot_id
    """
)

ADD_SPENDS = text(
    """
    INSERT INTO order_spends (order_id, about_id)
    SELECT * FROM unnest(CAST(:p0 AS uuid[]), CAST(:p1 AS uuid[]))
    ON CONFLICT DO NOTHING
    """
)

SPENDS = text(
    """
    SELECT order_id, about_id FROM order_spends WHERE order_id = ANY(CAST(:order_ids AS uuid[]))
    ORDER BY order_id, about_id
    """
)


async def takings(session: AsyncSession, asked: Sequence[tuple[UUID, str]]) -> list[Taking]:
    """Return the entries of these (about, kind) that exist."""
    about_ids, kinds = zip(*asked, strict=True)
    rows = await session.execute(TAKINGS, {"about_ids": about_ids, "kinds": kinds})
    return [Taking(*row) for row in rows]


async def taken_lots(session: AsyncSession, entry_ids: Sequence[UUID]) -> list[TakenLot]:
    """Return what these entries took of lots, the last taken first."""
    return [TakenLot(*row) for row in await session.execute(TAKEN_LOTS, {"entry_ids": list(entry_ids)})]


async def known_reversals(session: AsyncSession, entry_ids: Sequence[UUID]) -> set[tuple[UUID, str]]:
    """Return (entry, reference) of the reversals that have been entered for these entries."""
    return {tuple(row) for row in await session.execute(KNOWN_REVERSALS, {"entry_ids": list(entry_ids)})}


async def give_back(session: AsyncSession, rows: Sequence[GivenBack]) -> None:
    """Give points back to lots, each into the account that has it now."""
    if rows:
        await session.execute(GIVE_BACK, columns(rows))


async def add_spends(session: AsyncSession, rows: Sequence[tuple[UUID, UUID]]) -> None:
    """Remember (order, what spent points on it)."""
    if rows:
        order_ids, about_ids = zip(*rows, strict=True)
        await session.execute(ADD_SPENDS, {"p0": order_ids, "p1": about_ids})


async def spends(session: AsyncSession, order_ids: Sequence[UUID]) -> list[tuple[UUID, UUID]]:
    """Return (order, what spent points on it)."""
    return [(row[0], row[1]) for row in await session.execute(SPENDS, {"order_ids": list(order_ids)})]
