"""Hold: points promised to a purchase that is under way, then captured or let go.

A hold pins its lots, so that two carts are never promised the same points, and what is pinned does not expire
before the hold is over. Holds end by the database's clock, whether or not the job has been round.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from services.points.domain import MAX_ENTRY_POINTS, Account, Lot, pin
from services.points.errors import (
    HoldAlreadyCaptured,
    HoldAlreadyVoided,
    HoldConflict,
    HoldExceeded,
    HoldExpired,
    HoldInThePast,
    HoldNotFound,
    InsufficientPoints,
    InvalidPoints,
)
from services.points.operations.ledger import Ledger
from services.points.repository import holds as repository
from services.points.repository import reversals
from services.points.repository.holds import HoldRow, Pin
from services.points.repository.ledger import MoveRow
from services.points.settings import settings
from shared.events import PointsCaptured, PointsHeld, PointsReleased
from shared.ids import new_id
from shared.outbox import emit
from shared.problems import Refusal


class Hold(NamedTuple):
    """Promise a member's points. A `hold_id` of the caller's makes it safe to ask again."""

    member_id: UUID
    points: int
    reason: str
    actor: str
    order_id: UUID | None = None
    expires_at: datetime | None = None
    hold_id: UUID | None = None


class Capture(NamedTuple):
    """Spend what is held, or a part of it: the rest is released."""

    hold_id: UUID
    points: int | None
    actor: str
    reason: str | None = None


class Void(NamedTuple):
    """Release what is held."""

    hold_id: UUID
    actor: str


class Held(NamedTuple):
    """A hold as it stands after a command."""

    hold_id: UUID
    member_id: UUID
    points: int
    captured_points: int
    status: str
    order_id: UUID | None
    reason: str
    held_at: datetime
    expires_at: datetime
    available_points: int


async def hold(session: AsyncSession, commands: Sequence[Hold]) -> list[Held | Refusal]:
    """Hold points in the order given: who comes first gets the last ones."""
    ledger = await Ledger.open(session, {command.member_id for command in commands}, create=False)
    desk = await _Promises.open(session, ledger, commands)
    results = [desk.serve(command) for command in commands]
    await ledger.save(session)
    await repository.add_holds(session, desk.rows, desk.pinned)
    await emit(session, ledger.events)
    return results


async def capture(session: AsyncSession, commands: Sequence[Capture]) -> list[Held | Refusal]:
    """Spend held points, the soonest-expiring first, even if their date has passed since they were held."""
    desk = await Settlement.open(session, [command.hold_id for command in commands])
    results = [desk.capture(command) for command in commands]
    await desk.save(session)
    await emit(session, desk.ledger.events)
    return results


async def void(session: AsyncSession, commands: Sequence[Void]) -> list[Held | Refusal]:
    """Release held points. Those whose date has passed meanwhile come back and expire at once."""
    desk = await Settlement.open(session, [command.hold_id for command in commands])
    results = [desk.void(command) for command in commands]
    await desk.save(session)
    await emit(session, desk.ledger.events)
    return results


async def show_hold(session: AsyncSession, hold_id: UUID) -> HoldRow:
    """Return one hold as it is now by the database's clock; raises `HoldNotFound`."""
    row = await repository.hold_now(session, hold_id)
    if row is None:
        raise HoldNotFound(hold_id=str(hold_id))
    return row


