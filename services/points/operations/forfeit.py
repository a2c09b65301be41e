"""Forfeit: the points of members who were erased belong to nobody, and must not stay in the books as owed.

What they owed nobody will repay: it is written off, or the program's liability would look smaller by it.
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from services.points.domain.accounts import Account
from services.points.operations.ledger import Ledger
from services.points.repository import erased as repository
from shared.events import PointsForfeited
from shared.ids import new_id
from shared.outbox import emit

REASON = "member_erased"
WRITTEN_OFF = "Debt of an erased member written off"
ACTOR = "members"


async def erase_members(session: AsyncSession, members: Sequence[tuple[UUID, datetime]]) -> int:
    """Forget what is kept of members, let their free points go and write off debt; return how many points.

    Entries stay: they name an id, and the books must balance. What is held goes when the hold has lapsed, and
    what a late order still earns goes with the next run of `forfeit_erased`.
    """
    await repository.remember(session, members)
    ids = {member_id for member_id, _ in members}
    await repository.forget(session, ids)
    return await _forfeit(session, ids)


async def forfeit_erased(session: AsyncSession, *, limit: int) -> int:
    """Take what came to up to `limit` erased members since; return how many of them were looked at."""
    ids = await repository.with_points(session, limit=limit)
    if ids:
        await _forfeit(session, ids)
    return len(ids)


async def _forfeit(session: AsyncSession, member_ids: Collection[UUID]) -> int:
    ledger = await Ledger.open(session, member_ids, create=False)
    accounts = {account.member_id: account for account in ledger.accounts.values()}
    free = {
        member_id: account.open_points - account.held_points + account.pending_points
        for member_id, account in accounts.items()
    }
    needs = {member_id: points for member_id, points in free.items() if points > 0}
    lots = await ledger.paying_lots(session, needs, with_pending=True) if needs else {}
    for account in accounts.values():
        _write_off(ledger, account)
    for member_id, points in needs.items():
        account = accounts[member_id]
        entry_id = ledger.enter(
            account,
            "forfeit",
            -points,
            about_id=new_id(),
            actor=ACTOR,
            reason=REASON,
            occurred_at=ledger.now,
        )
        missing = ledger.debit(account, points, lots[member_id], entry_id=entry_id)
        assert missing == 0, "the lots of an account hold what its balance says"
        ledger.events.append(
            PointsForfeited(
                member_id=member_id,
                entry_id=entry_id,
                points=points,
                reason=REASON,
                forfeited_at=ledger.now,
                balance_points=account.balance_points,
            )
        )
    await ledger.save(session)
    await repository.forget_usage(session, member_ids)
    await emit(session, ledger.events)
    return sum(needs.values())


def _write_off(ledger: Ledger, account: Account) -> None:
    """Enter that nobody owes any longer what the member did."""
    debt_points = account.debt_points
    if debt_points == 0:
        return
    account.debt_points = 0
    ledger.enter(
        account,
        "adjust",
        debt_points,
        about_id=new_id(),
        actor=ACTOR,
        reason=WRITTEN_OFF,
        occurred_at=ledger.now,
        detail={"writes_off_points": debt_points},
    )
