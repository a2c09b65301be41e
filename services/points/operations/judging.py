"""Judging: what each order of a batch earns under the version in force when it was paid.

The simple form needs nothing but the order. A rule set may ask for more: what is known of the member, whether
it is their first order, and how much of a cap is left. That is read only if a version at hand asks for it,
and once for the batch, under the locks of the accounts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from services.points.domain import EarningRule, ExpiryPolicy, PointsOutOfRange
from services.points.domain.caps import Window, capped, windows_of
from services.points.domain.earning import judge
from services.points.domain.facts import NOBODY, MemberFacts
from services.points.domain.rule_sets import PROGRAM, Plan, RuleSet
from services.points.errors import ExpiryOutOfRange, TooManyPoints, UnknownOrderCurrency
from services.points.operations.ledger import Ledger
from services.points.repository import caps as repository
from services.points.repository import labels as label_repository
from services.points.repository import tiers as tier_repository
from services.points.repository.caps import BirthdayRow
from services.points.repository.details import RulesDetail, rules_detail
from services.points.repository.tiers import HeldTier
from shared.events import OrderPaid
from shared.ids import driver_id
from shared.money import UnknownCurrency
from shared.problems import Refusal


class Earn(NamedTuple):
    """Let a paid order earn. The event itself is handed on: a rule may ask for any of its facts."""

    order: OrderPaid
    actor: str
    order_id: UUID
    member_id: UUID

    @classmethod
    def of(cls, order: OrderPaid, actor: str) -> "Earn":
        """Return the command for an order that was paid; `actor` is who says so."""
        return cls(order, actor, driver_id(order.order_id), driver_id(order.member_id))


class Grant(NamedTuple):
    """A command with what its rule gives; `rules` says why, if a rule set decided."""

    command: Earn
    rule: EarningRule
    points: int
    expires_at: datetime | None
    matures_at: datetime | None = None
    pending: bool = False
    policy: ExpiryPolicy | None = None
    rules: RulesDetail | None = None


def judge_simply(command: Earn, rule: EarningRule) -> Grant | Refusal:
    """Return what the simple form of a rule gives for an order."""
    order = command.order
    try:
        points = rule.points_for(order.total_minor, order.currency)
        return Grant(command, rule, points, rule.expiry_of(order.paid_at))
    except (UnknownCurrency, PointsOutOfRange, OverflowError) as error:
        return _refusal(command, error)


def _refusal(command: Earn, error: Exception) -> Refusal:
    order_id = str(command.order_id)
    if isinstance(error, UnknownCurrency):
        return UnknownOrderCurrency(order_id=order_id)
    if isinstance(error, PointsOutOfRange):
        return TooManyPoints(order_id=order_id)
    return ExpiryOutOfRange(order_id=order_id)


@dataclass(slots=True)
class _Knowledge:
    """What the rule sets of a batch ask for, and what the batch itself adds to it as it goes along."""

    tiers: Mapping[UUID, HeldTier] = field(default_factory=dict)
    birthdays: Mapping[UUID, BirthdayRow] = field(default_factory=dict)
    labels: Mapping[UUID, Mapping[str, list[str]]] = field(default_factory=dict)
    with_orders: set[UUID] = field(default_factory=set)
    used: dict[Window, int] = field(default_factory=dict)
    added: dict[Window, int] = field(default_factory=dict)

    def member(self, rules: RuleSet, member_id: UUID) -> MemberFacts:
        """Return what is known of a member, as far as the rules ask."""
        plan = rules.plan
        if not plan.needs_member and not plan.needs_first_order and not plan.labels:
            return NOBODY
        tier, birthday = self.tiers.get(member_id), self.birthdays.get(member_id)
        return MemberFacts(
            tier.tier if tier is not None else None,
            tier.points_multiplier_percent if tier is not None else None,
            plan.needs_first_order and member_id not in self.with_orders,
            birthday.starts_at if birthday is not None else None,
            birthday.ends_at if birthday is not None else None,
            *(self._labels(plan, member_id) if plan.labels else ()),
        )

    def _labels(self, plan: Plan, member_id: UUID) -> tuple[list[str], list[str]]:
        """Return the tags and groups of a member, of those that these rules ask for."""
        held = self.labels.get(member_id, {})
        tags, groups = (
            [label for label in held.get(kind, ()) if (kind, label) in plan.labels]
            for kind in ("tag", "group")
        )
        return tags, groups

    def count(self, windows: Sequence[Window], order: OrderPaid, points: int) -> None:
        """Count what an order was granted in its windows, kept under the id that it came under."""
        for window in windows:
            self.used[window] = self.used.get(window, 0) + points
            if window.subject_id != PROGRAM:
                window = window._replace(subject_id=order.member_id)
            self.added[window] = self.added.get(window, 0) + points


async def judge_in_turn(
    session: AsyncSession,
    ledger: Ledger,
    commands: Sequence[tuple[Earn, EarningRule]],
    known: set[UUID],
) -> list[Grant | Refusal]:
    """Judge orders one after the other under the locks of their accounts, and count them in their windows.

    Orders in `known` have earned before: they are judged to be answered, and count for nothing. Which of
    several orders a cap cuts is a matter of their arrival.
    """
    knowledge = await _gather(session, ledger, commands)
    results: list[Grant | Refusal] = []
    met = set(known)
    for command, rule in commands:
        if rule.rule_set is None:
            result = judge_simply(command, rule)
        else:
            result = _judge(
                ledger, knowledge, command, rule, rule.rule_set, counts=command.order_id not in met
            )
        if isinstance(result, Grant):
            met.add(command.order_id)
            knowledge.with_orders.add(ledger.accounts[command.member_id].member_id)
        results.append(result)
    await repository.add_usage(session, knowledge.added)
    return results


def _judge(
    ledger: Ledger, knowledge: _Knowledge, command: Earn, rule: EarningRule, rules: RuleSet, *, counts: bool
) -> Grant | Refusal:
    order = command.order
    root_id = ledger.accounts[order.member_id].member_id
    member = knowledge.member(rules, root_id)
    try:
        judged = judge(rules, order, member)
        expires_at, matures_at = rule.expiry_of(order.paid_at), rule.maturity_of(order.paid_at)
    except (UnknownCurrency, PointsOutOfRange, OverflowError) as error:
        return _refusal(command, error)
    windows = windows_of(rules, root_id, order.paid_at)
    given = judged.parts.total
    points, cuts = capped(rules, given, windows, knowledge.used)
    if counts:
        knowledge.count(windows, order, points)
    return Grant(
        command,
        rule,
        points,
        expires_at,
        matures_at,
        rules.matures_on_delivery,
        rules.expiry,
        rules_detail(judged, judged.parts.cut_to(points) if cuts else judged.parts, cuts, member),
    )


async def _gather(
    session: AsyncSession, ledger: Ledger, commands: Sequence[tuple[Earn, EarningRule]]
) -> _Knowledge:
    """Read what the rule sets at hand ask for, and nothing that none of them does."""
    knowledge = _Knowledge()
    asking = [
        (ledger.accounts[command.member_id].member_id, command.order, rule.rule_set)
        for command, rule in commands
        if rule.rule_set is not None
    ]
    told = {root_id for root_id, _, rules in asking if rules.plan.needs_member}
    if told:
        knowledge.tiers = await tier_repository.tiers_of(session, told)
        knowledge.birthdays = await repository.birthdays_of(session, told)
    labelled = {root_id for root_id, _, rules in asking if rules.plan.labels}
    if labelled:
        wanted = {label for _, _, rules in asking for label in rules.plan.labels}
        knowledge.labels = await label_repository.labels_of(session, labelled, wanted)
    firsts = {root_id for root_id, _, rules in asking if rules.plan.needs_first_order}
    if firsts:
        knowledge.with_orders = await repository.with_orders(session, firsts)
    windows = {
        window for root_id, order, rules in asking for window in windows_of(rules, root_id, order.paid_at)
    }
    knowledge.used = await repository.usage(session, windows)
    return knowledge