class _Promises:
    """Accounts and lots of one batch of holds, as they stand after each command of it."""

    def __init__(self, ledger: Ledger, known: dict[UUID, HoldRow], lots: dict[UUID, list[Lot]]) -> None:
        self.ledger = ledger
        self.known = known
        self.lots = lots
        self.rows: list[HoldRow] = []
        self.pinned: list[tuple[UUID, UUID, int]] = []

    @classmethod
    async def open(cls, session: AsyncSession, ledger: Ledger, commands: Sequence[Hold]) -> "_Promises":
        named = [command.hold_id for command in commands if command.hold_id is not None]
        known = await repository.holds(session, named) if named else {}
        needs: dict[UUID, int] = {}
        for command in commands:
            account = ledger.accounts.get(command.member_id)
            if account is not None and command.points > 0:
                wanted = needs.get(command.member_id, 0) + command.points
                needs[command.member_id] = min(wanted, account.available_points)
        return cls(ledger, known, await ledger.paying_lots(session, needs) if needs else {})

    def serve(self, command: Hold) -> Held | Refusal:
        account = self.ledger.accounts.get(command.member_id)
        known = self.known.get(command.hold_id) if command.hold_id is not None else None
        if known is not None:
            if (known.origin_id or known.member_id, known.points) != (command.member_id, command.points):
                return HoldConflict(hold_id=str(known.id))
            return _shown(known, account)
        now = self.ledger.now
        expires_at = command.expires_at or now + timedelta(minutes=settings().hold_minutes)
        if not 0 < command.points <= MAX_ENTRY_POINTS:
            return InvalidPoints(points=command.points)
        if expires_at <= now:
            return HoldInThePast()
        available = account.available_points if account is not None else 0
        if account is None or available < command.points:
            return InsufficientPoints(
                f"{command.points} points are wanted, {available} are available.",
                wanted_points=command.points,
                available_points=available,
            )
        return self._promise(account, command, expires_at)

    def _promise(self, account: Account, command: Hold, expires_at: datetime) -> Held:
        now, hold_id = self.ledger.now, command.hold_id or new_id()
        pins, missing = pin(self.lots[command.member_id], command.points)
        assert missing == 0, "the lots of an account hold what its balance says"
        self.pinned += [(hold_id, lot_id, points) for lot_id, points in pins]
        self.ledger.pins += pins
        account.held_points += command.points
        account.look_at(expires_at)
        self.ledger.change(account)
        origin_id = command.member_id if command.member_id != account.member_id else None
        row = HoldRow(
            hold_id,
            account.member_id,
            origin_id,
            command.points,
            0,
            "held",
            command.order_id,
            command.reason,
            command.actor,
            now,
            expires_at,
            None,
        )
        self.rows.append(row)
        self.known[hold_id] = row
        self.ledger.events.append(
            PointsHeld(
                member_id=account.member_id,
                hold_id=hold_id,
                points=command.points,
                order_id=command.order_id,
                reason=command.reason,
                held_at=now,
                expires_at=expires_at,
                balance_points=account.balance_points,
            )
        )
        return _shown(row, account)


