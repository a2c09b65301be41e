"""Show: what accounts, entries and the books say now."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from services.points.errors import RedemptionNotFound
from services.points.repository import reports, rewards
from services.points.repository.reports import EntryShown
from services.points.repository.rewards import RedemptionRow


@dataclass(frozen=True, slots=True)
class Balance:
    """A member's points in every state, judged by the database's clock."""

    member_id: UUID
    available_points: int
    pending_points: int
    held_points: int
    debt_points: int
    earned_points: int
    spent_points: int
    expired_points: int
    clawed_back_points: int
    expirations: list[tuple[datetime, int]]


async def show_points(session: AsyncSession, member_id: UUID) -> Balance:
    """Return a member's balance. Who has never earned has nothing, which is an answer and no error.

    Points past their date count as expired, whether or not the job has entered it yet.
    """
    row = await reports.balance(session, member_id)
    if row is None:
        return Balance(member_id, 0, 0, 0, 0, 0, 0, 0, 0, [])
    return Balance(
        member_id=member_id,
        available_points=max(0, row.live_points - row.held_points),
        pending_points=row.pending_points,
        held_points=row.held_points,
        debt_points=row.debt_points,
        earned_points=row.earned_points,
        spent_points=row.spent_points,
        expired_points=row.expired_points + row.due_points,
        clawed_back_points=row.clawed_back_points,
        expirations=row.expirations,
    )


async def show_entries(
    session: AsyncSession, member_id: UUID, *, before: int, limit: int
) -> list[EntryShown]:
    """Return a member's entries, the newest first."""
    return await reports.entries(session, member_id, before=before, limit=limit)


async def show_redemptions(
    session: AsyncSession, member_id: UUID, *, before: UUID | None, limit: int
) -> list[RedemptionRow]:
    """Return a member's redemptions, the newest first."""
    return await rewards.redemptions_of(session, member_id, before=before, limit=limit)


async def show_redemption(session: AsyncSession, redemption_id: UUID) -> RedemptionRow:
    """Return one redemption; raises `RedemptionNotFound`."""
    found = await rewards.redemption(session, redemption_id)
    if found is None:
        raise RedemptionNotFound(redemption_id=str(redemption_id))
    return found


async def summarise(session: AsyncSession) -> dict[str, int]:
    """Return the figures of the whole ledger, with those that prove that it adds up."""
    return await reports.summary(session)
