"""Routes of promotions, coupons, refund requests and the summary."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from fastapi import APIRouter, Query
from sqlalchemy import Row

from services.campaigns import operations
from services.campaigns.api.activities import AfterId, Reader, Writer, after_id
from services.campaigns.errors import PromotionNotFound, ReferenceTaken
from services.campaigns.operations import NewPromotion
from services.campaigns.schemas import CouponOut, PromotionIn, PromotionOut, RefundRequestOut, SummaryOut
from shared.edge import DryRun, Transaction, TransactionalRoute
from shared.pagination import DEFAULT_LIMIT, Cursor, InvalidCursor, Limit, Page, cut, decode_cursor
from shared.problems import problem_responses

router = APIRouter(prefix="/v1", route_class=TransactionalRoute, tags=["coupons"])


class _AfterRequest(msgspec.Struct):
    at: datetime
    key: UUID


def _promotion(row: Row[Any]) -> PromotionOut:
    return PromotionOut(**{name: getattr(row, name) for name in PromotionOut.model_fields})


@router.post("/promotions", status_code=201, responses=problem_responses(ReferenceTaken))
async def define_promotion(
    body: PromotionIn, session: Transaction, caller: Writer, dry_run: DryRun = False
) -> PromotionOut:
    """Define what a coupon is worth; coupons that were granted before it was defined are issued now."""
    return _promotion(await operations.define(session, NewPromotion(**body.model_dump())))


@router.get("/promotions", responses=problem_responses(InvalidCursor))
async def list_promotions(
    session: Transaction, caller: Reader, cursor: Cursor = None, limit: Limit = DEFAULT_LIMIT
) -> Page[PromotionOut]:
    """List promotions, newest first."""
    rows = await operations.promotions(session, after=after_id(cursor), limit=limit + 1)
    page, next_cursor = cut(rows, limit, lambda row: AfterId(row.promotion_id))
    return Page(items=[_promotion(row) for row in page], next_cursor=next_cursor)


@router.get("/promotions/{promotion_id}", responses=problem_responses(PromotionNotFound))
async def read_promotion(promotion_id: UUID, session: Transaction, caller: Reader) -> PromotionOut:
    """Read one promotion."""
    return _promotion(await operations.promotion(session, promotion_id))


@router.get("/coupons", responses=problem_responses(InvalidCursor))
async def list_coupons(
    session: Transaction,
    caller: Reader,
    member_id: UUID | None = None,
    cursor: Cursor = None,
    limit: Limit = DEFAULT_LIMIT,
) -> Page[CouponOut]:
    """List coupons, newest first."""
    rows = await operations.coupons_of(session, member_id=member_id, after=after_id(cursor), limit=limit + 1)
    page, next_cursor = cut(rows, limit, lambda row: AfterId(row.coupon_id))
    names = CouponOut.model_fields.keys() - {"state"}
    return Page(
        items=[
            CouponOut(**{name: getattr(row, name) for name in names}, state=row.state_now) for row in page
        ],
        next_cursor=next_cursor,
    )


def _request(row: Row[Any]) -> RefundRequestOut:
    names = RefundRequestOut.model_fields.keys() - {"refund_key", "state"}
    return RefundRequestOut(
        **{name: getattr(row, name) for name in names},
        refund_key=operations.refund_key(row.payment_key),
        state="answered" if row.state == "refunded" else "open",
    )


@router.get("/refund-requests", tags=["refunds"], responses=problem_responses(InvalidCursor))
async def list_refund_requests(
    session: Transaction,
    caller: Reader,
    state: Annotated[
        Literal["open", "answered"] | None, Query(description="`open` until the refund was reported.")
    ] = None,
    cursor: Cursor = None,
    limit: Limit = DEFAULT_LIMIT,
) -> Page[RefundRequestOut]:
    """List the refunds that storefronts are asked to make, oldest first."""
    after = None if cursor is None else decode_cursor(cursor, _AfterRequest)
    rows = await operations.refund_requests(
        session,
        state={"open": "refund_requested", "answered": "refunded"}.get(state or ""),
        after=None if after is None else (after.at, after.key),
        limit=limit + 1,
    )
    page, next_cursor = cut(rows, limit, lambda row: _AfterRequest(row.requested_at, row.payment_key))
    return Page(items=[_request(row) for row in page], next_cursor=next_cursor)


@router.get("/summary", tags=["summary"])
async def read_summary(session: Transaction, caller: Reader) -> SummaryOut:
    """Count everything that tells whether the books balance."""
    return SummaryOut(**await operations.summary(session))
