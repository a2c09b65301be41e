"""Statements on transfers between members."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

TRANSFERS = text(
    """
    SELECT about_id, coalesce(origin_id, member_id), -points FROM entries
    WHERE about_id = ANY(CAST(:transfer_ids AS uuid[])) AND kind = 'transfer_out' AND reference = ''
    """
)


async def transfers(session: AsyncSession, transfer_ids: Sequence[UUID]) -> dict[UUID, tuple[UUID, int]]:
    """Return, for those of the transfers that went through, who gave how much."""
    rows = await session.execute(TRANSFERS, {"transfer_ids": list(transfer_ids)})
    return {row[0]: (row[1], row[2]) for row in rows}
