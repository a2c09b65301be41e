"""Members that are one person have one limit and one seat in a group; what they took before stays theirs."""

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncSession

from shared import aliases
from shared.events import MemberMerged, MemberUnmerged

__all__ = ["link_members"]


async def link_members(session: AsyncSession, news: Sequence[MemberMerged | MemberUnmerged]) -> None:
    """Take in who is who. Seats, coupons and counters keep their ids; the next that asks adds them up."""
    await aliases.save_links(session, news)
