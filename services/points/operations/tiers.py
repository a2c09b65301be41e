"""Tiers: what members said about who holds which."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from services.points.repository import erased
from services.points.repository import tiers as repository
from services.points.repository.tiers import TierRow


async def record_tiers(session: AsyncSession, changes: Sequence[TierRow]) -> None:
    """Remember the tier of each member that was said last, in whatever order the changes are heard.

    Not the one with the latest date: a payment of last week that is told of today changes a tier as of then,
    after a member joined today.
    """
    latest: dict[UUID, TierRow] = {}
    for change in changes:
        known = latest.get(change.member_id)
        if known is None or known.event_id <= change.event_id:
            latest[change.member_id] = change
    # Of whoever is erased nothing is kept, however late it is told.
    for member_id in await erased.erased(session, latest):
        del latest[member_id]
    await repository.save_tiers(session, list(latest.values()))
