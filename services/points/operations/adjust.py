"""Adjust: people move points by hand, large ones only with a second pair of eyes."""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from services.points.domain import ExpiryPolicy, Lot, expiry_of
from services.points.errors import (
    AdjustmentNotFound,
    AlreadyDecided,
    ExpiryInThePast,
    InsufficientPoints,
    MemberErased,
    OwnApproval,
)
from services.points.operations.ledger import Ledger
from services.points.repository import adjustments as repository
from services.points.repository import erased
from services.points.repository.adjustments import AdjustmentRow
from services.points.settings import settings
from shared.clock import zone
from shared.events import PointsAdjusted
from shared.ids import new_id
from shared.outbox import emit
from shared.problems import Refusal

# What one key moves for one member within this time counts together: slices do not pass below the limit.
LIMIT_PERIOD = timedelta(days=1)


class Adjust(NamedTuple):
    """Give a member points, or take some if `points` is negative."""

    member_id: UUID
    points: int
    reason: str
    actor: str
    allow_debt: bool = False
    # When given points expire: beside a date there is `None` for never, and `policy` for what the settings
    # say.
    expires_at: datetime | str | None = "policy"


class Decide(NamedTuple):
    """Approve a proposal, or reject it."""

    adjustment_id: UUID
    approve: bool
    actor: str
    reason: str | None = None


class Adjusted(NamedTuple):
    """An adjustment as it is now, and what the member can spend after it; None as long as nothing moved."""

    row: AdjustmentRow
    available_points: int | None


async def adjust(session: AsyncSession, commands: Sequence[Adjust]) -> list[Adjusted | Refusal]:
    """Post each adjustment, in the order given; one above the limit becomes a proposal instead.

    Taking never makes debt unless the command allows it.
    """
    ledger = await _open(session, [(command.member_id, command.points) for command in commands])
    gone = await erased.erased_accounts(session, ledger.accounts)
    moved = await repository.moved_since(
        session,
        {account.member_id for account in ledger.accounts.values()},
        {command.actor for command in commands},
        ledger.now - LIMIT_PERIOD,
    )
    results: dict[int, Adjusted | Refusal] = {}
    rows: list[AdjustmentRow] = []
    for indexes in _rounds(commands):
        lots = await _lots(session, ledger, [(commands[i].member_id, commands[i].points) for i in indexes])
        for index in indexes:
            command = commands[index]
            row = _row(command, ledger.now)
            refusal = _refusal(ledger, row, gone)
            if refusal is None:
                key = (row.actor, ledger.accounts[row.member_id].member_id)
                moved[key] = moved.get(key, 0) + abs(row.points)
                if moved[key] > settings().adjustment_limit_points:
                    # What has to be approved is not counted as moved without it.
                    moved[key] -= abs(row.points)
                    row.status = "pending_approval"
                    row.lapses_at = ledger.now + timedelta(hours=settings().adjustment_lapse_hours)
                else:
                    _post(ledger, row, lots)
                rows.append(row)
            results[index] = refusal or Adjusted(row, _available(ledger, row))
        await ledger.save(session)
    await repository.add(session, rows)
    await emit(session, ledger.events)
    return [results[index] for index in range(len(commands))]


async def decide(session: AsyncSession, commands: Sequence[Decide]) -> list[Adjusted | Refusal]:
    """Approve or reject proposals: somebody else than who made them, once, and before they lapse."""
    rows = await repository.lock(session, {command.adjustment_id for command in commands})
    approved = [
        rows[command.adjustment_id]
        for command in commands
        if command.approve and command.adjustment_id in rows
    ]
    ledger = await _open(session, [(row.member_id, row.points) for row in approved])
    gone = await erased.erased_accounts(session, ledger.accounts)
    results: list[Adjusted | Refusal] = []
    decided: dict[UUID, AdjustmentRow] = {}
    for command in commands:
        row = rows.get(command.adjustment_id)
        refusal = _verdict(row, command) or (
            _refusal(ledger, row, gone) if row is not None and command.approve else None
        )
        if refusal is not None:
            results.append(refusal)
            continue
        assert row is not None
        row.decided_by, row.decided_at, row.decision_reason = command.actor, ledger.now, command.reason
        row.status = "approved" if command.approve else "rejected"
        if command.approve:
            # Few are approved at once, so each may look at the lots as the one before has left them.
            _post(ledger, row, await _lots(session, ledger, [(row.member_id, row.points)]))
            await ledger.save(session)
        decided[row.id] = row
        results.append(Adjusted(row, _available(ledger, row)))
    await repository.decide(session, list(decided.values()))
    await emit(session, ledger.events)
    return results


async def show_adjustment(session: AsyncSession, adjustment_id: UUID) -> AdjustmentRow:
    """Return one adjustment; raises `AdjustmentNotFound`."""
    found = await repository.find(session, adjustment_id)
    if found is None:
        raise AdjustmentNotFound(adjustment_id=str(adjustment_id))
    return found


