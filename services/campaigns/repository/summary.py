"""Statements that count."""

from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

COUNTS = text(
    """
    SELECT
        (SELECT count(*) FROM activities) AS activities,
        (SELECT jsonb_object_agg(state, n) FROM (SELECT state, count(*) AS n FROM buy_groups GROUP BY 1) g)
            AS groups,
        (SELECT jsonb_object_agg(state, n) FROM (SELECT state, count(*) AS n FROM seats GROUP BY 1) s)
            AS seats,
        (SELECT jsonb_object_agg(state, n) FROM (SELECT state, count(*) AS n FROM payments GROUP BY 1) p)
            AS payments,
        (SELECT jsonb_object_agg(reason, n) FROM (
            SELECT reason, count(*) AS n FROM payments WHERE requested_at IS NOT NULL GROUP BY 1) r)
            AS reasons,
        (SELECT jsonb_object_agg(currency, n) FROM (
            SELECT currency, sum(amount_minor) AS n FROM payments WHERE state = 'captured' GROUP BY 1) u)
            AS undecided,
        (SELECT count(*) FROM payments WHERE requested_at IS NOT NULL) AS refunds_requested,
        (SELECT count(*) FROM payments WHERE requested_at IS NOT NULL AND state = 'refunded')
            AS refunds_answered,
        (SELECT count(*) FROM links) AS links,
        (SELECT count(*) FROM promotions) AS promotions,
        (SELECT count(*) FROM coupons) AS coupons_issued,
        (SELECT count(*) FROM parked_rewards) AS coupons_parked
    """
)

OVERDUE_GROUPS = text(
    "SELECT count(*) FROM buy_groups WHERE state IN ('open', 'closing') AND deadline_at <= clock_timestamp()"
)
OVERDUE_SEATS = text("SELECT count(*) FROM seats WHERE state = 'held' AND lapses_at <= clock_timestamp()")
PARKED_REWARDS = text("SELECT count(*) FROM parked_rewards")
UNDECIDED = text(
    "SELECT currency, sum(amount_minor) AS minor FROM payments WHERE state = 'captured' GROUP BY 1"
)
OLDEST_REQUEST = text(
    """
    SELECT COALESCE(EXTRACT(EPOCH FROM clock_timestamp() - min(requested_at)), 0) FROM payments
    WHERE requested_at IS NOT NULL AND state = 'refund_requested'
    """
)


async def counts(session: AsyncSession) -> dict[str, Any]:
    """Return every figure of the summary in one snapshot."""
    return dict((await session.execute(COUNTS)).one()._mapping)


async def overdue_groups(session: AsyncSession) -> int:
    """Count groups past their deadline that are not decided."""
    return int((await session.execute(OVERDUE_GROUPS)).scalar_one())


async def overdue_seats(session: AsyncSession) -> int:
    """Count holds that are over but not given back."""
    return int((await session.execute(OVERDUE_SEATS)).scalar_one())


async def parked_rewards(session: AsyncSession) -> int:
    """Count coupons that wait for somebody to define their promotion."""
    return int((await session.execute(PARKED_REWARDS)).scalar_one())


async def undecided_minor(session: AsyncSession) -> dict[str, int]:
    """Return captured but undecided money by currency."""
    return {row.currency: int(row.minor) for row in await session.execute(UNDECIDED)}


async def oldest_request_seconds(session: AsyncSession) -> float:
    """Return how long the oldest unanswered refund request has waited, in seconds."""
    return float((await session.execute(OLDEST_REQUEST)).scalar_one())