class Settlement:
    """Holds that one batch captures or voids, under the locks of their accounts."""

    def __init__(self, ledger: Ledger, holds: dict[UUID, HoldRow], pins: dict[UUID, list[Pin]]) -> None:
        self.ledger = ledger
        self.holds = holds
        self.pins = pins
        self.settled: list[tuple[UUID, str, int]] = []
        self.spends: list[tuple[UUID, UUID]] = []

    @classmethod
    async def open(
        cls, session: AsyncSession, hold_ids: Sequence[UUID], *, ledger: Ledger | None = None
    ) -> "Settlement":
        """Lock the accounts of the holds; in a batch that has a ledger already, in that one."""
        found = await repository.holds(session, hold_ids)
        member_ids = {row.member_id for row in found.values()}
        if ledger is None:
            ledger = await Ledger.open(session, member_ids)
        else:
            await ledger.admit(session, member_ids)
        # Read again under the locks: only now nobody else settles them, and what is over has lapsed. Members
        # may have been merged or parted meanwhile, and their holds are in other accounts since.
        while True:
            holds = await repository.holds(session, list(found))
            member_ids = {row.member_id for row in holds.values()}
            if member_ids <= ledger.accounts.keys():
                break
            await ledger.admit(session, member_ids)
        return cls(ledger, holds, await repository.pins(session, list(holds)))

    def capture(self, command: Capture) -> Held | Refusal:
        """Carry out one capture, or say why not and change nothing."""
        row = self.holds.get(command.hold_id)
        refusal = self._refusal(command.hold_id, row)
        if refusal is not None:
            return refusal
        assert row is not None
        points = row.points if command.points is None else command.points
        if points <= 0:
            return InvalidPoints(points=points)
        if points > row.points:
            return HoldExceeded(f"{row.points} points are held.", held_points=row.points)
        account = self.ledger.accounts[row.member_id]
        self._spend(account, row, command, points)
        if points < row.points:
            self._release(account, row, row.points - points, "captured")
        self._settle(row, "captured", points)
        return _shown(row, account)

    def void(self, command: Void) -> Held | Refusal:
        """Carry out one release, or say why not and change nothing."""
        row = self.holds.get(command.hold_id)
        refusal = self._refusal(command.hold_id, row)
        if refusal is not None:
            return refusal
        assert row is not None
        account = self.ledger.accounts[row.member_id]
        self._unpin(account, row)
        self._release(account, row, row.points, "voided")
        self._settle(row, "voided", 0)
        return _shown(row, account)

    async def save(self, session: AsyncSession) -> None:
        """Write what became of the holds and of the points."""
        await self.ledger.save(session)
        await repository.settle_holds(session, self.settled, now=self.ledger.now)
        await reversals.add_spends(session, self.spends)

    def _refusal(self, hold_id: UUID, row: HoldRow | None) -> Refusal | None:
        if row is None:
            return HoldNotFound(hold_id=str(hold_id))
        match row.status:
            case "captured":
                return HoldAlreadyCaptured(hold_id=str(hold_id), captured_points=row.captured_points)
            case "voided":
                return HoldAlreadyVoided(hold_id=str(hold_id))
            case "expired":
                return HoldExpired(hold_id=str(hold_id), expires_at=row.expires_at.isoformat())
        return None

    def _unpin(self, account: Account, row: HoldRow) -> None:
        account.held_points -= row.points
        self.ledger.change(account)
        for pinned in self.pins[row.id]:
            self.ledger.pins.append((pinned.lot_id, -pinned.points))
            if pinned.expires_at is not None and pinned.expires_at <= self.ledger.now:
                self.ledger.settle_again(account)

    def _spend(self, account: Account, row: HoldRow, command: Capture, points: int) -> None:
        ledger = self.ledger
        reason = command.reason or row.reason
        self._unpin(account, row)
        entry_id = ledger.enter(
            account,
            "redeem",
            -points,
            about_id=row.id,
            actor=command.actor,
            reason=reason,
            occurred_at=ledger.now,
            origin_id=row.origin_id,
        )
        left = points
        for pinned in self.pins[row.id]:
            taken = min(left, pinned.points)
            if taken:
                ledger.moves.append(MoveRow(pinned.lot_id, entry_id, taken))
                left -= taken
        assert left == 0, "a hold has pinned what it holds"
        account.open_points -= points
        if row.order_id is not None:
            self.spends.append((row.order_id, row.id))
        ledger.events.append(
            PointsCaptured(
                member_id=account.member_id,
                hold_id=row.id,
                entry_id=entry_id,
                points=points,
                order_id=row.order_id,
                reason=reason,
                captured_at=ledger.now,
                balance_points=account.balance_points,
            )
        )

    def _release(self, account: Account, row: HoldRow, points: int, reason: str) -> None:
        self.ledger.events.append(
            PointsReleased(
                member_id=account.member_id,
                hold_id=row.id,
                points=points,
                order_id=row.order_id,
                reason=reason,
                released_at=self.ledger.now,
                balance_points=account.balance_points,
            )
        )

    def _settle(self, row: HoldRow, status: str, captured_points: int) -> None:
        row.status, row.captured_points, row.settled_at = status, captured_points, self.ledger.now
        self.settled.append((row.id, status, captured_points))


def _shown(row: HoldRow, account: Account | None) -> Held:
    return Held(
        row.id,
        row.origin_id or row.member_id,
        row.points,
        row.captured_points,
        row.status,
        row.order_id,
        row.reason,
        row.held_at,
        row.expires_at,
        account.available_points if account is not None else 0,
    )
