"""Points moved by hand, and points brought along from elsewhere."""

from dataclasses import asdict
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Response

from services.points import operations
from services.points.api.access import Admin, AfterId, Reader
from services.points.api.answers import Results, Several, answer_each
from services.points.errors import (
    AdjustmentNotFound,
    AlreadyDecided,
    ExpiryInThePast,
    InsufficientPoints,
    MemberErased,
    OpeningConflict,
    OwnApproval,
)
from services.points.operations import Adjust, Adjusted, AdjustmentRow, Decide, Opened, Opening
from services.points.schemas import (
    AdjustmentAnswer,
    AdjustmentIn,
    AdjustmentOut,
    AdjustmentStatus,
    DecisionIn,
    OpeningIn,
    OpeningOut,
)
from shared.batches import good_items, only
from shared.edge import DryRun, Transaction, TransactionalRoute
from shared.pagination import DEFAULT_LIMIT, Cursor, InvalidCursor, Limit, Page, cut, decode_cursor
from shared.problems import IdempotencyConflict, problem_responses

router = APIRouter(prefix="/v1", route_class=TransactionalRoute, tags=["adjustments"])


@router.post(
    "/adjustments",
    response_model=None,
    status_code=201,
    responses={
        200: {"description": "Of several, each has its result."},
        202: {"description": "Above the limit: it waits for approval by another key."},
        **problem_responses(InsufficientPoints, ExpiryInThePast, MemberErased, IdempotencyConflict),
    },
)
async def adjust(
    session: Transaction,
    caller: Admin,
    body: AdjustmentIn | Several[AdjustmentIn],
    response: Response,
    dry_run: DryRun = False,
) -> AdjustmentAnswer | Results:
    """Give a member points or take some; or up to 1,000 times at once, then each has its result, in order.

    What one key moves for one member within a day counts together; above the limit it becomes a proposal.
    """
    if isinstance(body, AdjustmentIn):
        result = only(await operations.adjust(session, [_command(body, caller.key_id)]))
        if result.row.status == "pending_approval":
            response.status_code = 202
        return _answer(result)
    commands = [_command(item, caller.key_id) for item in good_items(body)]
    adjusted = await operations.adjust(session, commands)
    response.status_code = 200
    return answer_each(body, adjusted, lambda result: _answer(result).model_dump(mode="json"))


def _command(body: AdjustmentIn, actor: str) -> Adjust:
    expires_at = body.expires_at if "expires_at" in body.model_fields_set else "policy"
    return Adjust(body.member_id, body.points, body.reason, actor, body.allow_debt, expires_at)


@router.get("/adjustments", responses=problem_responses(InvalidCursor))
async def show_adjustments(
    session: Transaction,
    caller: Reader,
    status: Annotated[AdjustmentStatus | None, Query(description="Only those in this state.")] = None,
    member_id: Annotated[UUID | None, Query(description="Only those of this member.")] = None,
    cursor: Cursor = None,
    limit: Limit = DEFAULT_LIMIT,
) -> Page[AdjustmentOut]:
    """List adjustments and proposals, the newest first."""
    before = decode_cursor(cursor, AfterId).id if cursor else None
    rows = await operations.show_adjustments(
        session, status=status, member_id=member_id, before=before, limit=limit + 1
    )
    page, next_cursor = cut(rows, limit, lambda row: AfterId(row.id))
    return Page(items=[_shown(row) for row in page], next_cursor=next_cursor)


@router.get("/adjustments/{adjustment_id}", responses=problem_responses(AdjustmentNotFound))
async def show_adjustment(session: Transaction, caller: Reader, adjustment_id: UUID) -> AdjustmentOut:
    """Show one adjustment."""
    return _shown(await operations.show_adjustment(session, adjustment_id))


DECISIONS = problem_responses(
    AdjustmentNotFound,
    AlreadyDecided,
    OwnApproval,
    InsufficientPoints,
    ExpiryInThePast,
    MemberErased,
    IdempotencyConflict,
)


@router.post("/adjustments/{adjustment_id}/approve", responses=DECISIONS)
async def approve_adjustment(
    session: Transaction,
    caller: Admin,
    adjustment_id: UUID,
    body: DecisionIn | None = None,
    dry_run: DryRun = False,
) -> AdjustmentAnswer:
    """Approve a proposal: its points move now. Never by the key that made it."""
    return await _decided(session, Decide(adjustment_id, True, caller.key_id, body.reason if body else None))


@router.post("/adjustments/{adjustment_id}/reject", responses=DECISIONS)
async def reject_adjustment(
    session: Transaction,
    caller: Admin,
    adjustment_id: UUID,
    body: DecisionIn | None = None,
    dry_run: DryRun = False,
) -> AdjustmentAnswer:
    """Reject a proposal. Never by the key that made it."""
    return await _decided(session, Decide(adjustment_id, False, caller.key_id, body.reason if body else None))


async def _decided(session: Transaction, command: Decide) -> AdjustmentAnswer:
    return _answer(only(await operations.decide(session, [command])))


@router.post(
    "/openings",
    response_model=None,
    status_code=201,
    responses={
        200: {"description": "Of several, each has its result; of one, that it was brought in before."},
        **problem_responses(OpeningConflict, MemberErased, IdempotencyConflict),
    },
)
async def add_openings(
    session: Transaction,
    caller: Admin,
    body: OpeningIn | Several[OpeningIn],
    response: Response,
    dry_run: DryRun = False,
) -> OpeningOut | Results:
    """Bring in a lot that a member had elsewhere, or up to 1,000 at once, with the dates they have there.

    Of several each has its result: `accepted`, `unchanged` if it was brought in before, or `refused`.
    """
    if isinstance(body, OpeningIn):
        result = only(await operations.open_balances(session, [_opening(body, caller.key_id)]))
        if result.status == "unchanged":
            response.status_code = 200
        return _opened(result)
    commands = [_opening(item, caller.key_id) for item in good_items(body)]
    opened = await operations.open_balances(session, commands)
    response.status_code = 200
    return answer_each(body, opened, lambda result: _opened(result).model_dump(mode="json"))


def _opening(item: OpeningIn, actor: str) -> Opening:
    return Opening(
        item.source,
        item.row_id,
        item.member_id,
        item.points,
        item.earned_at,
        item.expires_at,
        item.reason,
        actor,
    )


def _opened(result: Opened) -> OpeningOut:
    return OpeningOut(**result._asdict())


def _answer(adjusted: Adjusted) -> AdjustmentAnswer:
    return AdjustmentAnswer(**_fields(adjusted.row), available_points=adjusted.available_points)


def _shown(row: AdjustmentRow) -> AdjustmentOut:
    return AdjustmentOut(**_fields(row))


def _fields(row: AdjustmentRow) -> dict[str, object]:
    fields = asdict(row)
    return {"adjustment_id": fields.pop("id"), **fields}
