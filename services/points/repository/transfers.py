"""Statements on transfers between members."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

TRANSFERS = text(
    """
    SELECT about_id, coalesce(origin_id, member_id), CAST(detail->>'to_id' AS uuid), -points FROM entries
    WHERE about_id = ANY(CAST(:transfer_ids AS uuid[])) AND kind = 'transfer_out' AND reference = ''
    """
)


async def transfers(
    session: AsyncSession, transfer_ids: Sequence[UUID]
) -> dict[UUID, tuple[UUID, UUID, int]]:
    """Return, for those of the transfers that went through, who gave whom how much."""
    rows = await session.execute(TRANSFERS, {"transfer_ids": list(transfer_ids)})
    return {row[0]: (row[1], row[2], row[3]) for row in rows}