async def show_adjustments(
    session: AsyncSession, *, status: str | None, member_id: UUID | None, before: UUID | None, limit: int
) -> list[AdjustmentRow]:
    """Return adjustments, the newest first."""
    return await repository.listed(session, status=status, member_id=member_id, before=before, limit=limit)


async def lapse_adjustments(session: AsyncSession, *, limit: int) -> int:
    """Let proposals lapse that nobody has decided in time; return how many."""
    return await repository.lapse(session, limit)


async def _open(session: AsyncSession, moves: Sequence[tuple[UUID, int]]) -> Ledger:
    """Lock the accounts; only who is given something gets one made."""
    ledger = await Ledger.open(session, {member_id for member_id, _ in moves}, create=False)
    await ledger.admit(session, {member_id for member_id, points in moves if points > 0})
    return ledger


async def _lots(
    session: AsyncSession, ledger: Ledger, moves: Iterable[tuple[UUID, int]]
) -> dict[UUID, list[Lot]]:
    needs: dict[UUID, int] = {}
    for member_id, points in moves:
        if points < 0 and member_id in ledger.accounts:
            needs[member_id] = needs.get(member_id, 0) - points
    return await ledger.paying_lots(session, needs) if needs else {}


def _rounds(commands: Sequence[Adjust]) -> list[list[int]]:
    """Spread commands over rounds, so that who is given points first can have them taken again."""
    rounds: list[list[int]] = []
    last: dict[UUID, tuple[int, bool]] = {}
    for index, command in enumerate(commands):
        place, given = last.get(command.member_id, (0, False))
        if command.points < 0 and given:
            place, given = place + 1, False
        last[command.member_id] = (place, given or command.points > 0)
        if place == len(rounds):
            rounds.append([])
        rounds[place].append(index)
    return rounds


def _row(command: Adjust, now: datetime) -> AdjustmentRow:
    expires_at = command.expires_at
    if isinstance(expires_at, str):
        policy = ExpiryPolicy.parse(settings().adjustment_expiry)
        expires_at = expiry_of(policy, now, zone(settings().zone))
    return AdjustmentRow(
        id=new_id(),
        member_id=command.member_id,
        points=command.points,
        reason=command.reason,
        expires_at=expires_at if command.points > 0 else None,
        allow_debt=command.allow_debt and command.points < 0,
        status="posted",
        actor=command.actor,
        requested_at=now,
    )


def _refusal(ledger: Ledger, row: AdjustmentRow, gone: Collection[UUID]) -> Refusal | None:
    """Say why points cannot be moved now, whoever approves; `gone` are ids of members who were erased."""
    if row.points > 0:
        if row.member_id in gone:
            return MemberErased(member_id=str(row.member_id))
        if row.expires_at is not None and row.expires_at <= ledger.now:
            return ExpiryInThePast(expires_at=row.expires_at.isoformat())
        return None
    account = ledger.accounts.get(row.member_id)
    available = account.available_points if account is not None else 0
    if account is None or (available < -row.points and not row.allow_debt):
        return InsufficientPoints(
            f"{-row.points} points are to be taken, {available} are available.",
            available_points=available,
        )
    return None


def _verdict(row: AdjustmentRow | None, command: Decide) -> Refusal | None:
    """Say why this key cannot decide this proposal."""
    if row is None:
        return AdjustmentNotFound(adjustment_id=str(command.adjustment_id))
    if row.status != "pending_approval":
        # One that was posted at once never waited for anybody.
        return AlreadyDecided(adjustment_id=str(row.id), adjustment_status=row.status)
    if row.actor == command.actor:
        return OwnApproval(adjustment_id=str(row.id))
    return None


def _post(ledger: Ledger, row: AdjustmentRow, lots: dict[UUID, list[Lot]]) -> None:
    account = ledger.accounts[row.member_id]
    row.entry_id = ledger.enter(
        account,
        "adjust",
        row.points,
        about_id=row.id,
        actor=row.actor,
        reason=row.reason,
        occurred_at=ledger.now,
        detail={"approved_by": row.decided_by} if row.decided_by is not None else None,
        origin_id=row.member_id,
    )
    if row.points > 0:
        ledger.credit(
            account,
            row.points,
            lot_id=row.entry_id,
            earned_at=ledger.now,
            expires_at=row.expires_at,
            origin_id=row.member_id,
        )
    else:
        account.debt_points += ledger.debit(account, -row.points, lots[row.member_id], entry_id=row.entry_id)
    ledger.events.append(
        PointsAdjusted(
            member_id=account.member_id,
            entry_id=row.entry_id,
            adjustment_id=row.id,
            points=row.points,
            reason=row.reason,
            expires_at=row.expires_at,
            adjusted_at=ledger.now,
            balance_points=account.balance_points,
        )
    )


def _available(ledger: Ledger, row: AdjustmentRow) -> int | None:
    if row.entry_id is None:
        return None
    return ledger.accounts[row.member_id].available_points
