"""Refunds and cancellations: applied to their order, or parked until it has come."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar
from uuid import UUID

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from services.members.domain import (
    Cancellation,
    KnownOrder,
    OrderKey,
    Refund,
    cancelled_at,
    refunded_at,
    says_the_same,
    state_of,
)
from services.members.errors import (
    CancellationConflict,
    RefundConflict,
    RefundCurrencyMismatch,
    RefundExceedsOrder,
    RefundLinesMismatch,
    UnknownOrderLine,
)
from services.members.operations.changes import Changes
from services.members.operations.deliveries import settle_parked_deliveries
from services.members.operations.order_events import order_cancelled, order_refunded
from services.members.repository import orders as orders_repository
from services.members.repository import returns as repository
from services.members.repository.erasure import silence_returns
from services.members.repository.returns import RefundName, StoredCancellation, StoredRefund
from shared.problems import Refusal

__all__ = [
    "CancellationTaken",
    "RefundTaken",
    "apply_parked",
    "settle_parked",
    "take_cancellations",
    "take_refunds",
]

log = structlog.get_logger("regulars.members")

Return = TypeVar("Return", Refund, Cancellation)
UnitsLeft = dict[tuple[UUID, int], int]


@dataclass(frozen=True, slots=True)
class RefundTaken:
    """What became of a stated refund: applied, parked, or refused when its order came."""

    refund: Refund
    state: str
    changed: bool
    order: KnownOrder | None


@dataclass(frozen=True, slots=True)
class CancellationTaken:
    """What became of a stated cancellation: applied or parked."""

    cancellation: Cancellation
    state: str
    changed: bool
    order: KnownOrder | None


@dataclass(slots=True)
class _Touched:
    """Orders that a batch refunds or calls off, and the lines it takes units from."""

    units_left: UnitsLeft
    refunded: dict[UUID, KnownOrder] = field(default_factory=dict)
    cancelled: dict[UUID, KnownOrder] = field(default_factory=dict)
    lines: UnitsLeft = field(default_factory=dict)

    async def save(self, session: AsyncSession) -> None:
        await orders_repository.refund_orders(session, list(self.refunded.values()))
        await orders_repository.cancel_orders(session, list(self.cancelled.values()))
        await orders_repository.refund_lines(session, self.lines)


async def take_refunds(session: AsyncSession, refunds: Sequence[Refund]) -> list[RefundTaken | Refusal]:
    """Take in refunds. One result per refund, in their order.

    The rows are written before anything is applied: whoever loses the race for a refund's name learns it in
    time to change nothing.
    """
    changes, orders = await _locked_orders(session, {refund.key for refund in refunds})
    refunds = [_in_few_words(refund, orders, changes) for refund in refunds]
    stored = await repository.refunds_by_id(session, refunds)
    mended = _mended(refunds, stored)
    await repository.delete_refunds(session, mended)
    stored = {name: known for name, known in stored.items() if name not in {refund.name for refund in mended}}
    fresh: dict[RefundName, StoredRefund] = {}
    for refund in refunds:
        if refund.name not in stored:
            fresh.setdefault(refund.name, (refund, _first_state(orders.get(refund.key))))
    written = await repository.insert_refunds(session, list(fresh.values()))
    if len(written) < len(fresh):
        lost = [refund for name, (refund, _) in fresh.items() if name not in written]
        stored |= await repository.refunds_by_id(session, lost)
    touched = _Touched(await _units_left(session, refunds, orders))
    results: list[RefundTaken | Refusal] = []
    refused: dict[RefundName, Refusal] = {}
    for refund in refunds:
        order = orders.get(refund.key)
        if refund.name in stored:
            known, state = stored[refund.name]
            same = says_the_same(known, refund)
            results.append(RefundTaken(refund, state, False, order) if same else RefundConflict())
            continue
        state = fresh[refund.name][1]
        refusal = refused.get(refund.name)
        if refusal is None and order is not None and state == "applied":
            refusal = _refund(changes, touched, order, refund)
        if refusal is not None:
            refused[refund.name] = refusal
            results.append(refusal)
            continue
        changes.figures["parked_refunds"] += state == "parked"
        stored[refund.name] = (refund, state)
        results.append(RefundTaken(refund, state, True, order))
    await repository.delete_refunds(session, [fresh[name][0] for name in refused])
    await touched.save(session)
    await changes.save()
    return results


def _mended(refunds: Sequence[Refund], stored: Mapping[RefundName, StoredRefund]) -> list[Refund]:
    """Refunds that were refused when their order came, and are said otherwise now: those took nothing."""
    known = [(refund, stored[refund.name]) for refund in refunds if refund.name in stored]
    return [refund for refund, (was, state) in known if state == "refused" and not says_the_same(was, refund)]


def _first_state(order: KnownOrder | None) -> str:
    return "parked" if order is None or order.paid_at is None else "applied"


async def take_cancellations(
    session: AsyncSession, cancellations: Sequence[Cancellation]
) -> list[CancellationTaken | Refusal]:
    """Take in cancellations, written before they are applied as refunds are. One result each, in order."""
    keys = {cancellation.key for cancellation in cancellations}
    changes, orders = await _locked_orders(session, keys)
    cancellations = [_in_few_words(cancellation, orders, changes) for cancellation in cancellations]
    stored = await repository.cancellations_by_key(session, keys)
    fresh: dict[OrderKey, StoredCancellation] = {}
    for cancellation in cancellations:
        if cancellation.key not in stored:
            state = "applied" if cancellation.key in orders else "parked"
            fresh.setdefault(cancellation.key, (cancellation, state))
    written = await repository.insert_cancellations(session, list(fresh.values()))
    stored |= await repository.cancellations_by_key(session, fresh.keys() - written)
    touched = _Touched({})
    results: list[CancellationTaken | Refusal] = []
    for cancellation in cancellations:
        order = orders.get(cancellation.key)
        if cancellation.key in stored:
            known, state = stored[cancellation.key]
            same = says_the_same(known, cancellation)
            results.append(
                CancellationTaken(cancellation, state, False, order) if same else CancellationConflict()
            )
            continue
        state = fresh[cancellation.key][1]
        if order is not None:
            _cancel(changes, touched, order, cancellation)
        changes.figures["parked_cancellations"] += state == "parked"
        stored[cancellation.key] = (cancellation, state)
        results.append(CancellationTaken(cancellation, state, True, order))
    await touched.save(session)
    await changes.save()
    return results


async def apply_parked(session: AsyncSession, *, limit: int) -> int:
    """Apply what is parked although its order has come; return how many orders were looked at.

    Intake does this for the orders it takes; left for here are those that crossed their refund on the way.
    """
    keys = await repository.parked_keys(session, limit=limit)
    if not keys:
        return 0
    changes, orders = await _locked_orders(session, set(keys))
    await settle_parked(changes, orders)
    await changes.save()
    return len(keys)


async def settle_parked(changes: Changes, orders: Mapping[OrderKey, KnownOrder]) -> None:
    """Apply what waits for these orders, whose members are locked."""
    session = changes.session
    if not orders or not changes.anything_parked:
        return
    await settle_parked_deliveries(changes, orders)
    cancellations = await repository.parked_cancellations(session, orders.keys())
    refunds = await repository.parked_refunds(
        session, [key for key, order in orders.items() if order.paid_at is not None]
    )
    if not cancellations and not refunds:
        return
    touched = _Touched(await _units_left(session, refunds, orders))
    settled: list[tuple[Refund, str, str | None]] = []
    for refund in refunds:
        refusal = _refund(changes, touched, orders[refund.key], refund)
        settled.append((refund, "refused" if refusal else "applied", refusal.code if refusal else None))
        if refusal is not None:
            log.warning("refund.refused_late", order_id=str(orders[refund.key].id), code=refusal.code)
    for cancellation in cancellations:
        _cancel(changes, touched, orders[cancellation.key], cancellation)
    changes.figures["parked_refunds"] -= len(refunds)
    changes.figures["parked_cancellations"] -= len(cancellations)
    await repository.settle_refunds(session, settled)
    await repository.settle_cancellations(session, [cancellation.key for cancellation in cancellations])
    of_the_erased = [key for key, order in orders.items() if changes.members[order.member_id].erased_at]
    await silence_returns(session, of_the_erased)
    await touched.save(session)


def _in_few_words(said: Return, orders: Mapping[OrderKey, KnownOrder], changes: Changes) -> Return:
    """Leave the reason away if the order's customer was erased: it may be their own words."""
    order = orders.get(said.key)
    erased = order is not None and changes.members[order.member_id].erased_at is not None
    return replace(said, reason=None) if erased else said


