"""The report page, for whoever looks with a browser."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import HTMLResponse

from services.analytics import operations
from services.analytics.errors import RangeTooLong
from services.analytics.pages import render_report
from shared.auth import is_from_this_machine, require
from shared.edge import Transaction, TransactionalRoute, platform
from shared.problems import problem_responses
from shared.schemas import CurrencyCode, Day

__all__ = ["report_router"]

report_router = APIRouter(route_class=TransactionalRoute, tags=["report"])

# The page has no script and loads nothing, and says so, whatever a product's title may hold.
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}

_reader = require("analytics:read")


async def may_look(request: Request) -> None:
    """On one machine whoever sits at it may look, since a browser sends no key; elsewhere a key is needed."""
    if platform(request).settings.profile == "embedded" and is_from_this_machine(request):
        return
    await _reader(request)


@report_router.get(
    "/report",
    response_class=HTMLResponse,
    responses=problem_responses(RangeTooLong),
    dependencies=[Depends(may_look)],
)
async def report(
    session: Transaction,
    first: Annotated[
        Day | None, Query(alias="from", description="First day; a year back if left out.")
    ] = None,
    to: Annotated[Day | None, Query(description="Last day; the latest with sales if left out.")] = None,
    currency: Annotated[
        CurrencyCode | None, Query(description="Currency; the one of most orders if left out.")
    ] = None,
) -> HTMLResponse:
    """Revenue, channels, products, tiers, points and group-buys on one page."""
    figures = await operations.report(session, currency=currency, first=first, last=to)
    return HTMLResponse(render_report(figures), headers=HEADERS)
