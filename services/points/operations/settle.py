"""Settling: what the clock has done to accounts since they were last worked on, entered under their locks.

In the order of time's own logic: pending points mature, holds lapse and let go of their lots, what became
free by it repays debt, whatever its date, and then lots that are past theirs expire. A debtor has no free
points, so only such can be owed: were they to expire first, an order that is refunded would be taken back
twice.
"""

from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from services.points.domain import Account
from services.points.repository import holds as hold_repository
from services.points.repository import settling as repository
from shared.events import PointsExpired, PointsMatured, PointsReleased

if TYPE_CHECKING:
    from services.points.operations.ledger import Ledger

ACTOR = "points"


def owed(ledger: "Ledger", account: Account) -> int:
    """Return how much debt the account's free points can repay; what expired before it came repays none."""
    withheld = ledger.withheld.get(account.member_id, 0)
    return max(0, min(account.debt_points, account.open_points - account.held_points - withheld))


async def settle(session: AsyncSession, ledger: "Ledger", accounts: Collection[Account]) -> None:
    """Settle accounts that were just locked, before anything is gathered for them."""
    due = [
        account
        for account in accounts
        if account.next_expiry_at is not None and account.next_expiry_at <= ledger.now
    ]
    if not due:
        return
    await mature_due(session, ledger, [account for account in due if account.pending_points])
    await lapse(session, ledger, [account for account in due if account.held_points])
    await repay(session, ledger, due)
    await expire(session, ledger, [account.member_id for account in due])


async def mature_due(session: AsyncSession, ledger: "Ledger", accounts: Sequence[Account]) -> None:
    """Let pending points mature whose time has come."""
    if accounts:
        ids = [account.member_id for account in accounts]
        note_matured(ledger, await repository.mature_due(session, ids, now=ledger.now))


def note_matured(ledger: "Ledger", matured: Iterable[repository.Matured]) -> None:
    """Move the points of lots that have matured from pending to open, and say so."""
    totals: dict[UUID, int] = {}
    for member_id, _, points, expires_at in matured:
        account = ledger.accounts[member_id]
        account.pending_points -= points
        account.open_points += points
        account.look_at(expires_at)
        ledger.change(account)
        totals[member_id] = totals.get(member_id, 0) + points
    for member_id, points in totals.items():
        account = ledger.accounts[member_id]
        ledger.events.append(
            PointsMatured(
                member_id=member_id,
                points=points,
                matured_at=ledger.now,
                balance_points=account.balance_points,
            )
        )


async def lapse(session: AsyncSession, ledger: "Ledger", accounts: Sequence[Account]) -> None:
    """End holds that were neither captured nor voided in time."""
    if not accounts:
        return
    for hold in await hold_repository.lapse(
        session, [account.member_id for account in accounts], now=ledger.now
    ):
        account = ledger.accounts[hold.member_id]
        account.held_points -= hold.points
        ledger.change(account)
        ledger.events.append(
            PointsReleased(
                member_id=hold.member_id,
                hold_id=hold.id,
                points=hold.points,
                order_id=hold.order_id,
                reason="expired",
                released_at=ledger.now,
                balance_points=account.balance_points,
            )
        )


async def expire(session: AsyncSession, ledger: "Ledger", member_ids: Sequence[UUID]) -> None:
    """Expire due lots of these locked accounts, one entry and one event for each account.

    What was gathered for them is written before, since the statement reckons with what is stored.
    """
    if not member_ids:
        return
    await ledger.write_accounts(session, member_ids)
    known = ledger.accounts
    sliding = [id_ for id_ in member_ids if id_ in known and known[id_].sliding_policy is not None]
    for expiry in await repository.expire_due_lots(session, member_ids, sliding_ids=sliding, now=ledger.now):
        account = ledger.accounts.get(expiry.member_id)
        ledger.withheld.pop(expiry.member_id, None)
        if account is not None:
            account.sequence = expiry.sequence
            account.head = expiry.head
            account.open_points = expiry.open_points
            account.next_expiry_at = expiry.next_expiry_at
        if expiry.lots:
            ledger.events.append(
                PointsExpired(
                    member_id=expiry.member_id,
                    entry_id=expiry.entry_id,
                    points=expiry.points,
                    lots=expiry.lots,
                    expired_at=ledger.now,
                    balance_points=expiry.open_points - expiry.held_points - expiry.debt_points,
                )
            )


async def repay(session: AsyncSession, ledger: "Ledger", accounts: Sequence[Account]) -> None:
    """Let points that became free repay debt; an entry of 0 names the lots that paid."""
    needs = {account.member_id: points for account in accounts if (points := owed(ledger, account))}
    if not needs:
        return
    lots = await ledger.paying_lots(session, needs, with_due=True)
    for member_id, points in needs.items():
        account = ledger.accounts[member_id]
        entry_id = ledger.repay_entry(account, points)
        missing = ledger.debit(account, points, lots[account.member_id], entry_id=entry_id)
        account.debt_points -= points - missing
    await ledger.save(session)
