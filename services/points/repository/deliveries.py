"""Statements on deliveries that were heard of before their order."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

# An order that has earned, if only nothing, has an entry.
EARNED = """
    EXISTS (SELECT FROM entries WHERE entries.about_id = delivery.order_id AND entries.kind = 'earn'
                                      AND entries.reference = '')
"""

KEEP_EARLY = text(
    f"""
    INSERT INTO early_deliveries (order_id, delivered_at)
    SELECT order_id, delivered_at
    FROM unnest(CAST(:order_ids AS uuid[]), CAST(:delivered AS timestamptz[]))
         AS delivery(order_id, delivered_at)
    WHERE NOT {EARNED}
    ORDER BY order_id
    ON CONFLICT (order_id) DO NOTHING
    """  # noqa: S608 - a constant
)

TAKE_EARLY = text(
    f"""
    DELETE FROM early_deliveries
    WHERE order_id = ANY(ARRAY(
        SELECT order_id FROM early_deliveries AS delivery WHERE {EARNED}
        ORDER BY order_id LIMIT :limit FOR UPDATE SKIP LOCKED))
    RETURNING order_id
    """  # noqa: S608 - a constant
)


async def keep_early(
    session: AsyncSession, order_ids: Sequence[UUID], delivered_at: Sequence[datetime]
) -> None:
    """Keep the deliveries of orders that have not earned yet."""
    await session.execute(KEEP_EARLY, {"order_ids": list(order_ids), "delivered": list(delivered_at)})


async def take_early(session: AsyncSession, *, limit: int) -> list[UUID]:
    """Take up to `limit` orders that were delivered before they earned, and have earned since."""
    return list((await session.scalars(TAKE_EARLY, {"limit": limit})).all())
