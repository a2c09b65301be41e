"""Transfer: points go from one member to another and keep their dates."""

from collections.abc import Collection, Sequence
from typing import NamedTuple
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from services.points.domain import MAX_ENTRY_POINTS, Account, ExpiryPolicy, Lot
from services.points.domain.lots import soonest_first
from services.points.errors import (
    InsufficientPoints,
    InvalidPoints,
    MemberErased,
    TransferConflict,
    TransferToOneself,
)
from services.points.operations.ledger import Ledger
from services.points.repository import erased
from services.points.repository import transfers as repository
from shared.events import PointsTransferred
from shared.ids import new_id
from shared.outbox import emit
from shared.problems import Refusal


class Transfer(NamedTuple):
    """Give points of one member to another. A `transfer_id` of the caller's makes it safe to ask again."""

    from_id: UUID
    to_id: UUID
    points: int
    reason: str
    actor: str
    transfer_id: UUID | None = None


class Transferred(NamedTuple):
    """A transfer that went through, now or before under the same id."""

    transfer_id: UUID
    from_id: UUID
    to_id: UUID
    points: int
    available_points: int


async def transfer(session: AsyncSession, commands: Sequence[Transfer]) -> list[Transferred | Refusal]:
    """Transfer in the order given; both accounts of each are locked, all in the order of their ids."""
    members = {member_id for command in commands for member_id in (command.from_id, command.to_id)}
    ledger = await Ledger.open(session, members)
    named = [command.transfer_id for command in commands if command.transfer_id is not None]
    known = await repository.transfers(session, named) if named else {}
    gone = await erased.erased_accounts(session, ledger.accounts)
    needs: dict[UUID, int] = {}
    for command in commands:
        if command.points > 0:
            available = ledger.accounts[command.from_id].available_points
            needs[command.from_id] = min(needs.get(command.from_id, 0) + command.points, available)
    lots = await ledger.paying_lots(session, needs) if needs else {}
    by_account = {ledger.accounts[member_id].member_id: found for member_id, found in lots.items()}
    results = [_transfer(ledger, by_account, known, gone, command) for command in commands]
    await ledger.save(session)
    await emit(session, ledger.events)
    return results


def _transfer(
    ledger: Ledger,
    lots: dict[UUID, list[Lot]],
    known: dict[UUID, tuple[UUID, UUID, int]],
    gone: Collection[UUID],
    command: Transfer,
) -> Transferred | Refusal:
    giver, taker = ledger.accounts[command.from_id], ledger.accounts[command.to_id]
    if command.transfer_id in known:
        assert command.transfer_id is not None
        if known[command.transfer_id] != (command.from_id, command.to_id, command.points):
            return TransferConflict(transfer_id=str(command.transfer_id))
        return _shown(command, command.transfer_id, giver)
    if not 0 < command.points <= MAX_ENTRY_POINTS:
        return InvalidPoints(points=command.points)
    if giver is taker:
        return TransferToOneself()
    if command.to_id in gone:
        # What comes to them is forfeited, and the giver would not know.
        return MemberErased(member_id=str(command.to_id))
    available = giver.available_points
    if available < command.points:
        return InsufficientPoints(
            f"{command.points} points are wanted, {available} are available.",
            wanted_points=command.points,
            available_points=available,
        )
    transfer_id = command.transfer_id or new_id()
    known[transfer_id] = (command.from_id, command.to_id, command.points)
    _move(ledger, lots, command, transfer_id)
    return _shown(command, transfer_id, giver)


def _move(ledger: Ledger, lots: dict[UUID, list[Lot]], command: Transfer, transfer_id: UUID) -> None:
    """Take points out of the giver's lots, and open one for the taker for each, with the same date."""
    giver, taker = ledger.accounts[command.from_id], ledger.accounts[command.to_id]
    out = _enter(ledger, giver, "transfer_out", -command.points, command, transfer_id)
    before = len(ledger.moves)
    missing = ledger.debit(giver, command.points, lots[giver.member_id], entry_id=out)
    assert missing == 0, "the lots of an account hold what its balance says"
    into = _enter(ledger, taker, "transfer_in", command.points, command, transfer_id)
    by_id = {lot.id: lot for lot in lots[giver.member_id]}
    policy = ExpiryPolicy.parse(giver.sliding_policy) if giver.sliding_policy is not None else None
    theirs = lots.setdefault(taker.member_id, [])
    for lot_id, _, points in ledger.moves[before:]:
        lot = by_id[lot_id]
        assert lot.earned_at is not None, "lots that pay come with their dates"
        piece = Lot(new_id(), points, 0, False, lot.earned_at, lot.expires_at, lot.sliding)
        piece.remaining_points = ledger.credit(
            taker,
            points,
            lot_id=piece.id,
            earned_at=lot.earned_at,
            expires_at=lot.expires_at,
            policy=policy if lot.sliding else None,
            origin_id=command.to_id,
            parent_id=lot.id,
        )
        if piece.remaining_points:
            theirs.append(piece)
    theirs.sort(key=soonest_first)
    for account, entry_id, points, other in (
        (giver, out, -command.points, taker),
        (taker, into, command.points, giver),
    ):
        ledger.events.append(
            PointsTransferred(
                member_id=account.member_id,
                transfer_id=transfer_id,
                entry_id=entry_id,
                other_id=other.member_id,
                points=points,
                reason=command.reason,
                transferred_at=ledger.now,
                balance_points=account.balance_points,
            )
        )


def _enter(
    ledger: Ledger, account: Account, kind: str, points: int, command: Transfer, transfer_id: UUID
) -> UUID:
    return ledger.enter(
        account,
        kind,
        points,
        about_id=transfer_id,
        actor=command.actor,
        reason=command.reason,
        occurred_at=ledger.now,
        origin_id=command.from_id if points < 0 else command.to_id,
        detail={"from_id": str(command.from_id), "to_id": str(command.to_id)},
    )


def _shown(command: Transfer, transfer_id: UUID, giver: Account) -> Transferred:
    return Transferred(transfer_id, command.from_id, command.to_id, command.points, giver.available_points)
