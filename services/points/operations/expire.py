"""Expire: what time has done to accounts that nobody works on."""

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncSession

from services.points.operations import settle
from services.points.operations.ledger import Ledger
from services.points.repository import ledger as ledger_repository
from services.points.repository import reports
from services.points.repository import settling as repository
from services.points.repository.settling import DueAccount
from shared.outbox import emit

# Enough to see that the job is behind; to count a million every few seconds would only hold it up.
DUE_ACCOUNTS_COUNTED = 10_000


async def expire(session: AsyncSession, *, limit: int) -> int:
    """Settle up to `limit` accounts with something due, and return how many of them were looked at.

    Accounts that another transaction works on are passed over; it settles them itself.
    """
    claimed = await repository.claim_due_accounts(session, limit)
    if not claimed:
        return 0
    ledger = Ledger({}, await ledger_repository.database_now(session))
    await settle.expire(session, ledger, [account.member_id for account in claimed if account.plain])
    await _settle_others(session, ledger, claimed)
    await emit(session, ledger.events)
    return len(claimed)


async def _settle_others(session: AsyncSession, ledger: Ledger, claimed: Sequence[DueAccount]) -> None:
    """Settle the few that need more than a look at the dates of their lots."""
    others = [account.member_id for account in claimed if not account.plain]
    if others:
        await ledger.admit(session, others, create=False)


async def count_due_lots(session: AsyncSession) -> int:
    """Count lots that have passed their date and wait for the job, in the accounts that are due first."""
    return await reports.due_lots(session, accounts=DUE_ACCOUNTS_COUNTED)
