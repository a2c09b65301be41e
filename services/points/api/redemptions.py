"""Redeeming, calling off, and taking goods on their way."""

from typing import Annotated, Literal
from uuid import UUID

import msgspec
from fastapi import APIRouter, Query, Request, Response
from pydantic import ValidationError

from services.points import operations
from services.points.api.access import AfterId, Reader, Writer
from services.points.api.answers import Results, Several, answer_each
from services.points.errors import (
    BenefitAlreadyDecided,
    DailyLimitReached,
    DrawRequired,
    FulfilmentOutOfOrder,
    InsufficientPoints,
    MemberLimitReached,
    NotCancellable,
    NothingToFulfil,
    OrderRequired,
    PeriodLimitReached,
    RedemptionNotFound,
    RewardNotAvailable,
    RewardNotFound,
    RewardOutOfStock,
    TierRequired,
)
from services.points.operations import CancelRedemption, Fulfil, Redeem, Redeemed, RedemptionRow
from services.points.schemas import FulfilmentIn, RedemptionAnswer, RedemptionIn, RedemptionShown
from shared.auth import Caller
from shared.batches import good_items, only
from shared.edge import Desk, DryRun, Transaction, TransactionalRoute, desk
from shared.fast_path import FastRoute
from shared.pagination import DEFAULT_LIMIT, Cursor, InvalidCursor, Limit, Page, cut, decode_cursor
from shared.problems import IdempotencyConflict, Overloaded, problem_responses

router = APIRouter(prefix="/v1", route_class=TransactionalRoute, tags=["rewards"])

# A desk has its own transactions, so its route is a plain one.
hot_router = APIRouter(prefix="/v1", tags=["rewards"])


def _encode(redeemed: Redeemed) -> bytes:
    return msgspec.json.encode(redeemed._asdict())


redeem_desk: Desk[Redeem, Redeemed] = Desk("redeem", operations.redeem, _encode, status=201)


@hot_router.post(
    "/redemptions",
    status_code=201,
    response_model=RedemptionAnswer,
    responses=problem_responses(
        RewardNotFound,
        InsufficientPoints,
        RewardOutOfStock,
        RewardNotAvailable,
        MemberLimitReached,
        DailyLimitReached,
        PeriodLimitReached,
        TierRequired,
        OrderRequired,
        BenefitAlreadyDecided,
        DrawRequired,
        IdempotencyConflict,
        Overloaded,
    ),
)
async def redeem(request: Request, body: RedemptionIn, caller: Writer, dry_run: DryRun = False) -> Response:
    """Spend a member's points on a reward, the soonest-expiring first.

    It is `granted` at once, or `pending` until the service that delivers has confirmed; if that cannot
    deliver, it is `declined` and the points are back in the lots they came from.
    """
    return await desk(request, redeem_desk.name).answer(request, _command(body, caller))


def _command(body: RedemptionIn, caller: Caller) -> Redeem:
    return Redeem(body.member_id, body.reward_id, body.order_id, caller.key_id)


def _read(body: bytes, caller: Caller) -> Redeem | None:
    try:
        return _command(RedemptionIn.model_validate_json(body), caller)
    except ValidationError:
        return None


fast_redeem = FastRoute("/v1/redemptions", "points:write", redeem_desk, _read)


@router.get("/redemptions/{redemption_id}", responses=problem_responses(RedemptionNotFound))
async def show_redemption(session: Transaction, caller: Reader, redemption_id: UUID) -> RedemptionShown:
    """Show one redemption and what has become of it."""
    return shown_redemption(await operations.show_redemption(session, redemption_id))


@router.post(
    "/redemptions/{redemption_id}/cancel", responses=problem_responses(RedemptionNotFound, NotCancellable)
)
async def cancel(
    session: Transaction, caller: Writer, redemption_id: UUID, dry_run: DryRun = False
) -> RedemptionShown:
    """Call goods or a gift off as long as nothing is packed and their terms allow it; the points are back."""
    command = CancelRedemption(redemption_id, caller.key_id)
    return shown_redemption(only(await operations.cancel_redemptions(session, [command])))


@router.get("/fulfilments", responses=problem_responses(InvalidCursor))
async def show_fulfilments(
    session: Transaction,
    caller: Reader,
    step: Annotated[Literal["requested", "packed", "shipped"], Query(description="How far they have got.")],
    cursor: Cursor = None,
    limit: Limit = DEFAULT_LIMIT,
) -> Page[RedemptionShown]:
    """List goods and gifts that are under way, the oldest first."""
    after = decode_cursor(cursor, AfterId).id if cursor else None
    rows = await operations.show_to_fulfil(session, step, after=after, limit=limit + 1)
    page, next_cursor = cut(rows, limit, lambda row: AfterId(row.id))
    return Page(items=[shown_redemption(row) for row in page], next_cursor=next_cursor)


@router.post(
    "/fulfilments",
    response_model=None,
    responses=problem_responses(RedemptionNotFound, NothingToFulfil, FulfilmentOutOfOrder),
)
async def fulfil(
    session: Transaction,
    caller: Writer,
    body: FulfilmentIn | Several[FulfilmentIn],
    dry_run: DryRun = False,
) -> RedemptionShown | Results:
    """Report a step of goods on their way, or up to 1,000 at once: then each has its result, in order.

    What is cancelled before it is shipped gives points and stock back.
    """
    items = good_items([body] if isinstance(body, FulfilmentIn) else body)
    commands = [Fulfil(item.redemption_id, item.step, item.tracking, caller.key_id) for item in items]
    done = await operations.fulfil(session, commands)
    if isinstance(body, FulfilmentIn):
        return shown_redemption(only(done))
    return answer_each(body, done, _accepted)


def _accepted(row: RedemptionRow) -> dict[str, object]:
    return {"status": "accepted", "result": shown_redemption(row).model_dump(mode="json")}


def shown_redemption(row: RedemptionRow) -> RedemptionShown:
    """Return a redemption as the API shows it."""
    return RedemptionShown.model_validate(row._asdict() | {"redemption_id": row.id})
