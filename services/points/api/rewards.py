"""The catalogue."""

from collections.abc import Mapping
from uuid import UUID

from fastapi import APIRouter, Response

from services.points import operations
from services.points.api.access import Admin, AfterId, Reader
from services.points.api.answers import Results, Several, answer_each
from services.points.api.lotteries import prizes_of
from services.points.domain import Reward
from services.points.errors import InvalidPrize, InvalidWindow, RewardNotFound
from services.points.schemas import (
    CouponTerms,
    FreeShippingTerms,
    GoodsTerms,
    PerPeriod,
    RewardIn,
    RewardOut,
    RewardPatch,
    TierUpgradeTerms,
)
from shared.batches import good_items, only
from shared.edge import DryRun, Transaction, TransactionalRoute
from shared.ids import new_id
from shared.pagination import DEFAULT_LIMIT, Cursor, InvalidCursor, Limit, Page, cut, decode_cursor
from shared.problems import problem_responses

router = APIRouter(prefix="/v1", route_class=TransactionalRoute, tags=["rewards"])


@router.post(
    "/rewards",
    response_model=None,
    status_code=201,
    responses={
        200: {"description": "Of several, each has its result."},
        **problem_responses(InvalidWindow, InvalidPrize),
    },
)
async def add_rewards(
    session: Transaction,
    caller: Admin,
    body: RewardIn | Several[RewardIn],
    response: Response,
    dry_run: DryRun = False,
) -> RewardOut | Results:
    """Put a reward into the catalogue, or up to 1,000 at once: then each has its result, in order."""
    good = good_items([body] if isinstance(body, RewardIn) else body)
    new = [_new_reward(item) for item in good]
    prizes = {
        reward.id: prizes_of(item.lottery.prizes)
        for reward, item in zip(new, good, strict=True)
        if item.lottery is not None
    }
    added = await operations.add_rewards(session, new, actor=caller.key_id, prizes=prizes)
    if isinstance(body, RewardIn):
        return _reward(only(added))
    response.status_code = 200
    return answer_each(body, added, _accepted)


def _accepted(reward: Reward) -> dict[str, object]:
    return {"status": "accepted", **_reward(reward).model_dump(mode="json")}


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
    """Change name, stock, limits, tiers or window of a reward. Its kind, terms and cost never change."""
    changes = {name: getattr(body, name) for name in body.model_fields_set}
    if "per_period" in changes:
        limit: PerPeriod | None = changes.pop("per_period")
        changes |= _period(limit)
    return _reward(await operations.change_reward(session, reward_id, changes))


@router.delete("/rewards/{reward_id}", responses=problem_responses(RewardNotFound))
async def retire_reward(session: Transaction, caller: Admin, reward_id: UUID) -> RewardOut:
    """Take a reward out of the catalogue for good; what was redeemed stays."""
    return _reward(await operations.retire_reward(session, reward_id))


def _period(limit: PerPeriod | None) -> Mapping[str, str | int | None]:
    return {
        "period": limit.period if limit is not None else None,
        "period_limit": limit.limit if limit is not None else None,
    }


def _new_reward(body: RewardIn) -> Reward:
    goods, shipping = body.goods or body.gift, body.free_shipping
    return Reward(
        id=new_id(),
        name=body.name,
        kind=body.kind,
        cost_points=body.cost_points,
        reference=_reference(body),
        stock=body.stock,
        per_member_limit=body.per_member_limit,
        starts_at=body.starts_at,
        ends_at=body.ends_at,
        retired_at=None,
        cost_minor=body.cost_minor,
        cost_currency=body.cost_currency,
        period=body.per_period.period if body.per_period is not None else None,
        period_limit=body.per_period.limit if body.per_period is not None else None,
        tiers=body.tiers,
        cancel_hours=goods.cancel_hours if goods is not None else None,
        max_shipping_minor=shipping.max_shipping_minor if shipping is not None else None,
        max_shipping_currency=shipping.currency if shipping is not None else None,
        round_hours=body.lottery.round_hours if body.lottery is not None else None,
    )


def _reference(body: RewardIn) -> str | None:
    if body.coupon is not None:
        return body.coupon.promotion_id
    if body.tier_upgrade is not None:
        return body.tier_upgrade.tier
    goods = body.goods or body.gift
    return goods.sku if goods is not None else None


def _reward(reward: Reward) -> RewardOut:
    kind, reference = reward.kind, reward.reference or ""
    goods = GoodsTerms(sku=reference, cancel_hours=reward.cancel_hours) if kind in ("goods", "gift") else None
    shipping = FreeShippingTerms(
        max_shipping_minor=reward.max_shipping_minor, currency=reward.max_shipping_currency
    )
    return RewardOut(
        reward_id=reward.id,
        name=reward.name,
        kind=kind,
        cost_points=reward.cost_points,
        coupon=CouponTerms(promotion_id=reference) if kind == "coupon" else None,
        tier_upgrade=TierUpgradeTerms(tier=reference) if kind == "tier_upgrade" else None,
        free_shipping=shipping if kind == "free_shipping" else None,
        goods=goods if kind == "goods" else None,
        gift=goods if kind == "gift" else None,
        round_hours=reward.round_hours,
        stock=reward.stock,
        per_member_limit=reward.per_member_limit,
        per_period=_per_period(reward),
        tiers=list(reward.tiers) if reward.tiers is not None else None,
        starts_at=reward.starts_at,
        ends_at=reward.ends_at,
        retired_at=reward.retired_at,
        cost_minor=reward.cost_minor,
        cost_currency=reward.cost_currency,
    )


def _per_period(reward: Reward) -> PerPeriod | None:
    if reward.period is None:
        return None
    return PerPeriod.model_validate({"period": reward.period, "limit": reward.period_limit})
