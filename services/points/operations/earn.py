"""Earn: paid orders become points."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from services.points.domain import EarningRule, PointsOutOfRange, RuleBook
from services.points.errors import ExpiryOutOfRange, TooManyPoints, UnknownOrderCurrency
from services.points.operations.ledger import Ledger
from services.points.operations.refund import apply_refunds
from services.points.repository import ledger as ledger_repository
from services.points.repository import orders as order_repository
from services.points.repository import rules as rule_repository
from services.points.repository.ledger import Credit
from shared.events import OrderPaid, PointsEarned
from shared.money import UnknownCurrency
from shared.outbox import emit
from shared.problems import Refusal

REASON = "Order paid"


class Earn(NamedTuple):
    """Let a paid order earn. The event itself is handed on: a rule may ask for any of its facts."""

    order: OrderPaid
    actor: str

    @property
    def order_id(self) -> UUID:
        """The order."""
        return self.order.order_id

    @property
    def member_id(self) -> UUID:
        """The member who paid."""
        return self.order.member_id


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
    rules = await rule_repository.rule_book(session)
    judged = [_judge(rules, command) for command in commands]
    grants = {grant.command.order_id: grant for grant in reversed(judged) if isinstance(grant, _Grant)}
    ledger, known = await _credit(session, grants)
    posted: dict[UUID, UUID] = {}
    for order_id, grant in reversed(grants.items()):
        if order_id not in known:
            posted[order_id] = _post(ledger, grant)
    await ledger.save(session)
    parked = await order_repository.parked_refunds(session, list(posted))
    if parked:
        await ledger.reload(session, {grants[refund.order_id].command.member_id for refund in parked})
        await apply_refunds(session, ledger, parked, rules)
    await emit(session, ledger.events)
    return [_result(item, posted) for item in judged]


def _result(item: _Grant | Refusal, posted: dict[UUID, UUID]) -> Earned | Refusal:
    if isinstance(item, Refusal):
        return item
    order_id = item.command.order_id
    entry_id = posted.pop(order_id, None)
    return Earned(order_id, entry_id, item.points if entry_id is not None else 0)


async def _credit(session: AsyncSession, grants: Mapping[UUID, _Grant]) -> tuple[Ledger, set[UUID]]:
    """Lock the accounts, credit the ordinary ones, and say which orders had earned before.

    Nearly every account owes nothing and nearly every order is new, so the accounts are credited before
    either is known, which saves a reading and a writing of each. The few others are loaded and put right.
    """
    given: dict[UUID, Credit] = {}
    for command, _, points, expires_at in grants.values():
        member_id = command.member_id
        given[member_id] = _add(given.get(member_id), member_id, points, expires_at)
    ordinary = await ledger_repository.credit_accounts(session, given.values())
    known = await ledger_repository.known_earns(session, list(grants))
    mistaken = {grants[order_id].command.member_id for order_id in known} & ordinary.keys()
    ledger = Ledger(ordinary, await ledger_repository.database_now(session), credited=set(ordinary))
    await ledger.reload(session, mistaken)
    for member_id in mistaken:
        account, credit = ledger.accounts[member_id], given[member_id]
        account.sequence -= credit.entries
        account.open_points -= credit.points
        account.earned_points -= credit.points
        ledger.change(account)
    await ledger.admit(session, given)
    return ledger, known


def _add(credit: Credit | None, member_id: UUID, points: int, expires_at: datetime | None) -> Credit:
    """Add an order to what its member is credited."""
    if points == 0:
        expires_at = None
    if credit is None:
        return Credit(member_id, 1, points, expires_at)
    dates = [date for date in (credit.next_expiry_at, expires_at) if date is not None]
    return Credit(member_id, credit.entries + 1, credit.points + points, min(dates, default=None))


def _judge(rules: RuleBook, command: Earn) -> _Grant | Refusal:
    order = command.order
    rule = rules.at(order.paid_at)
    try:
        points = rule.points_for(order.total_minor, order.currency)
        return _Grant(command, rule, points, rule.expiry_of(order.paid_at))
    except UnknownCurrency:
        return UnknownOrderCurrency(order_id=str(order.order_id))
    except PointsOutOfRange:
        return TooManyPoints(order_id=str(order.order_id))
    except OverflowError:
        return ExpiryOutOfRange(order_id=str(order.order_id))


def _post(ledger: Ledger, grant: _Grant) -> UUID:
    """Enter a grant into its account: it repays debt first, and opens a lot with the rest."""
    (order, actor), rule, points, expires_at = grant
    account = ledger.accounts[order.member_id]
    entry_id = ledger.enter(
        account,
        "earn",
        points,
        about_id=order.order_id,
        actor=actor,
        reason=REASON,
        occurred_at=order.paid_at,
        rule_version=rule.version,
        basis_minor=order.total_minor,
        currency=order.currency,
        origin_id=order.member_id,
    )
    ledger.credit(
        account,
        points,
        lot_id=entry_id,
        earned_at=order.paid_at,
        expires_at=expires_at,
        origin_id=order.member_id,
    )
    if points:
        ledger.events.append(
            PointsEarned(
                member_id=account.member_id,
                entry_id=entry_id,
                order_id=order.order_id,
                points=points,
                expires_at=expires_at,
                reason=REASON,
                rule_version=rule.version,
                earned_at=order.paid_at,
                order_currency=order.currency,
                balance_points=account.balance_points - ledger.withheld.get(account.member_id, 0),
            )
        )
    return entry_id