async def _locked_orders(
    session: AsyncSession, keys: set[OrderKey]
) -> tuple[Changes, dict[OrderKey, KnownOrder]]:
    """Lock the members whose orders these are, and read the orders under the lock."""
    changes = await Changes.begin(session)
    return changes, await changes.lock_orders(keys)


async def _units_left(
    session: AsyncSession, refunds: Sequence[Refund], orders: Mapping[OrderKey, KnownOrder]
) -> UnitsLeft:
    ids = {orders[refund.key].id for refund in refunds if refund.lines and refund.key in orders}
    return await orders_repository.lines_left(session, ids)


def _refund(changes: Changes, touched: _Touched, order: KnownOrder, refund: Refund) -> Refusal | None:
    """Apply a refund to a paid order, or say why not."""
    refusal = _refund_refusal(touched.units_left, order, refund)
    if refusal is not None:
        return refusal
    state, spend_minor = state_of(order), order.spend_minor
    order.refunded_minor += refund.amount_minor
    touched.refunded[order.id] = order
    for line in refund.lines:
        left = touched.units_left[order.id, line.line_no] - line.quantity
        touched.units_left[order.id, line.line_no] = touched.lines[order.id, line.line_no] = left
    changes.figures[f"refunded:{order.currency}"] += refund.amount_minor
    at = refunded_at(order, refund)
    changes.events.append(order_refunded(order, replace(refund, refunded_at=at)))
    changes.order_moved(order, state, spend_minor, at)
    return None


