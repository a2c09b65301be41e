"""What the report shows: one currency, one range of days, and the range of the same length before it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncSession

from services.analytics.errors import RangeTooLong
from services.analytics.operations.figures import CampaignFigures, campaigns, now
from services.analytics.repository import reading
from services.analytics.repository import report as repository
from services.analytics.settings import settings

__all__ = ["ReportFigures", "report"]

# Activities on the page; the API has them all.
LATEST_CAMPAIGNS = 5
# The mean of a day looks back this far, so the days before the range are needed too.
MEAN_DAYS = 7


@dataclass(frozen=True, slots=True)
class ReportFigures:
    """Figures of the range `first` to `last`; `days` begins six days earlier, for the first mean."""

    currency: str
    currencies: tuple[str, ...]
    first: date
    last: date
    oldest: date
    days: Sequence[Row[Any]]
    before: Sequence[Row[Any]]
    channels: Sequence[Row[Any]]
    shops: Sequence[Row[Any]]
    products: Sequence[Row[Any]]
    points: Sequence[Row[Any]]
    tiers: Sequence[Row[Any]]
    stages: Sequence[Row[Any]]
    members: int
    campaigns: Sequence[CampaignFigures]
    as_of: datetime


async def report(
    session: AsyncSession, *, currency: str | None, first: date | None, last: date | None
) -> ReportFigures:
    """Gather the report; the currency of most orders and the latest days that sold are the default."""
    as_of = await now(session)
    known = await repository.bounds(session)
    by_currency = {row.currency: row for row in known}
    chosen = currency or (known[0].currency if known else "USD")
    bounds = by_currency.get(chosen)
    last = last or (bounds.last if bounds else as_of.date())
    # Nothing is sold before 1970, and the ranges before these days must stay inside the calendar.
    if min(first or last, last).year < 1970:
        raise RangeTooLong(f"{first or last} lies before 1970.")
    oldest = min(bounds.first, last) if bounds else last
    if first is None:
        first = max(oldest, last - timedelta(days=settings().report_default_days - 1))
    length = (last - first).days + 1
    if not 1 <= length <= settings().range_max_days:
        raise RangeTooLong(f"{first} to {last} is {length} days.")
    span: dict[str, Any] = {"first": first, "last": last, "currency": chosen}
    return ReportFigures(
        currency=chosen,
        currencies=tuple(by_currency) or (chosen,),
        first=first,
        last=last,
        oldest=oldest,
        days=await _days(session, chosen, first - timedelta(days=MEAN_DAYS - 1), last),
        before=await _days(session, chosen, first - timedelta(days=length), first - timedelta(days=1)),
        channels=await repository.revenue_by(session, "channel", **span),
        shops=await repository.revenue_by(session, "shop", **span),
        products=await repository.revenue_by(session, "product", **span),
        points=await repository.monthly_points(session, first, last),
        tiers=await reading.tiers(session),
        stages=await reading.stages(session),
        members=(await reading.totals(session)).members,
        campaigns=await campaigns(session, None, LATEST_CAMPAIGNS),
        as_of=as_of,
    )


async def _days(session: AsyncSession, currency: str, first: date, last: date) -> Sequence[Row[Any]]:
    limit = (last - first).days + 1
    return await reading.daily_sales(session, None, first=first, last=last, currency=currency, limit=limit)
