"""What only the report asks. As in `reading`, every statement sees one snapshot."""

from collections.abc import Sequence
from datetime import date
from typing import Any, Final

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncSession

from services.analytics.repository.reading import GroupBy

__all__ = ["bounds", "monthly_points", "revenue_by"]

BOUNDS = text(
    """
    SELECT currency, min(day) AS first, max(day) AS last, sum(orders)::bigint AS orders
    FROM daily_sales
    WHERE orders > 0
    GROUP BY currency
    ORDER BY sum(orders) DESC, currency
    """
)
SHARES: Final = {
    "channel": text(
        """
        SELECT '' AS source, channel AS label, sum(revenue_minor)::bigint AS revenue_minor,
            sum(orders)::bigint AS orders
        FROM daily_sales
        WHERE day BETWEEN :first AND :last AND currency = :currency
        GROUP BY channel
        HAVING sum(revenue_minor) > 0
        ORDER BY sum(revenue_minor) DESC, channel
        """
    ),
    "shop": text(
        """
        SELECT source, shop_id AS label, sum(revenue_minor)::bigint AS revenue_minor,
            sum(orders)::bigint AS orders
        FROM daily_sales
        WHERE day BETWEEN :first AND :last AND currency = :currency
        GROUP BY source, shop_id
        HAVING sum(revenue_minor) > 0
        ORDER BY sum(revenue_minor) DESC, source, shop_id
        """
    ),
    "product": text(
        """
        SELECT source, coalesce(min(t.title), product_id) AS label,
            sum(revenue_minor)::bigint AS revenue_minor, sum(orders)::bigint AS orders
        FROM daily_products LEFT JOIN product_titles AS t USING (source, product_id)
        WHERE day BETWEEN :first AND :last AND currency = :currency AND product_id <> ''
        GROUP BY source, product_id
        HAVING sum(revenue_minor) > 0
        ORDER BY sum(revenue_minor) DESC, source, product_id
        """
    ),
}
MONTHLY_POINTS = text(
    """
    SELECT date_trunc('month', day)::date AS month,
        coalesce(sum(amount) FILTER (WHERE kind = 'points.earned'), 0)::bigint AS earned,
        coalesce(sum(amount) FILTER (WHERE kind IN ('points.redeemed', 'points.captured')), 0)::bigint
            AS spent,
        coalesce(sum(amount) FILTER (WHERE kind = 'points.returned'), 0)::bigint AS returned,
        coalesce(sum(amount) FILTER (WHERE kind = 'points.expired'), 0)::bigint AS expired
    FROM daily_counts
    WHERE kind IN ('points.earned', 'points.redeemed', 'points.captured', 'points.returned', 'points.expired')
        AND day BETWEEN :first AND :last
    GROUP BY 1
    ORDER BY 1
    """
)


async def bounds(session: AsyncSession) -> Sequence[Row[Any]]:
    """First and last day with orders of each currency, the currency of most orders first."""
    return (await session.execute(BOUNDS)).all()


async def revenue_by(
    session: AsyncSession, group_by: GroupBy, *, first: date, last: date, currency: str
) -> Sequence[Row[Any]]:
    """Revenue of a range by shop, channel or product, the largest first."""
    parameters = {"first": first, "last": last, "currency": currency}
    return (await session.execute(SHARES[group_by], parameters)).all()


async def monthly_points(session: AsyncSession, first: date, last: date) -> Sequence[Row[Any]]:
    """Points earned, spent, returned and expired by month; what was returned is not taken off spent."""
    return (await session.execute(MONTHLY_POINTS, {"first": first, "last": last})).all()
