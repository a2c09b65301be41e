"""The summaries computed again from the facts, in SQL that shares nothing with the code that added them up.

Sums that are zero say nothing, so a row of zeros and no row are the same.
"""

from datetime import date
from typing import Any, Final

from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncSession

__all__ = ["SUMMARIES", "differences", "lock_for_rebuild", "recompute"]

SALES = """
    SELECT day, source, shop_id, channel, currency, sum(orders)::bigint AS orders,
        sum(units)::bigint AS units, sum(revenue)::bigint AS revenue_minor,
        sum(shipping)::bigint AS shipping_minor,
        sum(discount)::bigint AS discount_minor, sum(tax)::bigint AS tax_minor,
        sum(refunds)::bigint AS refunds, sum(refunded)::bigint AS refunded_minor,
        sum(cohort)::bigint AS cohort_refunded_minor
    FROM (
        SELECT day, source, shop_id, channel, currency, 1 AS orders, units, total_minor AS revenue,
            shipping_minor AS shipping, discount_minor AS discount, tax_minor AS tax, 0 AS refunds,
            0 AS refunded, 0 AS cohort
        FROM order_facts
        UNION ALL
        SELECT r.day, r.source, r.shop_id, coalesce(o.channel, ''), r.currency, 0, 0, 0, 0, 0, 0, 1,
            r.amount_minor, 0
        FROM refund_facts AS r LEFT JOIN order_facts AS o USING (order_id)
        UNION ALL
        SELECT o.day, r.source, o.shop_id, o.channel, r.currency, 0, 0, 0, 0, 0, 0, 0, 0, r.amount_minor
        FROM refund_facts AS r JOIN order_facts AS o USING (order_id)
    ) AS parts
    WHERE day >= :since
    GROUP BY day, source, shop_id, channel, currency
"""
PRODUCTS = """
    SELECT day, source, product_id, currency, sum(orders)::bigint AS orders, sum(units)::bigint AS units,
        sum(revenue)::bigint AS revenue_minor, sum(refunded)::bigint AS refunded_minor,
        sum(cohort)::bigint AS cohort_refunded_minor
    FROM (
        SELECT o.day, o.source, l.product_id, o.currency, count(DISTINCT o.order_id) AS orders,
            sum(l.quantity) AS units, sum(l.revenue_minor) AS revenue, 0 AS refunded, 0 AS cohort
        FROM order_facts AS o JOIN order_line_facts AS l USING (order_id)
        WHERE o.day >= :since
        GROUP BY o.day, o.source, l.product_id, o.currency
        UNION ALL
        SELECT o.day, o.source, '', o.currency, 0, 0,
            o.total_minor - coalesce((SELECT sum(l.revenue_minor) FROM order_line_facts AS l
                                      WHERE l.order_id = o.order_id), 0), 0, 0
        FROM order_facts AS o
        WHERE o.day >= :since
        UNION ALL
        SELECT r.day, r.source, '', r.currency, 0, 0, 0, r.amount_minor, 0
        FROM refund_facts AS r
        WHERE r.day >= :since AND NOT EXISTS (SELECT FROM order_facts AS o WHERE o.order_id = r.order_id)
        UNION ALL
        SELECT r.day, r.source, a.product_id, r.currency, 0, 0, 0, a.amount_minor, 0
        FROM refund_facts AS r JOIN refund_allocations AS a USING (order_id, refund_id)
        UNION ALL
        SELECT o.day, r.source, a.product_id, r.currency, 0, 0, 0, 0, a.amount_minor
        FROM refund_facts AS r JOIN refund_allocations AS a USING (order_id, refund_id)
            JOIN order_facts AS o USING (order_id)
    ) AS parts
    WHERE day >= :since
    GROUP BY day, source, product_id, currency
"""
MEMBERS = """
    SELECT member_id, currency, sum(orders)::bigint AS orders, sum(units)::bigint AS units,
        sum(revenue)::bigint AS revenue_minor, sum(refunded)::bigint AS refunded_minor,
        min(at) AS first_order_at, max(at) AS last_order_at
    FROM (
        SELECT member_id, currency, 1 AS orders, units, total_minor AS revenue, 0 AS refunded,
            occurred_at AS at
        FROM order_facts
        UNION ALL
        SELECT member_id, currency, 0, 0, 0, amount_minor, NULL FROM refund_facts
    ) AS parts
    GROUP BY member_id, currency
"""
COUNTS = """
    SELECT day, kind, label, currency, count(*) AS occurrences, sum(amount)::bigint AS amount
    FROM event_facts
    WHERE day >= :since
    GROUP BY day, kind, label, currency
"""
CAMPAIGN_COUNTS = """
    SELECT activity_id, kind, label, count(*) AS occurrences
    FROM event_facts
    WHERE activity_id IS NOT NULL
    GROUP BY activity_id, kind, label
"""
CAMPAIGN_SALES = """
    SELECT activity_id, currency, sum(orders)::bigint AS orders, sum(units)::bigint AS units,
        sum(revenue)::bigint AS revenue_minor, sum(refunded)::bigint AS refunded_minor
    FROM (
        SELECT activity_id, currency, 1 AS orders, units, total_minor AS revenue, 0 AS refunded
        FROM order_facts
        WHERE activity_id IS NOT NULL
        UNION ALL
        SELECT o.activity_id, r.currency, 0, 0, 0, r.amount_minor
        FROM refund_facts AS r JOIN order_facts AS o USING (order_id)
        WHERE o.activity_id IS NOT NULL
    ) AS parts
    GROUP BY activity_id, currency
"""
TIERS = """
    SELECT DISTINCT ON (member_id) member_id, label AS tier, occurred_at AS changed_at, event_id
    FROM event_facts
    WHERE kind IN ('member.tier_upgraded', 'member.tier_downgraded')
    ORDER BY member_id, event_id DESC
"""
STAGES = """
    SELECT DISTINCT ON (member_id) member_id, label AS stage,
        (detail->>'judged_at')::timestamptz AS judged_at, event_id
    FROM event_facts
    WHERE kind = 'member.stage_changed'
    ORDER BY member_id, (detail->>'judged_at')::timestamptz DESC, event_id DESC
"""

