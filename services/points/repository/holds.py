"""Statements on holds and what they pin."""

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from shared.writing import columns


@dataclass(slots=True)
class HoldRow:
    """A hold as it is stored."""

    id: UUID
    member_id: UUID
    origin_id: UUID | None
    points: int
    captured_points: int
    status: str
    order_id: UUID | None
    reason: str
    actor: str
    held_at: datetime
    expires_at: datetime
    settled_at: datetime | None


COLUMNS = (
    "id, member_id, origin_id, points, captured_points, status, order_id, reason, actor, held_at,"
    " expires_at, settled_at"
)

LAPSE = text(
    f"""
    WITH over AS (
        UPDATE holds SET status = 'expired', settled_at = :now
        WHERE member_id = ANY(CAST(:member_ids AS uuid[])) AND status = 'held' AND expires_at <= :now
        RETURNING {COLUMNS}
    ), released AS (
        UPDATE lots SET pinned_points = lots.pinned_points - pin.points
        FROM (SELECT hold_lots.lot_id, CAST(sum(hold_lots.points) AS bigint) AS points
              FROM over JOIN hold_lots ON hold_lots.hold_id = over.id GROUP BY hold_lots.lot_id) AS pin
        WHERE lots.id = pin.lot_id
    )
    SELECT {COLUMNS} FROM over ORDER BY member_id, expires_at, id
    """  # noqa: S608 - constant names
)

HOLDS = text(f"SELECT {COLUMNS} FROM holds WHERE id = ANY(CAST(:hold_ids AS uuid[]))")  # noqa: S608

# A hold that is over is over, whether or not anybody has settled it.
HOLD_NOW = text(
    f"""
    SELECT {
        COLUMNS.replace(
            "status",
            "CASE WHEN status = 'held' AND expires_at <= clock_timestamp()"
            " THEN 'expired' ELSE status END AS status",
        )
    }
    FROM holds WHERE id = :hold_id
    """  # noqa: S608 - constant names
)

HELD_FOR_ORDERS = text(
    "SELECT id FROM holds WHERE order_id = ANY(CAST(:order_ids AS uuid[])) AND status = 'held' ORDER BY id"
)

# What each hold has pinned, in spending order.
PINS = text(
    """
    SELECT hold_lots.hold_id, hold_lots.lot_id, hold_lots.points,
           CASE WHEN lots.sliding THEN accounts.sliding_expires_at ELSE lots.expires_at END AS expires_at
    FROM hold_lots JOIN lots ON lots.id = hold_lots.lot_id JOIN accounts USING (member_id)
    WHERE hold_lots.hold_id = ANY(CAST(:hold_ids AS uuid[]))
    ORDER BY expires_at NULLS LAST, lots.earned_at, lots.id
    """
)

ADD_HOLDS = text(
    f"""
    INSERT INTO holds ({COLUMNS})
    SELECT * FROM unnest(CAST(:p0 AS uuid[]), CAST(:p1 AS uuid[]), CAST(:p2 AS uuid[]),
                         CAST(:p3 AS bigint[]), CAST(:p4 AS bigint[]), CAST(:p5 AS text[]),
                         CAST(:p6 AS uuid[]), CAST(:p7 AS text[]), CAST(:p8 AS text[]),
                         CAST(:p9 AS timestamptz[]), CAST(:p10 AS timestamptz[]), CAST(:p11 AS timestamptz[]))
    """  # noqa: S608 - constant names
)

ADD_PINS = text(
    """
    INSERT INTO hold_lots (hold_id, lot_id, points)
    SELECT * FROM unnest(CAST(:p0 AS uuid[]), CAST(:p1 AS uuid[]), CAST(:p2 AS bigint[]))
    """
)

SETTLE_HOLDS = text(
    """
    UPDATE holds SET status = settled.status, captured_points = settled.points, settled_at = :now
    FROM unnest(CAST(:p0 AS uuid[]), CAST(:p1 AS text[]), CAST(:p2 AS bigint[]))
         AS settled(id, status, points)
    WHERE holds.id = settled.id
    """
)


class Pin(NamedTuple):
    """What a hold has pinned of a lot, and when the lot expires."""

    hold_id: UUID
    lot_id: UUID
    points: int
    expires_at: datetime | None


async def holds(session: AsyncSession, hold_ids: Sequence[UUID]) -> dict[UUID, HoldRow]:
    """Return those of the holds that exist."""
    rows = await session.execute(HOLDS, {"hold_ids": list(hold_ids)})
    return {row.id: HoldRow(*row) for row in rows}


async def hold_now(session: AsyncSession, hold_id: UUID) -> HoldRow | None:
    """Return one hold as it is by the database's clock."""
    row = (await session.execute(HOLD_NOW, {"hold_id": hold_id})).one_or_none()
    return HoldRow(*row) if row is not None else None


async def held_for(session: AsyncSession, order_ids: Sequence[UUID]) -> list[UUID]:
    """Return the holds that are open for these orders."""
    return list((await session.scalars(HELD_FOR_ORDERS, {"order_ids": list(order_ids)})).all())


async def pins(session: AsyncSession, hold_ids: Sequence[UUID]) -> dict[UUID, list[Pin]]:
    """Return what each hold has pinned, in spending order; the accounts are locked."""
    found: dict[UUID, list[Pin]] = {hold_id: [] for hold_id in hold_ids}
    for row in await session.execute(PINS, {"hold_ids": list(hold_ids)}):
        found[row.hold_id].append(Pin(*row))
    return found


async def add_holds(
    session: AsyncSession, rows: Sequence[HoldRow], pinned: Sequence[tuple[UUID, UUID, int]]
) -> None:
    """Record holds, and (hold, lot, points) of what they have pinned."""
    if rows:
        await session.execute(ADD_HOLDS, columns([astuple(row) for row in rows]))
        await session.execute(ADD_PINS, columns(pinned))


async def settle_holds(
    session: AsyncSession, rows: Sequence[tuple[UUID, str, int]], *, now: datetime
) -> None:
    """End holds: (hold, status, points captured)."""
    if rows:
        await session.execute(SETTLE_HOLDS, columns(rows) | {"now": now})


async def lapse(session: AsyncSession, member_ids: Sequence[UUID], *, now: datetime) -> list[HoldRow]:
    """End what these locked accounts hold past its time, and let go of the lots."""
    rows = await session.execute(LAPSE, {"member_ids": list(member_ids), "now": now})
    return [HoldRow(*row) for row in rows]
