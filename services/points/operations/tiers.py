"""Tiers: what members said about who holds which."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from services.points.repository import tiers as repository
from services.points.repository.tiers import TierRow


async def record_tiers(session: AsyncSession, changes: Sequence[TierRow]) -> None:
    """Remember the latest tier of each member, in whatever order the changes are heard."""
    latest: dict[UUID, TierRow] = {}
    for change in changes:
        known = latest.get(change.member_id)
        if known is None or known.changed_at <= change.changed_at:
            latest[change.member_id] = change
    await repository.save_tiers(session, list(latest.values()))