# What is recomputed: its query, its columns, and those of them that are sums. The first three go by day and
# can be limited to recent days.
SUMMARIES: Final[dict[str, tuple[str, str, str]]] = {
    "daily_sales": (
        SALES,
        "day, source, shop_id, channel, currency",
        "orders, units, revenue_minor, shipping_minor, discount_minor, tax_minor, refunds, refunded_minor,"
        " cohort_refunded_minor",
    ),
    "daily_products": (
        PRODUCTS,
        "day, source, product_id, currency",
        "orders, units, revenue_minor, refunded_minor, cohort_refunded_minor",
    ),
    "daily_counts": (COUNTS, "day, kind, label, currency", "occurrences, amount"),
    "member_sales": (
        MEMBERS,
        "member_id, currency, first_order_at, last_order_at",
        "orders, units, revenue_minor, refunded_minor",
    ),
    "campaign_counts": (CAMPAIGN_COUNTS, "activity_id, kind, label", "occurrences"),
    "campaign_sales": (
        CAMPAIGN_SALES,
        "activity_id, currency",
        "orders, units, revenue_minor, refunded_minor",
    ),
    "member_tiers": (TIERS, "member_id, tier, changed_at, event_id", ""),
    "member_stages": (STAGES, "member_id, stage, judged_at, event_id", ""),
}
DAILY: Final = ("daily_sales", "daily_products", "daily_counts")


def _columns(table: str) -> str:
    _query, keys, sums = SUMMARIES[table]
    return f"{keys}, {sums}" if sums else keys


def _not_empty(table: str) -> str:
    sums = SUMMARIES[table][2]
    return f"({sums.replace(',', ', ')}) IS DISTINCT FROM ({', '.join('0' for _ in sums.split(','))})"


def _count(table: str) -> TextClause:
    """Rows that only one of the two has: the summary as kept, and as the facts say it."""
    columns, since = _columns(table), "WHERE day >= :since" if table in DAILY else ""
    kept = f"SELECT {columns} FROM {table} {since}"  # noqa: S608 - constants of this module
    if SUMMARIES[table][2]:
        kept += f" {'AND' if since else 'WHERE'} {_not_empty(table)}"
    return text(
        f"WITH kept AS ({kept}), again AS ("  # noqa: S608 - every part is a constant of this module
        f"SELECT {columns} FROM ({SUMMARIES[table][0]}) AS computed"
        f"{' WHERE ' + _not_empty(table) if SUMMARIES[table][2] else ''})"
        " SELECT count(*) FROM ((TABLE kept EXCEPT ALL TABLE again)"
        " UNION ALL (TABLE again EXCEPT ALL TABLE kept)) AS differing"
    )


def _insert(table: str) -> TextClause:
    columns = _columns(table)
    revision = (", revision", ", :revision") if SUMMARIES[table][2] else ("", "")
    return text(
        f"INSERT INTO {table} ({columns}{revision[0]})"  # noqa: S608 - constants of this module
        f" SELECT {columns}{revision[1]} FROM ({SUMMARIES[table][0]}) AS computed"
    )


COUNT_DIFFERENCES: Final = {table: _count(table) for table in SUMMARIES}
INSERT_AGAIN: Final = {table: _insert(table) for table in SUMMARIES}
LAST_REVISION: Final = {
    table: text(f"SELECT coalesce(max(revision), 0) FROM {table}")  # noqa: S608 - constants of this module
    for table in SUMMARIES
    if SUMMARIES[table][2]
}
CLEAR: Final = {table: text(f"DELETE FROM {table}") for table in SUMMARIES}  # noqa: S608 - constants
# In the order in which ingest reaches them, so that the two cannot deadlock.
LOCK = text(
    """
    LOCK TABLE order_facts, refund_facts, event_facts, member_sales, refund_allocations, member_tiers,
        member_stages, daily_sales, daily_products, daily_counts, campaign_counts, campaign_sales
    IN SHARE ROW EXCLUSIVE MODE
    """
)
EVER: Final = date(1, 1, 1)


def _parameters(table: str, since: date | None) -> dict[str, Any]:
    return {"since": since or EVER} if table in DAILY else {}


async def differences(session: AsyncSession, table: str, since: date | None) -> int:
    """How many rows of a summary differ from what the facts add up to, from a day on or in all."""
    return int(await session.scalar(COUNT_DIFFERENCES[table], _parameters(table, since)) or 0)


async def lock_for_rebuild(session: AsyncSession) -> None:
    """Keep every ingest out until the end of the transaction."""
    await session.execute(LOCK)


async def recompute(session: AsyncSession, table: str) -> None:
    """Throw a summary away and add it up again from all facts, with revisions above every earlier one."""
    parameters = _parameters(table, None)
    if table in LAST_REVISION:
        parameters["revision"] = int(await session.scalar(LAST_REVISION[table]) or 0) + 1
    await session.execute(CLEAR[table])
    await session.execute(INSERT_AGAIN[table], parameters)
