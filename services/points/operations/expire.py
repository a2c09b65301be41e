"""Expire: points that passed their date go back."""

from sqlalchemy.ext.asyncio import AsyncSession

from services.points.operations.ledger import Ledger
from services.points.repository import ledger as repository
from services.points.repository import reports
from shared.outbox import emit


async def expire(session: AsyncSession, *, limit: int) -> int:
    """Expire what is due in up to `limit` accounts and return how many of them were looked at.

    Accounts that another transaction works on are passed over; it settles them itself.
    """
    member_ids = await repository.claim_due_accounts(session, limit)
    if not member_ids:
        return 0
    ledger = Ledger({}, await repository.database_now(session))
    await ledger.expire(session, member_ids)
    await emit(session, ledger.events)
    return len(member_ids)


async def count_due_lots(session: AsyncSession) -> int:
    """Count lots that have passed their date and wait for the job."""
    return await reports.due_lots(session)


async def count_parked_refunds(session: AsyncSession) -> int:
    """Count refunds that wait for their order to be paid."""
    return await reports.parked_refunds(session)