def _refund_refusal(units_left: UnitsLeft, order: KnownOrder, refund: Refund) -> Refusal | None:
    if refund.currency not in (None, order.currency):
        return RefundCurrencyMismatch(f"The order is in {order.currency}.", order_currency=order.currency)
    left_minor = order.total_minor - order.refunded_minor
    if refund.amount_minor > left_minor:
        return RefundExceedsOrder(f"{left_minor} minor units are left.", left_minor=left_minor)
    if sum(line.amount_minor for line in refund.lines) + refund.shipping_minor > refund.amount_minor:
        return RefundLinesMismatch()
    units: dict[int, int] = defaultdict(int)
    for line in refund.lines:
        if (order.id, line.line_no) not in units_left:
            return UnknownOrderLine(f"There is no line {line.line_no}.", line_no=line.line_no)
        units[line.line_no] += line.quantity
        if units[line.line_no] > units_left[order.id, line.line_no]:
            return RefundExceedsOrder(
                f"{units_left[order.id, line.line_no]} units of line {line.line_no} are left.",
                line_no=line.line_no,
            )
    return None


def _cancel(changes: Changes, touched: _Touched, order: KnownOrder, cancellation: Cancellation) -> None:
    state, spend_minor = state_of(order), order.spend_minor
    order.cancelled_at = at = cancelled_at(order, cancellation)
    touched.cancelled[order.id] = order
    changes.events.append(order_cancelled(order, replace(cancellation, cancelled_at=at)))
    changes.order_moved(order, state, spend_minor, at)
