"""Show: what accounts, entries and the books say now."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from services.points.errors import RedemptionNotFound
from services.points.repository import balances, redemptions, reports
from services.points.repository.redemptions import RedemptionRow
from services.points.repository.reports import EntryShown


@dataclass(frozen=True, slots=True)
class Balance:
    """A member's points in every state, judged by the database's clock.

    `account_id` is another member's if this one is merged into them. `maturities` without a date wait for
    their event.
    """

    member_id: UUID
    account_id: UUID
    available_points: int = 0
    pending_points: int = 0
    held_points: int = 0
    debt_points: int = 0
    earned_points: int = 0
    spent_points: int = 0
    expired_points: int = 0
    clawed_back_points: int = 0
    adjusted_points: int = 0
    transferred_points: int = 0
    forfeited_points: int = 0
    expirations: list[tuple[datetime, int]] = field(default_factory=list)
    maturities: list[tuple[datetime | None, int]] = field(default_factory=list)


async def show_points(session: AsyncSession, member_id: UUID) -> Balance:
    """Return a member's balance. Who has never earned has nothing, which is an answer and no error.

    Nothing is written: points past their date count as expired, those whose time has come as matured, holds
    past theirs as over, and what became free by it as repaying debt, whether or not anybody has entered it.
    """
    account = await balances.balance(session, member_id)
    if account is None:
        return Balance(member_id, member_id)
    free = held = pending = expired = 0
    expirations: Counter[datetime] = Counter()
    maturities: Counter[datetime | None] = Counter()
    for lot in account.lots:
        if lot.pending:
            pending += lot.points
            maturities[lot.matures_at] += lot.points
        else:
            held += lot.held_points
            if lot.due:
                expired += lot.points - lot.held_points
                continue
            free += lot.points - lot.held_points
        if lot.expires_at is not None:
            expirations[lot.expires_at] += lot.points
    # What became free by time repays debt, whatever its date: a debtor has no other free points.
    overdue = min(expired, account.debt_points)
    expired -= overdue
    repaid = min(free, account.debt_points - overdue)
    return Balance(
        member_id=member_id,
        account_id=account.account_id,
        available_points=free - repaid,
        pending_points=pending,
        held_points=held,
        debt_points=account.debt_points - overdue - repaid,
        earned_points=account.earned_points,
        spent_points=account.spent_points,
        expired_points=account.expired_points + expired,
        clawed_back_points=account.clawed_back_points,
        adjusted_points=account.adjusted_points,
        transferred_points=account.transferred_points,
        forfeited_points=account.forfeited_points,
        expirations=sorted(expirations.items()),
        maturities=sorted(maturities.items(), key=lambda item: (item[0] is None, item[0])),
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
    return await redemptions.redemptions_of(session, member_id, before=before, limit=limit)


async def show_redemption(session: AsyncSession, redemption_id: UUID) -> RedemptionRow:
    """Return one redemption; raises `RedemptionNotFound`."""
    found = await redemptions.redemptions_by_id(session, [redemption_id])
    if redemption_id not in found:
        raise RedemptionNotFound(redemption_id=str(redemption_id))
    return found[redemption_id]


async def show_to_fulfil(
    session: AsyncSession, step: str, *, after: UUID | None, limit: int
) -> list[RedemptionRow]:
    """Return redemptions of goods and gifts at a step of their way, the oldest first."""
    return await redemptions.to_fulfil(session, step, after=after, limit=limit)


async def count_pending_redemptions(session: AsyncSession) -> int:
    """Count redemptions that wait for the word of the service that delivers them."""
    return await redemptions.pending_redemptions(session)


async def summarise(session: AsyncSession) -> dict[str, int]:
    """Return the figures of the whole ledger, with those that prove that it adds up."""
    return await reports.summary(session)
