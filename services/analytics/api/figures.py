"""Figures for programs, as JSON and CSV."""

from datetime import date, timedelta
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response
from msgspec import Struct

from services.analytics import operations
from services.analytics.api.tables import csv_of, shaped_rows, wants_csv
from services.analytics.errors import CampaignNotFound, MemberNotFound, RangeTooLong, TooManyRows
from services.analytics.operations import CampaignFigures, GroupBy
from services.analytics.schemas import (
    CampaignFunnel,
    CampaignMoney,
    CampaignOut,
    CampaignPage,
    DailySalesPage,
    EventBooks,
    IngestDayOut,
    IngestOut,
    MemberOut,
    PointsOut,
    SummaryOut,
    VerificationOut,
)
from services.analytics.settings import settings
from shared.auth import Caller, require
from shared.edge import Transaction, TransactionalRoute
from shared.pagination import Cursor, InvalidCursor, Limit, cut, decode_cursor
from shared.problems import problem_responses
from shared.schemas import CurrencyCode, Day

__all__ = ["router"]

router = APIRouter(prefix="/v1", route_class=TransactionalRoute, tags=["figures"])

Reader = Annotated[Caller, Depends(require("analytics:read"))]
Administrator = Annotated[Caller, Depends(require("analytics:admin"))]
From = Annotated[Day | None, Query(alias="from", description="First day; a month before `to` if left out.")]
To = Annotated[Day | None, Query(description="Last day, itself included; today if left out.")]
Currency = Annotated[CurrencyCode | None, Query(description="Only amounts in this currency (ISO 4217).")]
# A year of days in three currencies is a page; more pages are cheap.
MAX_ROWS: Final = 1000
CSV: Final[dict[int | str, dict[str, Any]]] = {
    200: {"content": {"text/csv": {"schema": {"type": "string"}}}, "description": "JSON, or CSV if accepted."}
}


class Position(Struct, kw_only=True):
    """Where a page of daily sales ended."""

    day: date
    currency: str
    key: str = ""
    source: str = ""


class CampaignPosition(Struct):
    """Where a page of activities ended."""

    activity_id: UUID


async def _range(session: Transaction, first: date | None, last: date | None) -> tuple[date, date]:
    last = last or (await operations.now(session)).date()
    try:
        return first or last - timedelta(days=30), last
    except OverflowError:
        return last, last


@router.get(
    "/sales/daily",
    response_model=DailySalesPage,
    responses=CSV | problem_responses(RangeTooLong, InvalidCursor, TooManyRows),
)
async def daily_sales(
    request: Request,
    session: Transaction,
    caller: Reader,
    first: From = None,
    to: To = None,
    group_by: Annotated[GroupBy | None, Query(description="A row per shop, channel or product.")] = None,
    currency: Currency = None,
    cursor: Cursor = None,
    limit: Annotated[int, Query(ge=1, le=MAX_ROWS, description="Rows at most.")] = MAX_ROWS,
) -> DailySalesPage | Response:
    """Sales by the shop's local day. `Accept: text/csv` gives all rows at once as a CSV file."""
    first, last = await _range(session, first, to)
    as_csv = wants_csv(request.headers.get("accept", ""))
    most = settings().csv_max_rows if as_csv else limit
    after = None
    if cursor is not None and not as_csv:
        position = decode_cursor(cursor, Position)
        after = {name: getattr(position, name) for name in Position.__struct_fields__}
    rows = await operations.daily_sales(
        session, group_by, first=first, last=last, currency=currency, limit=most + 1, after=after
    )
    if as_csv:
        if len(rows) > most:
            raise TooManyRows(f"{most} rows are the most for a file.")
        return csv_of(shaped_rows(rows, group_by), group_by, f"daily-sales-{first}-{last}.csv")
    page, following = cut(rows, limit, _position)
    return DailySalesPage(
        from_=first,
        to=last,
        group_by=group_by,
        items=shaped_rows(page, group_by),
        next_cursor=following,
        as_of=await operations.now(session),
        revision=sum(row.revision for row in page),
    )


def _position(row: Any) -> Position:
    return Position(
        day=row.day,
        currency=row.currency,
        key=getattr(row, "key", ""),
        source=getattr(row, "source", ""),
    )


@router.get("/members/{member_id}", responses=problem_responses(MemberNotFound))
async def member(session: Transaction, caller: Reader, member_id: UUID) -> MemberOut:
    """Recency, frequency and monetary value of a person; an id that was merged answers for the person."""
    found = await operations.member(session, member_id)
    last_orders = [row.last_order_at for row in found.sales if row.last_order_at is not None]
    first_orders = [row.first_order_at for row in found.sales if row.first_order_at is not None]
    last = max(last_orders, default=None)
    return MemberOut(
        member_id=found.person.person_id,
        member_ids=found.person.member_ids,
        joined_at=found.person.joined_at,
        tier=found.person.tier or None,
        stage=found.stage,
        first_order_at=min(first_orders, default=None),
        last_order_at=last,
        recency_days=None if last is None else max(0, (found.as_of - last).days),
        frequency=sum(row.orders for row in found.sales),
        units=sum(row.units for row in found.sales),
        monetary_minor={row.currency: row.revenue_minor - row.refunded_minor for row in found.sales},
        revenue_minor={row.currency: row.revenue_minor for row in found.sales},
        refunded_minor={row.currency: row.refunded_minor for row in found.sales},
        as_of=found.as_of,
        revision=sum(row.revision for row in found.sales),
    )


