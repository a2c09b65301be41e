"""The catalogue, and redeeming from it."""

from typing import Annotated
from uuid import UUID

import msgspec
from fastapi import APIRouter, Request, Response
from pydantic import Field

from services.points import operations
from services.points.api.access import MAX_ITEMS, Admin, AfterId, Reader, Writer
from services.points.domain import Reward
from services.points.errors import (
    InsufficientPoints,
    InvalidWindow,
    MemberLimitReached,
    RedemptionNotFound,
    RewardNotAvailable,
    RewardNotFound,
    RewardOutOfStock,
)
from services.points.operations import Redeem, Redeemed, RedemptionRow
from services.points.schemas import (
    CouponTerms,
    RedemptionAnswer,
    RedemptionIn,
    RedemptionOut,
    RewardIn,
    RewardOut,
    RewardPatch,
)
from shared.edge import Desk, DryRun, Transaction, TransactionalRoute, desk
from shared.ids import new_id
from shared.pagination import DEFAULT_LIMIT, Cursor, InvalidCursor, Limit, Page, cut, decode_cursor
from shared.problems import IdempotencyConflict, Overloaded, Refusal, problem_responses
from shared.schemas import OrRefusal, sort_out

router = APIRouter(prefix="/v1", route_class=TransactionalRoute, tags=["points"])


# A desk has its own transactions, so its route is a plain one.
hot_router = APIRouter(prefix="/v1", tags=["points"])


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
        IdempotencyConflict,
        Overloaded,
    ),
)
async def redeem(request: Request, body: RedemptionIn, caller: Writer, dry_run: DryRun = False) -> Response:
    """Spend a member's points on a reward, the soonest-expiring first."""
    command = Redeem(body.member_id, body.reward_id, body.order_id, caller.key_id)
    return await desk(request, redeem_desk.name).answer(request, command)


@router.get("/redemptions/{redemption_id}", responses=problem_responses(RedemptionNotFound))
async def show_redemption(session: Transaction, caller: Reader, redemption_id: UUID) -> RedemptionOut:
    """Show one redemption."""
    return shown_redemption(await operations.show_redemption(session, redemption_id))


@router.post(
    "/rewards",
    response_model=None,
    status_code=201,
    responses={200: {"description": "Of several, each has its result."}, **problem_responses(InvalidWindow)},
)
async def add_rewards(
    session: Transaction,
    caller: Admin,
    body: RewardIn
    | Annotated[list[Annotated[RewardIn, OrRefusal]], Field(min_length=1, max_length=MAX_ITEMS)],
    response: Response,
    dry_run: DryRun = False,
) -> RewardOut | dict[str, list[dict[str, object]]]:
    """Put a reward into the catalogue, or up to 1,000 at once: then each has its result, in order."""
    if isinstance(body, RewardIn):
        (result,) = await operations.add_rewards(session, [_new_reward(body)], actor=caller.key_id)
        if isinstance(result, Refusal):
            raise result
        return _reward(result)
    good, bad = sort_out(body)
    added = await operations.add_rewards(
        session, [_new_reward(item) for _, item in good], actor=caller.key_id
    )
    results: dict[int, Reward | Refusal] = dict(bad)
    results |= {index: result for (index, _), result in zip(good, added, strict=True)}
    response.status_code = 200
    return {"results": [_result(results[index]) for index in range(len(body))]}


def _result(result: Reward | Refusal) -> dict[str, object]:
    if isinstance(result, Refusal):
        return {"status": "refused", "problem": result.problem()}
    return {"status": "accepted", **_reward(result).model_dump(mode="json")}


@router.get("/rewards", responses=problem_responses(InvalidCursor))
async def show_rewards(
    session: Transaction, caller: Reader, cursor: Cursor = None, limit: Limit = DEFAULT_LIMIT
) -> Page[RewardOut]:
    """List the catalogue in the order it was made."""
    after = decode_cursor(cursor, AfterId).id if cursor else None
    rows = await operations.show_rewards(session, after=after, limit=limit + 1)
    page, next_cursor = cut(rows, limit, lambda row: AfterId(row.id))
    return Page(items=[_reward(row) for row in page], next_cursor=next_cursor)


@router.get("/rewards/{reward_id}", responses=problem_responses(RewardNotFound))
async def show_reward(session: Transaction, caller: Reader, reward_id: UUID) -> RewardOut:
    """Show one reward and what is left of it."""
    return _reward(await operations.show_reward(session, reward_id))


@router.patch("/rewards/{reward_id}", responses=problem_responses(RewardNotFound, InvalidWindow))
async def change_reward(
    session: Transaction, caller: Admin, reward_id: UUID, body: RewardPatch, dry_run: DryRun = False
) -> RewardOut:
    """Change name, stock, limit or window of a reward. Its kind and its cost never change."""
    changes = {name: getattr(body, name) for name in body.model_fields_set}
    return _reward(await operations.change_reward(session, reward_id, changes))


@router.delete("/rewards/{reward_id}", responses=problem_responses(RewardNotFound))
async def retire_reward(session: Transaction, caller: Admin, reward_id: UUID) -> RewardOut:
    """Take a reward out of the catalogue for good; what was redeemed stays."""
    return _reward(await operations.retire_reward(session, reward_id))


def _new_reward(body: RewardIn) -> Reward:
    return Reward(
        id=new_id(),
        name=body.name,
        kind=body.kind,
        cost_points=body.cost_points,
        reference=body.coupon.promotion_id,
        stock=body.stock,
        per_member_limit=body.per_member_limit,
        starts_at=body.starts_at,
        ends_at=body.ends_at,
        retired_at=None,
        cost_minor=body.cost_minor,
        cost_currency=body.cost_currency,
    )


def _reward(reward: Reward) -> RewardOut:
    assert reward.reference is not None, "a coupon names its promotion"
    return RewardOut(
        reward_id=reward.id,
        name=reward.name,
        kind=reward.kind,
        cost_points=reward.cost_points,
        coupon=CouponTerms(promotion_id=reward.reference),
        stock=reward.stock,
        per_member_limit=reward.per_member_limit,
        starts_at=reward.starts_at,
        ends_at=reward.ends_at,
        retired_at=reward.retired_at,
        cost_minor=reward.cost_minor,
        cost_currency=reward.cost_currency,
    )


def shown_redemption(row: RedemptionRow) -> RedemptionOut:
    """Return a redemption as the API shows it."""
    return RedemptionOut.model_validate(row._asdict() | {"redemption_id": row.id})
