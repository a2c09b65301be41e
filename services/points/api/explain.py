"""Explanations."""

from typing import Annotated
from uuid import UUID

import msgspec
from fastapi import APIRouter, Query

from services.points import operations
from services.points.api.access import Reader
from services.points.errors import OrderNotKnown
from services.points.operations import ExplainedStep, OrderExplanation
from services.points.schemas import (
    HoldShown,
    LotOut,
    OrderExplained,
    PointsExplained,
    RefundShown,
    StepOut,
    TierShown,
)
from shared.edge import Transaction, TransactionalRoute
from shared.problems import problem_responses

router = APIRouter(prefix="/v1", route_class=TransactionalRoute, tags=["points"])


@router.get("/members/{member_id}/points/explain", responses=problem_responses(OrderNotKnown))
async def explain_points(
    session: Transaction,
    caller: Reader,
    member_id: UUID,
    order_id: Annotated[
        UUID | None, Query(description="Say also why this order earned what it did, or nothing.")
    ] = None,
) -> PointsExplained:
    """Explain a member's balance: entries with their reasons, and the lots and holds it is made of."""
    order = None
    if order_id is not None:
        order = _order(await operations.explain_order(session, member_id, order_id))
    found = await operations.explain_points(session, member_id)
    tier = found.tier
    return PointsExplained(
        member_id=member_id,
        available_points=found.balance.available_points,
        pending_points=found.balance.pending_points,
        held_points=found.balance.held_points,
        debt_points=found.balance.debt_points,
        tier=TierShown(**tier._asdict()) if tier is not None else None,
        earlier_points=found.earlier_points,
        steps=[_step(step) for step in found.steps],
        lots=[LotOut(**lot._asdict(), lot_id=lot.id, held_points=lot.pinned_points) for lot in found.lots],
        holds=[HoldShown(**hold._asdict(), hold_id=hold.id) for hold in found.holds],
        order=order,
    )


def _step(explained: ExplainedStep) -> StepOut:
    step = explained.step
    return StepOut(
        **step._asdict(), entry_id=step.id, balance_points=step.running_points, because=explained.because
    )


def _order(found: OrderExplanation) -> OrderExplained:
    return OrderExplained(
        order_id=found.order_id,
        earned_points=found.earned_points,
        kept_points=found.kept_points,
        rule_version=found.rule.version if found.rule is not None else None,
        rule_name=found.rule.name if found.rule is not None else None,
        because=found.because,
        rules=msgspec.to_builtins(found.rules) if found.rules is not None else None,
        refunds=[RefundShown(**refund._asdict()) for refund in found.refunds],
        steps=[_step(step) for step in found.steps],
    )
