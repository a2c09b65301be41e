"""Lotteries: odds, rounds with their commitments, and draws."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated
from uuid import UUID

import msgspec
from fastapi import APIRouter, Request, Response
from pydantic import Field

from services.points import operations
from services.points.api.access import Admin, AfterId, Reader, Writer
from services.points.api.answers import Results, Several, answer_each
from services.points.domain import Odds, Prize, Round
from services.points.errors import (
    DailyLimitReached,
    DrawNotFound,
    InsufficientPoints,
    InvalidPrize,
    LotteryNotFound,
    MemberLimitReached,
    PeriodLimitReached,
    RewardNotAvailable,
    RewardOutOfStock,
    TierRequired,
)
from services.points.operations import DrawLot, Drawn, DrawRow, OddsRow
from services.points.schemas import (
    DrawAnswer,
    DrawIn,
    DrawOut,
    DrawRehearsed,
    DrawShown,
    LotteryOut,
    OddsIn,
    OddsOut,
    PrizeIn,
    PrizeLeft,
    PrizeOut,
    RoundOut,
)
from shared.auth import Caller
from shared.batches import good_items
from shared.edge import Desk, DryRun, Transaction, TransactionalRoute, desk
from shared.pagination import DEFAULT_LIMIT, Cursor, InvalidCursor, Limit, Page, cut, decode_cursor
from shared.problems import IdempotencyConflict, Overloaded, problem_responses

router = APIRouter(prefix="/v1", route_class=TransactionalRoute, tags=["lotteries"])

# A desk has its own transactions, so its route is a plain one.
hot_router = APIRouter(prefix="/v1", tags=["lotteries"])


class BeforeRound(msgspec.Struct):
    """Where a list of rounds goes on: below this number."""

    number: int


def prizes_of(lines: Sequence[PrizeIn]) -> list[Prize]:
    """Return the lines of odds as they were written, numbered from 1."""
    return [Prize(number=number, **line.model_dump()) for number, line in enumerate(lines, 1)]


@router.get("/lotteries/{lottery_id}", responses=problem_responses(LotteryNotFound))
async def show_lottery(session: Transaction, caller: Reader, lottery_id: UUID) -> LotteryOut:
    """Show a lottery: all versions of its odds, what is left, and the commitments for now and next."""
    lottery, odds, rounds = await operations.show_lottery(session, lottery_id)
    return LotteryOut(
        lottery_id=lottery.id,
        name=lottery.name,
        cost_points=lottery.cost_points,
        round_hours=lottery.round_hours or 0,
        odds=[_odds(row) for row in odds],
        rounds=[_round(each, is_over=False) for each in rounds],
    )


@router.put("/lotteries/{lottery_id}/odds", responses=problem_responses(LotteryNotFound, InvalidPrize))
async def publish_odds(
    session: Transaction, caller: Admin, lottery_id: UUID, body: OddsIn, dry_run: DryRun = False
) -> OddsOut:
    """Publish a new version of the odds, in force from the next round on; this round keeps its own."""
    row = await operations.publish_odds(session, lottery_id, prizes_of(body.prizes), actor=caller.key_id)
    return _odds(row)


@router.get("/lotteries/{lottery_id}/rounds", responses=problem_responses(LotteryNotFound, InvalidCursor))
async def show_rounds(
    session: Transaction,
    caller: Reader,
    lottery_id: UUID,
    cursor: Cursor = None,
    limit: Limit = DEFAULT_LIMIT,
) -> Page[RoundOut]:
    """List rounds, the newest first: commitments of all, and the seeds of those that are over."""
    before = decode_cursor(cursor, BeforeRound).number if cursor else None
    rows = await operations.show_rounds(session, lottery_id, before=before, limit=limit + 1)
    page, next_cursor = cut(rows, limit, lambda row: BeforeRound(row[0].number))
    return Page(items=[_round(each, is_over=over) for each, over in page], next_cursor=next_cursor)


@router.get(
    "/lotteries/{lottery_id}/rounds/{number}/draws",
    responses=problem_responses(LotteryNotFound, InvalidCursor),
)
async def show_draws(
    session: Transaction,
    caller: Reader,
    lottery_id: UUID,
    number: Annotated[int, Field(ge=1, le=2**31 - 1)],
    cursor: Cursor = None,
    limit: Limit = DEFAULT_LIMIT,
) -> Page[DrawOut]:
    """List the draws of a round in the order they were made, so that its prizes can be counted."""
    after = decode_cursor(cursor, AfterId).id if cursor else None
    rows = await operations.show_draws(session, lottery_id, number, after=after, limit=limit + 1)
    page, next_cursor = cut(rows, limit, lambda row: AfterId(row.draw.id))
    return Page(items=[DrawOut.model_validate(_draw(row)) for row in page], next_cursor=next_cursor)


def _encode(drawn: Drawn) -> bytes:
    return msgspec.json.encode(_drawn(drawn))


draw_desk: Desk[DrawLot, Drawn] = Desk("draw", operations.draw, _encode, status=201)


@hot_router.post(
    "/draws",
    status_code=201,
    response_model=None,
    responses={
        201: {"model": DrawAnswer | DrawRehearsed},
        **problem_responses(
            LotteryNotFound,
            InsufficientPoints,
            DailyLimitReached,
            PeriodLimitReached,
            MemberLimitReached,
            RewardNotAvailable,
            RewardOutOfStock,
            TierRequired,
            IdempotencyConflict,
            Overloaded,
        ),
    },
)
async def draw(request: Request, body: DrawIn, caller: Writer, dry_run: DryRun = False) -> Response:
    """Draw a lot: debit, draw and prize are one transaction.

    A dry run says whether the member could draw and what it costs, and never what would come of it.
    """
    return await desk(request, draw_desk.name).answer(request, _command(body, caller, dry_run))


@router.post("/draws/batch")
async def draw_batch(
    session: Transaction,
    caller: Writer,
    body: DrawIn | Several[DrawIn],
    dry_run: DryRun = False,
) -> Results:
    """Draw one lot or up to 1,000, in their order; each has its result, and none fails its neighbours."""
    items = [body] if isinstance(body, DrawIn) else body
    commands = [_command(item, caller, dry_run) for item in good_items(items)]
    return answer_each(items, await operations.draw(session, commands), _accepted)


def _command(body: DrawIn, caller: Caller, dry_run: bool) -> DrawLot:
    return DrawLot(body.member_id, body.lottery_id, body.client_nonce, caller.key_id, dry_run)


@router.get("/draws/{draw_id:uuid}", responses=problem_responses(DrawNotFound))
async def show_draw(session: Transaction, caller: Reader, draw_id: UUID) -> DrawShown:
    """Show a draw with everything needed to verify it; the seed is there once the round is over."""
    row, odds, current, over = await operations.show_draw(session, draw_id)
    return DrawShown.model_validate(
        _draw(row)
        | {
            "round_ends_at": current.ends_at,
            "seed": current.seed.hex() if over else None,
            "prizes": [PrizeOut(**asdict(prize)) for prize in odds.prizes],
        }
    )


def _accepted(drawn: Drawn) -> dict[str, object]:
    return {"status": "accepted", **_drawn(drawn)}


def _drawn(drawn: Drawn) -> dict[str, object]:
    if drawn.row is None or drawn.prize is None:
        rehearsed = DrawRehearsed(cost_points=drawn.redeemed.points, available_points=drawn.available_points)
        return rehearsed.model_dump(mode="json")
    answer = DrawAnswer.model_validate(
        _draw(drawn.row)
        | {
            "prize_name": drawn.prize.name,
            "points_won": drawn.points_won,
            "available_points": drawn.available_points,
        }
    )
    return answer.model_dump(mode="json")


def _draw(row: DrawRow) -> dict[str, object]:
    record = asdict(row.draw)
    return record | {
        "draw_id": record.pop("id"),
        "receipt": row.receipt,
        "redemption_id": row.prize_redemption_id,
    }


def _odds(row: OddsRow) -> OddsOut:
    odds: Odds = row.odds
    return OddsOut(
        version=odds.version,
        digest=odds.digest(),
        effective_at=row.effective_at,
        total_weight=odds.total_weight,
        prizes=[PrizeLeft(**asdict(prize), left_units=row.left_units[prize.number]) for prize in odds.prizes],
    )


def _round(each: Round, *, is_over: bool) -> RoundOut:
    return RoundOut(**asdict(each) | {"seed": each.seed.hex() if is_over else None})
