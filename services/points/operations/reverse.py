"""Reverse: what was spent goes back to exactly the lots that it came from."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from services.points.domain import Account
from services.points.operations.ledger import Ledger
from services.points.repository import ledger as ledger_repository
from services.points.repository import reversals as repository
from services.points.repository.reversals import GivenBack, TakenLot, Taking
from services.points.settings import settings
from shared.events import PointsReturned


class Reverse(NamedTuple):
    """Give back what the entry about `about_id` took: all of it, or so much of all that it took.

    `up_to_points` counts what was given back before. The same `reference` is given back once.
    """

    about_id: UUID
    reference: str
    actor: str
    reason: str
    occurred_at: datetime
    up_to_points: int | None = None
    # (numerator, denominator) of what it took, instead of `up_to_points`.
    share: tuple[int, int] | None = None
    order_id: UUID | None = None
    kind: str = "redeem"


async def reverse(session: AsyncSession, ledger: Ledger, commands: Sequence[Reverse]) -> list[int]:
    """Return points to their lots and say how many, per command; 0 if nothing was left to give back.

    Each lot keeps the date that it had. If that has passed meanwhile, it gets the program's grace from now,
    and without one the points come back and expire at once, and both is entered. What is gathered in the
    ledger is written first.
    """
    if not commands:
        return []
    await ledger.save(session)
    takings = {
        (taking.about_id, taking.kind): taking
        for taking in await repository.takings(
            session, sorted({(command.about_id, command.kind) for command in commands})
        )
    }
    entry_ids = [taking.entry_id for taking in takings.values()]
    if not entry_ids:
        return [0] * len(commands)
    owners = {lot.owner_id for lot in await repository.taken_lots(session, entry_ids)}
    spenders = {taking.account_id for taking in takings.values()}
    await ledger.admit(session, owners | spenders)
    merged = [id_ for id_ in sorted(spenders) if ledger.accounts[id_].member_id != id_]
    books = {id_: ledger.accounts[id_] for id_ in spenders}
    if merged:
        books |= (await ledger_repository.lock_these(session, merged))[0]
    # Read again under the locks: only now nobody else gives back the same points.
    lots: dict[UUID, list[TakenLot]] = defaultdict(list)
    for lot in await repository.taken_lots(session, entry_ids):
        lots[lot.entry_id].append(lot)
    known = await repository.known_reversals(session, entry_ids)
    desk = _Returns(ledger, books)
    results: list[int] = []
    for command in commands:
        taking = takings.get((command.about_id, command.kind))
        if taking is None or (taking.entry_id, command.reference) in known:
            results.append(0)
            continue
        returned = desk.give_back(command, taking, lots[taking.entry_id])
        if returned:
            known.add((taking.entry_id, command.reference))
        results.append(returned)
    await repository.give_back(session, desk.rows)
    await ledger.save(session)
    return results


class _Returns:
    """What one batch gives back."""

    def __init__(self, ledger: Ledger, books: dict[UUID, Account]) -> None:
        self.ledger = ledger
        # The accounts that the reversed entries are in, those of merged members too.
        self.books = books
        self.rows: list[GivenBack] = []

    def give_back(self, command: Reverse, taking: Taking, lots: Sequence[TakenLot]) -> int:
        """Give back what is due, the last taken first; one entry for each account that gets something."""
        taken, before = sum(lot.points for lot in lots), sum(lot.returned_points for lot in lots)
        target = taken if command.up_to_points is None else min(command.up_to_points, taken)
        if command.share is not None:
            target = min(taken, taken * command.share[0] // command.share[1])
        due = left = max(0, target - before)
        by_account: dict[UUID, int] = defaultdict(int)
        for lot in lots:
            points = min(left, lot.points - lot.returned_points)
            if points == 0:
                continue
            account = self.ledger.accounts[lot.owner_id]
            lot.returned_points += points
            left -= points
            by_account[account.member_id] += points
            self._put(account, taking, lot, points)
        if due:
            self._enter(command, taking, due, by_account)
        return due

    def _put(self, account: Account, taking: Taking, lot: TakenLot, points: int) -> None:
        expires_at, sliding, now = lot.expires_at, lot.sliding, self.ledger.now
        until = account.sliding_expires_at if sliding else expires_at
        if until is not None and until <= now:
            grace = timedelta(days=settings().reversal_grace_days)
            if grace:
                expires_at, sliding = now + grace, False
            else:
                self.ledger.settle_again(account)
        if lot.pending:
            account.pending_points += points
        else:
            account.open_points += points
        account.look_at(account.sliding_expires_at if sliding else expires_at)
        self.rows.append(
            GivenBack(lot.lot_id, taking.entry_id, points, account.member_id, expires_at, sliding)
        )

    def _enter(self, command: Reverse, taking: Taking, points: int, by_account: dict[UUID, int]) -> None:
        """Enter the reversal where the entry is, and from there to the accounts that have the lots now."""
        ledger, spender = self.ledger, self.books[taking.account_id]
        entry_id = ledger.enter(
            spender,
            "reverse",
            points,
            about_id=taking.entry_id,
            reference=command.reference,
            actor=command.actor,
            reason=command.reason,
            occurred_at=command.occurred_at,
            contra=taking.contra,
            origin_id=taking.owner_id,
        )
        for member_id, part in by_account.items():
            account = ledger.accounts[member_id]
            if member_id != spender.member_id:
                self._pass_on(command, spender, account, part, entry_id)
            ledger.events.append(
                PointsReturned(
                    member_id=member_id,
                    entry_id=entry_id,
                    reversed_entry_id=taking.entry_id,
                    points=part,
                    order_id=command.order_id,
                    reason=command.reason,
                    returned_at=ledger.now,
                    balance_points=account.balance_points,
                )
            )

    def _pass_on(
        self, command: Reverse, spender: Account, account: Account, points: int, entry_id: UUID
    ) -> None:
        for kind, side, signed in (("merge_out", spender, -points), ("merge_in", account, points)):
            self.ledger.enter(
                side,
                kind,
                signed,
                about_id=entry_id,
                reference=str(account.member_id),
                actor=command.actor,
                reason="Returned to lots that are in another account since members were merged or parted",
                occurred_at=command.occurred_at,
            )


class OrderReturn(NamedTuple):
    """An order of which so much of the whole has been refunded so far, or all if it was called off."""

    order_id: UUID
    refunded_minor: int
    total_minor: int
    complete: bool
    reference: str
    actor: str
    reason: str
    occurred_at: datetime


async def return_spent(session: AsyncSession, ledger: Ledger, orders: Sequence[OrderReturn]) -> None:
    """Give back what was spent on orders that are refunded, in the same proportion and exact over any split.

    What is to come back is reckoned from all refunds together, less what came back before.
    """
    spends: dict[UUID, list[UUID]] = defaultdict(list)
    for order_id, about_id in await repository.spends(session, sorted({item.order_id for item in orders})):
        spends[order_id].append(about_id)
    commands = [
        Reverse(
            about_id,
            item.reference,
            item.actor,
            item.reason,
            item.occurred_at,
            share=None if _is_whole(item) else (item.refunded_minor, item.total_minor),
            order_id=item.order_id,
        )
        for item in orders
        for about_id in spends.get(item.order_id, ())
    ]
    await reverse(session, ledger, commands)


def _is_whole(item: OrderReturn) -> bool:
    return item.complete or item.refunded_minor >= item.total_minor
