"""Statements on holds and what they pin."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession


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


async def lapse(session: AsyncSession, member_ids: Sequence[UUID], *, now: datetime) -> list[HoldRow]:
    """End what these locked accounts hold past its time, and let go of the lots."""
    rows = await session.execute(LAPSE, {"member_ids": list(member_ids), "now": now})
    return [HoldRow(*row) for row in rows]
