"""Back-tests of earning rules."""

from uuid import UUID

from fastapi import APIRouter

from services.points import operations
from services.points.api.access import Admin, Reader
from services.points.errors import (
    BackTestNotFound,
    InvalidRuleSet,
    InvalidWindow,
    RuleNotFound,
    TooManyBackTests,
)
from services.points.operations import BackTest
from services.points.schemas import BackTestIn, BackTestOut, MemberChange, TierChangesOut, TierMoveOut
from shared.edge import DryRun, Transaction, TransactionalRoute
from shared.problems import problem_responses

router = APIRouter(prefix="/v1", route_class=TransactionalRoute, tags=["earning rules"])


@router.post(
    "/rules/earning/back-tests",
    status_code=202,
    responses=problem_responses(RuleNotFound, InvalidRuleSet, InvalidWindow, TooManyBackTests),
)
async def start_back_test(
    session: Transaction, caller: Admin, body: BackTestIn, dry_run: DryRun = False
) -> BackTestOut:
    """Try a rule set on orders that have earned. It runs by itself; ask for it until it is `done`."""
    terms = None if body.terms is None else body.terms.model_dump(mode="json", exclude_unset=True)
    test = await operations.start_back_test(
        session,
        version=body.version,
        terms=terms,
        paid_from=body.paid_from,
        paid_until=body.paid_until,
        actor=caller.key_id,
    )
    return _back_test(test)


@router.get("/rules/earning/back-tests/{back_test_id}", responses=problem_responses(BackTestNotFound))
async def show_back_test(session: Transaction, caller: Reader, back_test_id: UUID) -> BackTestOut:
    """Show a back-test as far as it has come."""
    return _back_test(await operations.show_back_test(session, back_test_id))


def _back_test(test: BackTest) -> BackTestOut:
    trial = test.trial
    return BackTestOut(
        back_test_id=test.id,
        status=test.status,
        version=test.version,
        paid_from=test.paid_from,
        paid_until=test.paid_until,
        created_by=test.created_by,
        created_at=test.created_at,
        finished_at=test.finished_at,
        members=trial.accounts,
        orders=trial.orders,
        orders_changed=trial.orders_changed,
        orders_refused=trial.orders_refused,
        orders_without_lines=trial.orders_without_lines,
        granted_points=trial.granted_points,
        draft_points=trial.draft_points,
        change_points=trial.draft_points - trial.granted_points,
        granted_liability_points=trial.granted_live_points,
        draft_liability_points=trial.draft_live_points,
        change_liability_points=trial.draft_live_points - trial.granted_live_points,
        capped_orders=trial.capped_orders,
        capped_points=trial.capped_points,
        members_gaining=trial.members_gaining,
        members_losing=trial.members_losing,
        tiers=_tiers(test),
        winners=[MemberChange(member_id=member_id, points=points) for points, member_id in trial.winners],
        losers=[MemberChange(member_id=member_id, points=points) for points, member_id in trial.losers],
    )


def _tiers(test: BackTest) -> TierChangesOut | None:
    if test.trial.tier_parts is None:
        return None
    return TierChangesOut(
        members_up=sum(move.members for move in test.tiers if move.is_up),
        members_down=sum(move.members for move in test.tiers if not move.is_up),
        moves=[
            TierMoveOut(from_tier=move.from_tier, to_tier=move.to_tier, members=move.members)
            for move in test.tiers
        ],
    )