@router.get("/campaigns", responses=problem_responses(InvalidCursor))
async def campaigns(
    session: Transaction, caller: Reader, cursor: Cursor = None, limit: Limit = 20
) -> CampaignPage:
    """Activities that anything was heard of, the latest first."""
    after = None if cursor is None else decode_cursor(cursor, CampaignPosition).activity_id
    found = await operations.campaigns(session, after, limit + 1)
    page, following = cut(found, limit, lambda last: CampaignPosition(last.activity_id))
    return CampaignPage(items=[_campaign(figures) for figures in page], next_cursor=following)


@router.get("/campaigns/{activity_id}", responses=problem_responses(CampaignNotFound))
async def campaign(session: Transaction, caller: Reader, activity_id: UUID) -> CampaignOut:
    """How an activity went: its funnel, its orders, and what went back."""
    return _campaign(await operations.campaign(session, activity_id))


def _campaign(figures: CampaignFigures) -> CampaignOut:
    plan = figures.plan
    funnel = CampaignFunnel(
        links_shared=figures.count("link.shared"),
        visits=figures.count("link.visited", "person"),
        bot_visits=figures.count("link.visited", "bot"),
        groups_opened=figures.count("group.opened"),
        seats_paid=figures.count("group.joined"),
        followers=figures.count("group.joined", "follower"),
        seats_lapsed=figures.count("group.seat_lapsed"),
        groups_formed=figures.count("group.formed"),
        groups_expired=figures.count("group.expired"),
        refund_requests=sum(row.refund_requests for row in figures.sales),
    )
    return CampaignOut(
        activity_id=figures.activity_id,
        shop_id=plan.get("shop_id"),
        state=figures.state,
        starts_at=plan.get("starts_at"),
        ends_at=plan.get("ends_at"),
        group_size=plan.get("group_size"),
        discount_percent=plan.get("discount_percent"),
        buyers=figures.buyers,
        funnel=funnel,
        money=[
            CampaignMoney(**{name: getattr(row, name) for name in CampaignMoney.model_fields})
            for row in figures.sales
        ],
        as_of=figures.as_of,
        revision=figures.revision,
    )


@router.get("/summary")
async def summary(session: Transaction, caller: Reader) -> SummaryOut:
    """Everything so far, for reconciliation and for a first look."""
    found = await operations.summary(session)
    return SummaryOut(
        orders=sum(row.orders for row in found.sales),
        members=found.members,
        revenue_minor={row.currency: row.revenue_minor for row in found.sales},
        refunded_minor={row.currency: row.refunded_minor for row in found.sales},
        refunds_waiting=found.refunds_waiting,
        points=PointsOut(
            spent=found.spent_points,
            **{name: found.amount(f"points.{name}") for name in PointsOut.model_fields if name != "spent"},
        ),
        tiers=found.tiers,
        tier_changes={
            change: found.count(f"member.tier_{change}")
            for change in ("upgraded", "downgraded", "prolonged", "at_risk", "retained")
        },
        stages=found.stages,
        stage_changes=found.by_label("member.stage_changed"),
        messages={
            fate: found.count(f"message.{fate}") for fate in ("sent", "delivered", "failed", "dropped")
        },
        groups={step: found.count(f"group.{step}") for step in ("opened", "formed", "expired")},
        events=EventBooks(
            received=found.books.total("received"),
            stored=found.books.total("stored"),
            duplicate=found.books.total("duplicate"),
            rejected=found.books.total("rejected"),
        ),
        as_of=found.as_of,
        revision=found.revision,
    )


@router.get("/ingest", responses=problem_responses(RangeTooLong))
async def ingest(session: Transaction, caller: Reader, first: From = None, to: To = None) -> IngestOut:
    """The books: received = stored + duplicate + rejected, by UTC day of arrival and source."""
    first, last = await _range(session, first, to)
    found = await operations.ingest_books(session, first, last)
    return IngestOut(
        as_of=found.as_of,
        items=[
            IngestDayOut(**{name: getattr(row, name) for name in IngestDayOut.model_fields})
            for row in found.days
        ],
    )


@router.get("/verification")
async def verification(session: Transaction, caller: Administrator) -> VerificationOut:
    """Add every summary up again from the facts and say where the two differ. Takes as long as that takes."""
    found = await operations.verify(session)
    return VerificationOut(
        as_of=await operations.now(session),
        differing_rows=found,
        consistent=not any(found.values()),
    )
