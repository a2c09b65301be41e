"""Explain: how a balance came about, and why an order earned what it did or nothing.

Everything is read from what was written when it happened: entries with their details, lots, holds, refunds,
and the versions of the rules. Nothing is judged again.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from services.points.domain import earning
from services.points.errors import OrderNotKnown
from services.points.operations.show import Balance, show_points
from services.points.repository import explain as repository
from services.points.repository import rules as rule_repository
from services.points.repository import tiers as tier_repository
from services.points.repository.details import RulesDetail, read_detail
from services.points.repository.explain import OpenHold, OpenLot, RefundHeard, Step
from services.points.repository.rules import RuleVersion
from services.points.repository.tiers import HeldTier
from shared.money import decimal_text

# An explanation is for a person to read; lists with cursors are for the rest.
MAX_STEPS: Final = 200

_NOTHING: Final = {
    earning.NOTHING_PAID: "nothing was paid",
    earning.NO_RATE: "the rules have no exchange rate for its currency",
    earning.EXCLUDED: "everything in it is excluded from earning",
    earning.BELOW_STEP: "it is below the amount that earns the first point",
    earning.NO_RULE: "no rule gives points for it",
}


@dataclass(frozen=True, slots=True)
class ExplainedStep:
    """An entry with the sentences that explain it."""

    step: Step
    because: list[str]


@dataclass(frozen=True, slots=True)
class Explanation:
    """How a member's balance came about: what there was before, step by step, and what it is made of."""

    balance: Balance
    tier: HeldTier | None
    earlier_points: int
    steps: list[ExplainedStep]
    lots: Sequence[OpenLot]
    holds: Sequence[OpenHold]


@dataclass(frozen=True, slots=True)
class OrderExplanation:
    """What an order has earned and kept, and why."""

    order_id: UUID
    earned_points: int
    kept_points: int
    rule: RuleVersion | None
    rules: RulesDetail | None
    because: list[str]
    steps: list[ExplainedStep]
    refunds: Sequence[RefundHeard]


async def explain_points(session: AsyncSession, member_id: UUID) -> Explanation:
    """Explain a member's balance by its entries, lots and holds."""
    steps = await repository.steps(session, member_id, limit=MAX_STEPS)
    balance = await show_points(session, member_id)
    # A merged member's points follow the tier of whom they were merged into.
    tiers = await tier_repository.tiers_of(session, [balance.account_id])
    versions = await _versions(session, steps)
    return Explanation(
        balance=balance,
        tier=tiers.get(balance.account_id),
        earlier_points=steps[0].running_points - steps[0].points if steps else 0,
        steps=[ExplainedStep(step, _because(step, versions)) for step in steps],
        lots=await repository.open_lots(session, member_id, limit=MAX_STEPS),
        holds=await repository.open_holds(session, member_id, limit=MAX_STEPS),
    )


async def explain_order(session: AsyncSession, member_id: UUID, order_id: UUID) -> OrderExplanation:
    """Explain what an order earned; raises `OrderNotKnown` if nothing was heard of it for this member."""
    steps = await repository.order_steps(session, member_id, order_id)
    refunds = await repository.refunds(session, member_id, order_id)
    if not steps and all(refund.applied_at is not None for refund in refunds):
        raise OrderNotKnown(order_id=str(order_id))
    versions = await _versions(session, steps)
    earned = next((step for step in steps if step.kind == "earn" and not step.reference), None)
    detail = read_detail(earned.detail) if earned is not None and earned.detail is not None else None
    return OrderExplanation(
        order_id=order_id,
        earned_points=earned.points if earned is not None else 0,
        kept_points=sum(step.points for step in steps if step.kind in ("earn", "claw_back")),
        rule=versions.get(earned.rule_version or 0) if earned is not None else None,
        rules=detail.rules if detail is not None else None,
        because=_because(earned, versions)
        if earned is not None
        else ["No payment of this order has been heard of; its refunds wait for it."],
        steps=[ExplainedStep(step, _because(step, versions)) for step in steps],
        refunds=refunds,
    )


async def _versions(session: AsyncSession, steps: Sequence[Step]) -> dict[int, RuleVersion]:
    if not any(step.rule_version for step in steps):
        return {}
    return {rule.version: rule for rule in await rule_repository.rule_versions(session)}


def _because(step: Step, versions: dict[int, RuleVersion]) -> list[str]:
    """Say in sentences why an entry is what it is."""
    if step.kind == "earn" and not step.reference:
        return list(_of_earning(step, versions.get(step.rule_version or 0)))
    sentences = [f"{step.reason}."]
    if step.kind == "claw_back" and step.basis_minor is not None and step.currency is not None:
        refunded = f"{decimal_text(step.basis_minor, step.currency)} {step.currency}"
        sentences.append(f"{refunded} went back; judged by version {step.rule_version}, which granted.")
    return sentences


def _of_earning(step: Step, rule: RuleVersion | None) -> Iterator[str]:
    assert step.basis_minor is not None, "an order has a total"
    assert step.currency is not None, "an order has a currency"
    paid = f"{decimal_text(step.basis_minor, step.currency)} {step.currency}"
    yield f"{paid} paid, judged by version {step.rule_version} of the earning rules."
    detail = read_detail(step.detail).rules if step.detail is not None else None
    if detail is not None:
        yield from _of_rules(step, detail)
    elif rule is not None and rule.points_per_unit is not None:
        yield f"{rule.points_per_unit} points for each whole {step.currency}."
        if step.points == 0:
            reason = earning.NOTHING_PAID if step.basis_minor == 0 else earning.BELOW_STEP
            yield f"It earned nothing: {_NOTHING[reason if rule.points_per_unit else earning.NO_RULE]}."


def _of_rules(step: Step, rules: RulesDetail) -> Iterator[str]:
    if rules.basis_minor is not None and rules.basis_minor != step.basis_minor:
        assert step.currency is not None
        yield f"{decimal_text(rules.basis_minor, step.currency)} {step.currency} of it count."
    if rules.exchange_rate is not None:
        yield f"Converted at {rules.exchange_rate}."
    if rules.excluded:
        yield f"Excluded lines: {', '.join(map(str, rules.excluded))}."
    for name, factor in rules.factors:
        yield f"{name}: {factor} points." if factor.startswith("+") else f"{name}: times {factor}."
    for name, points in rules.bonuses:
        yield f"{name}: {points} points for the order."
    for cap, before, after in rules.cuts:
        scope, _, period = cap.partition("_")
        yield f"Earned {after} of {before}: cap of the {scope} per {period}."
    if rules.nothing is not None:
        yield f"It earned nothing: {_NOTHING.get(rules.nothing, rules.nothing)}."
