"""Earn: paid orders become points."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from services.points.domain import Account, EarningRule, PointsOutOfRange, RuleBook
from services.points.errors import ExpiryOutOfRange, TooManyPoints, UnknownOrderCurrency
from services.points.operations.ledger import Ledger
from services.points.operations.refund import apply_refunds
from services.points.repository import ledger as ledger_repository
from services.points.repository import orders as order_repository
from services.points.repository.ledger import LotRow
from shared.events import PointsEarned
from shared.money import UnknownCurrency
from shared.outbox import emit
from shared.problems import Refusal

REASON = "Order paid"


class Earn(NamedTuple):
    """Let a paid order earn."""

    order_id: UUID
    member_id: UUID
    currency: str
    total_minor: int
    paid_at: datetime
    actor: str


class Earned(NamedTuple):
    """What an order has earned; `entry_id` is None if it was known before and nothing changed."""

    order_id: UUID
    entry_id: UUID | None
    points: int


class _Grant(NamedTuple):
    """A command with what its rule says."""

    command: Earn
    rule: EarningRule
    points: int
    expires_at: datetime | None


async def earn(session: AsyncSession, commands: Sequence[Earn]) -> list[Earned | Refusal]:
    """Let each order earn once, whoever says how often that it was paid.

    An order that earns nothing gets an entry of zero all the same: it is known from then on. Refunds that
    came before the order are applied at once.
    """
    rules = await order_repository.rule_book(session)
    grants = [_judge(rules, command) for command in commands]
    ledger = await Ledger.open(session, {command.member_id for command in commands})
    known = await ledger_repository.known_earns(session, [command.order_id for command in commands])
    results: list[Earned | Refusal] = []
    order_ids: list[UUID] = []
    expired: set[UUID] = set()
    for grant in grants:
        if isinstance(grant, Refusal):
            results.append(grant)
            continue
        command = grant.command
        if command.order_id in known:
            results.append(Earned(command.order_id, None, 0))
            continue
        known.add(command.order_id)
        order_ids.append(command.order_id)
        account = ledger.accounts[command.member_id]
        late = grant.expires_at is not None and grant.expires_at <= ledger.now
        if late and grant.points:
            expired.add(command.member_id)
        results.append(Earned(command.order_id, _post(ledger, account, grant, late=late), grant.points))
    await ledger.save(session)
    # Points that had passed their date before they were heard of come and go in the same transaction.
    await ledger.expire(session, sorted(expired))
    parked = await order_repository.parked_refunds(session, order_ids)
    if parked:
        await apply_refunds(session, ledger, parked, rules)
    await emit(session, ledger.events)
    return results


def _judge(rules: RuleBook, command: Earn) -> _Grant | Refusal:
    rule = rules.at(command.paid_at)
    try:
        points = rule.points_for(command.total_minor, command.currency)
        return _Grant(command, rule, points, rule.expiry_of(command.paid_at))
    except UnknownCurrency:
        return UnknownOrderCurrency(order_id=str(command.order_id))
    except PointsOutOfRange:
        return TooManyPoints(order_id=str(command.order_id))
    except OverflowError:
        return ExpiryOutOfRange(order_id=str(command.order_id))


def _post(ledger: Ledger, account: Account, grant: _Grant, *, late: bool) -> UUID:
    """Enter a grant into the account: it repays debt first, and opens a lot with the rest.

    What has expired before it arrived repays nothing, just as if it had arrived in time and expired since.
    """
    command, rule, points, expires_at = grant
    account.earned_points += points
    opened = points if late else account.repay(points)
    account.open_points += opened
    entry_id = ledger.enter(
        account,
        "earn",
        points,
        about_id=command.order_id,
        actor=command.actor,
        reason=REASON,
        occurred_at=command.paid_at,
        rule_version=rule.version,
        basis_minor=command.total_minor,
        currency=command.currency,
    )
    if opened:
        ledger.lots.append(LotRow(entry_id, account.member_id, opened, command.paid_at, expires_at))
        if expires_at is not None and (account.next_expiry_at is None or expires_at < account.next_expiry_at):
            account.next_expiry_at = expires_at
    if late:
        ledger.withheld[account.member_id] = ledger.withheld.get(account.member_id, 0) + opened
    if points:
        ledger.events.append(
            PointsEarned(
                member_id=account.member_id,
                entry_id=entry_id,
                order_id=command.order_id,
                points=points,
                expires_at=expires_at,
                reason=REASON,
                rule_version=rule.version,
                earned_at=command.paid_at,
                order_currency=command.currency,
                balance_points=account.balance_points - ledger.withheld.get(account.member_id, 0),
            )
        )
    return entry_id
