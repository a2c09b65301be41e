"""Refund: what a refunded order had earned is taken back, exactly and once."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple
from uuid import UUID

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from services.points.domain import EarnedOrder, Lot, RuleBook, claw_back_due
from services.points.errors import RefundCurrencyMismatch
from services.points.operations.ledger import DebtPolicy, Ledger
from services.points.operations.referrals import take_back_referrals
from services.points.operations.reverse import OrderReturn, return_spent
from services.points.repository import orders as repository
from services.points.repository import reports
from services.points.repository import rules as rule_repository
from services.points.repository.orders import Refund
from shared.events import PointsClawedBack, RefundLine
from shared.outbox import emit
from shared.problems import Refusal

REASON = "Order refunded"


class Refunded(NamedTuple):
    """What became of a refund: `applied`, `parked` until its order is paid, or `known` from before."""

    order_id: UUID
    refund_id: str
    status: str


class _Due(NamedTuple):
    """A refund that is counted in, what it takes back, and how much of what was spent comes back."""

    refund: Refund
    order: EarnedOrder
    points: int
    spent: OrderReturn


async def refund(session: AsyncSession, commands: Sequence[Refund]) -> list[Refunded | Refusal]:
    """Apply each refund once; one that comes before its order waits for it."""
    order_ids = sorted({command.order_id for command in commands})
    # The order may have earned for another member than the refund names, if the two were merged since.
    members = {command.member_id for command in commands} | await repository.owners(session, order_ids)
    ledger = await Ledger.open(session, members)
    orders = await repository.earned_orders(session, order_ids)
    await ledger.admit(session, (order.member_id for order in orders.values()))
    unique = {
        (command.order_id, command.refund_id): command
        for command in reversed(commands)
        if not _is_foreign(orders.get(command.order_id), command)
    }
    fresh = await repository.add_refunds(session, list(unique.values()))
    due = [unique[key] for key in unique if key in fresh and key[0] in orders]
    if due:
        await apply_refunds(session, ledger, due, await rule_repository.rule_book(session))
    await take_back_referrals(session, ledger, order_ids)
    await emit(session, ledger.events)
    results: list[Refunded | Refusal] = []
    for command in commands:
        key = (command.order_id, command.refund_id)
        if _is_foreign(orders.get(command.order_id), command):
            results.append(
                RefundCurrencyMismatch(order_id=str(command.order_id), refund_id=command.refund_id)
            )
            continue
        status = "known" if key not in fresh else "applied" if key[0] in orders else "parked"
        fresh.discard(key)
        results.append(Refunded(*key, status))
    return results


async def apply_parked(
    session: AsyncSession, ledger: Ledger, order_ids: Sequence[UUID], rules: RuleBook
) -> None:
    """Apply what was parked of orders that have earned; their accounts are locked, and the caller emits."""
    parked = await repository.parked_refunds(session, order_ids)
    if parked:
        await apply_refunds(session, ledger, parked, rules)
        await take_back_referrals(session, ledger, order_ids)


async def apply_overtaken(session: AsyncSession, *, limit: int) -> int:
    """Apply refunds that were parked while their order was earning; return of how many orders.

    That comes about only where the two name different ids of a person: one account is worked on at a time.
    """
    order_ids = await repository.parked_orders(session, limit=limit)
    if order_ids:
        ledger = await Ledger.open(session, await repository.owners(session, order_ids))
        await apply_parked(session, ledger, order_ids, await rule_repository.rule_book(session))
        await emit(session, ledger.events)
    return len(order_ids)


async def count_parked_refunds(session: AsyncSession) -> int:
    """Count refunds that wait for their order to be paid."""
    return await reports.parked_refunds(session)


def refunded_lines(lines: Sequence[RefundLine]) -> str:
    """Write the lines of a refund as `Refund` carries them."""
    rows = [(line.line_no, line.quantity, line.amount_minor) for line in lines]
    return msgspec.json.encode(rows).decode()


def _is_foreign(order: EarnedOrder | None, refund: Refund) -> bool:
    return order is not None and order.currency != refund.currency


async def apply_refunds(
    session: AsyncSession, ledger: Ledger, refunds: Sequence[Refund], rules: RuleBook
) -> None:
    """Claw back for refunds whose orders have earned; the accounts are locked and settled.

    A parked refund in another currency than its order stays parked: it must not fail the order, and the
    backlog of parked refunds shows it.
    """
    orders = await repository.earned_orders(session, sorted({refund.order_id for refund in refunds}))
    await ledger.admit(session, (order.member_id for order in orders.values()))
    due = _count_in(refunds, orders, rules)
    # What was spent on the orders comes back first, so that it can pay for what they had earned.
    await return_spent(session, ledger, [each.spent for each in due])
    needs: dict[UUID, int] = defaultdict(int)
    for each in due:
        needs[each.order.member_id] += each.points
    own_lots = [each.order.entry_id for each in due]
    # What a version says of points that are gone holds for what it granted.
    granted_by = {each.order.rule_version for each in due}
    policies = {version: rules.version(version).debt_policy for version in granted_by}
    lots = await ledger.paying_lots(
        session, needs, wanted_ids=own_lots, with_pending="pending" in policies.values()
    )
    for item, order, points, _ in due:
        _claw_back(ledger, item, order, points, lots[order.member_id], policies[order.rule_version])
    await ledger.save(session)
    applied = [(each.refund.order_id, each.refund.refund_id, each.points) for each in due]
    await repository.apply_refunds(session, applied, now=ledger.now)


def _count_in(refunds: Sequence[Refund], orders: Mapping[UUID, EarnedOrder], rules: RuleBook) -> list[_Due]:
    """Count refunds in, the earliest first, and say what each takes back and what comes back for it."""
    due: list[_Due] = []
    for item in sorted(refunds, key=lambda refund: (refund.refunded_at, refund.refund_id)):
        order = orders[item.order_id]
        if _is_foreign(order, item):
            continue
        order.refund(
            item.amount_minor, complete=item.complete, shipping_minor=item.shipping_minor, lines=item.rows()
        )
        points = claw_back_due(order, rules.version(order.rule_version))
        order.clawed_back_points += points
        spent = OrderReturn(
            item.order_id,
            order.refunded_minor,
            order.total_minor,
            order.complete,
            item.refund_id,
            item.actor,
            REASON,
            item.refunded_at,
        )
        due.append(_Due(item, order, points, spent))
    return due


def _claw_back(
    ledger: Ledger, item: Refund, order: EarnedOrder, points: int, lots: list[Lot], policy: DebtPolicy
) -> None:
    """Take points back: from the order's own lot, then from the others; the rest is a matter of policy."""
    if points == 0:
        return
    account = ledger.accounts[order.member_id]
    taken = ledger.claw_back(
        account,
        points,
        lots,
        first=order.entry_id,
        policy=policy,
        about_id=order.order_id,
        reference=item.refund_id,
        actor=item.actor,
        reason=REASON,
        occurred_at=item.refunded_at,
        rule_version=order.rule_version,
        basis_minor=item.amount_minor,
        currency=item.currency,
        origin_id=order.member_id,
    )
    ledger.events.append(
        PointsClawedBack(
            member_id=account.member_id,
            entry_id=taken.entry_id,
            order_id=order.order_id,
            refund_id=item.refund_id,
            points=points,
            debt_points=taken.debt_points,
            clawed_back_at=ledger.now,
            balance_points=account.balance_points,
        )
    )
