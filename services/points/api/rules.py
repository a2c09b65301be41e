"""The earning rules."""

from fastapi import APIRouter

from services.points import operations
from services.points.api.access import Admin, Reader
from services.points.errors import (
    RuleInThePast,
)
from services.points.operations import NewRule, RuleVersion
from services.points.schemas import (
    EarningRuleIn,
    EarningRuleOut,
    EarningRules,
)
from shared.edge import DryRun, Transaction, TransactionalRoute
from shared.problems import problem_responses

router = APIRouter(prefix="/v1", route_class=TransactionalRoute, tags=["points"])


@router.get("/rules/earning")
async def show_earning_rules(session: Transaction, caller: Reader) -> EarningRules:
    """Show the earning rule in all its versions."""
    versions, current = await operations.show_earning_rules(session)
    return EarningRules(current=_rule(current), versions=[_rule(version) for version in versions])


@router.put("/rules/earning", responses=problem_responses(RuleInThePast))
async def add_earning_rule(
    session: Transaction, caller: Admin, body: EarningRuleIn, dry_run: DryRun = False
) -> EarningRuleOut:
    """Add a version of the earning rule. Orders paid before it takes effect earn as before."""
    new = NewRule(body.points_per_unit, body.lot_lifetime_days, body.effective_at)
    return _rule(await operations.add_earning_rule(session, new, actor=caller.key_id))


def _rule(version: RuleVersion) -> EarningRuleOut:
    rule = version.rule
    return EarningRuleOut(
        version=rule.version,
        points_per_unit=rule.points_per_unit,
        lot_lifetime_days=rule.lot_lifetime_days,
        effective_at=rule.effective_at,
        created_by=version.created_by,
        created_at=version.created_at,
    )
