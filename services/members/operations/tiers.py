"""The tier table and its change."""

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncSession

from services.members.domain import Ladder, Level
from services.members.operations.changes import Changes
from services.members.repository import program
from services.members.settings import settings
from shared.clock import utc_now

__all__ = ["count_members_to_judge", "rejudge_members", "replace_tiers"]


async def replace_tiers(session: AsyncSession, levels: Sequence[Level]) -> tuple[Ladder, int, int]:
    """Make a new tier table; return it and how many members it moves up and down.

    Members are moved by `rejudge_members`, or by their next order if that comes first.
    """
    await program.lock_tiers(session)
    version = (await program.ladder(session)).version + 1
    ladder = Ladder(version, levels)
    up, down = await program.would_move(session, levels)
    await program.insert_tiers(session, version, levels)
    return ladder, up, down


async def rejudge_members(session: AsyncSession, *, limit: int) -> int:
    """Judge up to `limit` members by the tier table that holds now; return how many were judged."""
    ids = await program.members_to_judge(session, limit=limit)
    if not ids:
        return 0
    changes = await Changes.begin(session, settings().program_currency)
    await changes.lock(ids)
    now = utc_now()
    for member_id in ids:
        changes.judge(changes.person(member_id), now, "tier_table")
    await changes.save()
    return len(ids)


async def count_members_to_judge(session: AsyncSession) -> int:
    """Return how many members a new tier table has not reached yet."""
    return await program.count_members_to_judge(session)
