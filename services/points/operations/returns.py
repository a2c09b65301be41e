"""What becomes of a redemption afterwards: confirmed, declined, called off, or a step on its way.

Points that come back go to the very lots that paid, with the dates that those had (operations/reverse.py).
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from services.points.domain import Reward
from services.points.domain.rewards import CANCELLED, COUNTED, DECLINED, may_advance, may_cancel
from services.points.errors import (
    FulfilmentOutOfOrder,
    NotCancellable,
    NothingToFulfil,
    RedemptionNotFound,
)
from services.points.operations.ledger import Ledger
from services.points.operations.reverse import Reverse, reverse
from services.points.repository import redemptions as repository
from services.points.repository import rewards as reward_repository
from services.points.repository.redemptions import RedemptionRow
from shared.events import RewardCancelled, RewardFulfilmentChanged
from shared.outbox import emit
from shared.problems import Refusal


class Decline(NamedTuple):
    """A service cannot deliver what a redemption paid for."""

    redemption_id: UUID
    reason: str
    actor: str


class CancelRedemption(NamedTuple):
    """A member wants a redemption undone."""

    redemption_id: UUID
    actor: str


class Fulfil(NamedTuple):
    """Goods have gone a step, or the seller calls them off."""

    redemption_id: UUID
    step: str
    tracking: str | None
    actor: str


async def confirm(session: AsyncSession, redemption_ids: Sequence[UUID]) -> None:
    """Take note that rewards were delivered, however often it is said."""
    await repository.confirm(session, set(redemption_ids))


async def decline(session: AsyncSession, commands: Sequence[Decline]) -> list[RedemptionRow | Refusal]:
    """Give points back for what could not be delivered; a second word about it changes nothing."""
    ledger, rows = await _open(session, [command.redemption_id for command in commands])
    reasons: dict[UUID, tuple[str, str]] = {}
    for command in commands:
        row = rows.get(command.redemption_id)
        if row is not None and row.status in COUNTED:
            reasons[row.id] = (command.reason, command.actor)
    due = [rows[redemption_id] for redemption_id in reasons]
    changed = await give_back(session, ledger, due, status=DECLINED, reasons=reasons)
    await emit(session, ledger.events)
    return [_now(command.redemption_id, rows, changed) for command in commands]


async def cancel_redemptions(
    session: AsyncSession, commands: Sequence[CancelRedemption]
) -> list[RedemptionRow | Refusal]:
    """Call redemptions off whose terms allow it; one that is called off already stays so."""
    ledger, rows = await _open(session, [command.redemption_id for command in commands])
    rewards = await _rewards(session, rows)
    refusals: dict[UUID, Refusal] = {}
    reasons: dict[UUID, tuple[str, str]] = {}
    for command in commands:
        row = rows.get(command.redemption_id)
        if row is None or row.status == CANCELLED:
            continue
        allowed = may_cancel(rewards[row.reward_id], row.fulfilment, row.redeemed_at, ledger.now)
        if row.status not in COUNTED or not allowed:
            refusals[row.id] = NotCancellable(redemption_id=str(row.id), status=row.status)
        else:
            reasons[row.id] = ("cancelled_by_member", command.actor)
    due = [rows[redemption_id] for redemption_id in reasons]
    changed = await give_back(session, ledger, due, status=CANCELLED, reasons=reasons)
    await emit(session, ledger.events)
    return [
        refusals.get(command.redemption_id) or _now(command.redemption_id, rows, changed)
        for command in commands
    ]


async def fulfil(session: AsyncSession, commands: Sequence[Fulfil]) -> list[RedemptionRow | Refusal]:
    """Take goods further on their way, in the order given; told the same step again, nothing changes."""
    ledger, rows = await _open(session, [command.redemption_id for command in commands])
    rewards = await _rewards(session, rows)
    now = dict(rows)
    moved: dict[UUID, RedemptionRow] = {}
    reasons: dict[UUID, tuple[str, str]] = {}
    results: list[RedemptionRow | Refusal] = []
    for command in commands:
        row = now.get(command.redemption_id)
        result = _advance(row, command, ledger)
        if isinstance(result, RedemptionRow) and result is not row:
            now[result.id] = result
            if command.step == CANCELLED:
                reasons[result.id] = ("cancelled_by_seller", command.actor)
            moved[result.id] = result
            ledger.events.append(_step(rewards[result.reward_id], result))
        results.append(result)
    await repository.save_redemptions(session, [row for row in moved.values() if row.id not in reasons])
    cancelled = [now[redemption_id] for redemption_id in reasons]
    changed = await give_back(session, ledger, cancelled, status=CANCELLED, reasons=reasons)
    await emit(session, ledger.events)
    return [
        result if isinstance(result, Refusal) else changed.get(result.id, now[result.id])
        for result in results
    ]


def _advance(row: RedemptionRow | None, command: Fulfil, ledger: Ledger) -> RedemptionRow | Refusal:
    if row is None:
        return RedemptionNotFound(redemption_id=str(command.redemption_id))
    if row.fulfilment is None:
        return NothingToFulfil(redemption_id=str(row.id))
    if row.fulfilment == command.step:
        return row
    if not may_advance(row.fulfilment, command.step):
        return FulfilmentOutOfOrder(redemption_id=str(row.id), step=row.fulfilment)
    return row._replace(
        fulfilment=command.step, tracking=command.tracking or row.tracking, changed_at=ledger.now
    )


def _step(reward: Reward, row: RedemptionRow) -> RewardFulfilmentChanged:
    assert row.fulfilment is not None, "what was taken further has a step"
    return RewardFulfilmentChanged(
        member_id=row.member_id,
        redemption_id=row.id,
        reward_id=row.reward_id,
        reward_kind=reward.kind,
        reference=reward.reference,
        step=row.fulfilment,
        tracking=row.tracking,
        changed_at=row.changed_at or row.redeemed_at,
    )


async def give_back(
    session: AsyncSession,
    ledger: Ledger,
    rows: Sequence[RedemptionRow],
    *,
    status: str,
    reasons: Mapping[UUID, tuple[str, str]],
) -> dict[UUID, RedemptionRow]:
    """End redemptions with (reason, actor) each: their points go back to their lots, and their stock too.

    Returns the rows as they are then. The caller holds the locks of the accounts and emits the events.
    """
    if not rows:
        return {}
    await ledger.admit(session, {row.member_id for row in rows})
    rewards = await reward_repository.lock_rewards(session, sorted({row.reward_id for row in rows}))
    paid = [row for row in rows if row.points]
    await reverse(session, ledger, [_reversal(row, *reasons[row.id], ledger.now) for row in paid])
    back: dict[UUID, int] = {}
    changed: dict[UUID, RedemptionRow] = {}
    for row in rows:
        reward = rewards[row.reward_id]
        if reward.stock is not None and row.draw_id is None:
            back[reward.id] = back.get(reward.id, 0) - 1
        reason, _ = reasons[row.id]
        changed[row.id] = row._replace(
            status=status,
            fulfilment=CANCELLED if row.fulfilment is not None else None,
            reason=reason,
            changed_at=ledger.now,
        )
        ledger.events.append(_cancelled(ledger, reward, changed[row.id]))
    await reward_repository.save_stocks(session, back)
    await repository.save_redemptions(session, list(changed.values()))
    return changed


def _reversal(row: RedemptionRow, reason: str, actor: str, now: datetime) -> Reverse:
    # One redemption comes back once, so the reference need not tell anything apart.
    return Reverse(row.id, "returned", actor, reason, now, order_id=row.order_id)


def _cancelled(ledger: Ledger, reward: Reward, row: RedemptionRow) -> RewardCancelled:
    account = ledger.accounts[row.member_id]
    return RewardCancelled(
        member_id=row.member_id,
        redemption_id=row.id,
        reward_id=row.reward_id,
        reward_kind=reward.kind,
        order_id=row.order_id,
        status=row.status,
        reason=row.reason or row.status,
        points=row.points,
        cancelled_at=ledger.now,
        balance_points=account.balance_points,
    )


async def _open(
    session: AsyncSession, redemption_ids: Sequence[UUID]
) -> tuple[Ledger, dict[UUID, RedemptionRow]]:
    """Lock the accounts of redemptions and read them as they are then."""
    known = await repository.redemptions_by_id(session, redemption_ids)
    ledger = await Ledger.open(session, {row.member_id for row in known.values()}, create=False)
    return ledger, await repository.redemptions_by_id(session, known) if known else {}


async def _rewards(session: AsyncSession, rows: Mapping[UUID, RedemptionRow]) -> dict[UUID, Reward]:
    return await reward_repository.rewards_by_id(session, sorted({row.reward_id for row in rows.values()}))


def _now(
    redemption_id: UUID, rows: Mapping[UUID, RedemptionRow], changed: Mapping[UUID, RedemptionRow]
) -> RedemptionRow | Refusal:
    row = changed.get(redemption_id) or rows.get(redemption_id)
    return row if row is not None else RedemptionNotFound(redemption_id=str(redemption_id))
