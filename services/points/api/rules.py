"""The earning rules: drafts, versions in force, and those that were ended."""

from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Path

from services.points import operations
from services.points.api.access import Admin, Reader
from services.points.errors import InvalidRuleSet, RuleInThePast, RuleIsActive, RuleNotFound, RuleRequired
from services.points.operations import NewRule, RuleVersion
from services.points.schemas import (
    ActivationIn,
    EarningRuleIn,
    EarningRuleOut,
    EarningRules,
    RuleSetIn,
)
from shared.edge import DryRun, Transaction, TransactionalRoute
from shared.problems import problem_responses

router = APIRouter(prefix="/v1", route_class=TransactionalRoute, tags=["earning rules"])

Version = Annotated[int, Path(ge=1, le=2**31 - 1, description="Number of the version or draft.")]


@router.get("/rules/earning")
async def show_earning_rules(session: Transaction, caller: Reader) -> EarningRules:
    """Show the earning rules in all their versions."""
    versions, current = await operations.show_earning_rules(session)
    shown = [_rule(version) for version in versions]
    return EarningRules(
        current=_rule(current),
        versions=[rule for rule in shown if rule.status != "draft"],
        drafts=[rule for rule in shown if rule.status == "draft"],
    )


@router.put("/rules/earning", responses=problem_responses(RuleInThePast))
async def add_earning_rule(
    session: Transaction, caller: Admin, body: EarningRuleIn, dry_run: DryRun = False
) -> EarningRuleOut:
    """Add a version in the simple form. Orders paid before it takes effect earn as before."""
    new = NewRule(body.points_per_unit, body.lot_lifetime_days, body.effective_at)
    return _rule(await operations.add_earning_rule(session, new, actor=caller.key_id))


@router.post("/rules/earning/drafts", status_code=201, responses=problem_responses(InvalidRuleSet))
async def draft_rule_set(
    session: Transaction, caller: Admin, body: RuleSetIn, dry_run: DryRun = False
) -> EarningRuleOut:
    """Keep a rule set as a draft, to be tried on orders that were and put into force later."""
    terms = _terms(body)
    return _rule(await operations.draft_rule_set(session, terms, name=body.name, actor=caller.key_id))


@router.get("/rules/earning/{version:int}", responses=problem_responses(RuleNotFound))
async def show_earning_rule(session: Transaction, caller: Reader, version: Version) -> EarningRuleOut:
    """Show one version or draft."""
    return _rule(await operations.show_earning_rule(session, version))


@router.put(
    "/rules/earning/{version:int}", responses=problem_responses(RuleNotFound, RuleIsActive, InvalidRuleSet)
)
async def change_draft(
    session: Transaction, caller: Admin, version: Version, body: RuleSetIn, dry_run: DryRun = False
) -> EarningRuleOut:
    """Change a draft. A version that was put into force never changes."""
    return _rule(await operations.change_draft(session, version, _terms(body), name=body.name))


@router.post(
    "/rules/earning/{version:int}/activate",
    responses=problem_responses(RuleNotFound, RuleIsActive, RuleInThePast),
)
async def activate_rule_set(
    session: Transaction, caller: Admin, version: Version, body: ActivationIn, dry_run: DryRun = False
) -> EarningRuleOut:
    """Put a draft into force, now or at a later moment."""
    active = await operations.activate_rule_set(session, version, body.effective_at, actor=caller.key_id)
    return _rule(active)


@router.delete("/rules/earning/{version:int}", responses=problem_responses(RuleNotFound, RuleRequired))
async def delete_earning_rule(
    session: Transaction, caller: Admin, version: Version, dry_run: DryRun = False
) -> EarningRuleOut:
    """Delete a draft, or end a version now: orders paid from now on earn by the one before it.

    Refunds of what it granted are judged by it all the same.
    """
    return _rule(await operations.delete_earning_rule(session, version))


def _terms(body: RuleSetIn) -> dict[str, object]:
    return body.terms.model_dump(mode="json", exclude_unset=True)


def _rule(rule: RuleVersion) -> EarningRuleOut:
    status = "draft" if rule.effective_at is None else "active" if rule.ended_at is None else "ended"
    return EarningRuleOut(**asdict(rule), status=status)
