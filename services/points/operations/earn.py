"""Earn: paid orders become points."""

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from services.points.operations.judging import Earn, Grant, judge_in_turn, judge_simply
from services.points.operations.ledger import Ledger
from services.points.operations.refund import apply_parked
from services.points.repository import ledger as ledger_repository
from services.points.repository import rules as rule_repository
from services.points.repository.details import detail_of
from shared.events import PointsEarned
from shared.outbox import emit
from shared.problems import Refusal

REASON = "Order paid"


class Earned(NamedTuple):
    """What an order has earned; `entry_id` is None if it was known before and nothing changed."""

    order_id: UUID
    entry_id: UUID | None
    points: int


async def earn(session: AsyncSession, commands: Sequence[Earn]) -> list[Earned | Refusal]:
    """Let each order earn once, whoever says how often that it was paid.

    An order that earns nothing gets an entry of zero all the same: it is known from then on. Refunds that
    came before the order are applied at once.
    """
    rules = await rule_repository.rule_book(session)
    versions = [(command, rules.at(command.order.paid_at)) for command in commands]
    in_turn = any(rule.rule_set is not None for _, rule in versions)
    judged = [] if in_turn else [judge_simply(command, rule) for command, rule in versions]
    asked = commands if in_turn else [grant.command for grant in judged if isinstance(grant, Grant)]
    ledger = await Ledger.open(session, {command.member_id for command in asked})
    known = await ledger_repository.known_earns(session, [command.order_id for command in asked])
    if in_turn:
        judged = await judge_in_turn(session, ledger, versions, known)
    grants = _grants(judged)
    posted: dict[UUID, UUID] = {}
    for order_id, grant in reversed(grants.items()):
        if order_id not in known:
            posted[order_id] = _post(ledger, grant)
    await ledger.save(session)
    await apply_parked(session, ledger, list(posted), rules)
    await emit(session, ledger.events)
    return [_result(item, posted) for item in judged]


def _grants(judged: Sequence[Grant | Refusal]) -> dict[UUID, Grant]:
    """Return one grant for each order, the first that was heard, and the orders in reverse."""
    return {grant.command.order_id: grant for grant in reversed(judged) if isinstance(grant, Grant)}


def _result(item: Grant | Refusal, posted: dict[UUID, UUID]) -> Earned | Refusal:
    if isinstance(item, Refusal):
        return item
    order_id = item.command.order_id
    entry_id = posted.pop(order_id, None)
    return Earned(order_id, entry_id, item.points if entry_id is not None else 0)


def _post(ledger: Ledger, grant: Grant) -> UUID:
    """Enter a grant into its account: it repays debt first, and opens a lot with the rest."""
    command, rule, points, expires_at, matures_at, pending, policy, explained = grant
    order, actor, order_id, member_id = command
    account = ledger.accounts[member_id]
    entry_id = ledger.enter(
        account,
        "earn",
        points,
        about_id=order_id,
        actor=actor,
        reason=REASON,
        occurred_at=order.paid_at,
        rule_version=rule.version,
        basis_minor=order.total_minor,
        currency=order.currency,
        detail=detail_of(order, explained),
        origin_id=member_id,
    )
    ledger.credit(
        account,
        points,
        lot_id=entry_id,
        earned_at=order.paid_at,
        expires_at=expires_at,
        matures_at=matures_at,
        pending=pending,
        policy=policy,
        origin_id=member_id,
    )
    if points:
        ledger.events.append(
            PointsEarned(
                member_id=account.member_id,
                entry_id=entry_id,
                order_id=order_id,
                points=points,
                expires_at=expires_at,
                matures_at=matures_at,
                uncapped_points=explained.uncapped_points if explained is not None else None,
                reason=REASON,
                rule_version=rule.version,
                earned_at=order.paid_at,
                order_currency=order.currency,
                balance_points=account.balance_points - ledger.withheld.get(account.member_id, 0),
            )
        )
    return entry_id
