"""Statements about activities, their SKUs and the locks on them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from services.campaigns.domain import Offer
from shared.database import savepoint

# Written once, because whoever asks for the state must get the same answer.
STATE = """
    CASE WHEN a.cancelled_at IS NOT NULL THEN 'cancelled'
         WHEN clock_timestamp() < a.starts_at THEN 'scheduled'
         WHEN clock_timestamp() < a.ends_at THEN 'active'
         ELSE 'ended' END
"""

CLOCK = text("SELECT clock_timestamp()")

INSERT_ACTIVITY = text(
    """
    INSERT INTO activities (
        activity_id, shop_id, name, currency, time_zone, starts_at, ends_at, starts_at_local, ends_at_local,
        group_size, discount_percent, units_per_order, units_per_member, groups_per_member,
        minimum_remaining_seconds, checkout_url, created_at
    ) VALUES (
        :activity_id, :shop_id, :name, :currency, :time_zone, :starts_at, :ends_at, :starts_at_local,
        :ends_at_local, :group_size, :discount_percent, :units_per_order, :units_per_member,
        :groups_per_member, :minimum_remaining_seconds, :checkout_url, clock_timestamp()
    )
    """
)

INSERT_SKUS = text(
    """
    INSERT INTO activity_skus (
        activity_id, sku, product_id, title, normal_price_minor, discount_percent, price_minor, stock,
        stock_left
    )
    SELECT :activity_id, s.sku, s.product_id, s.title, s.normal, s.percent, s.price, s.stock, s.stock
    FROM unnest(CAST(:skus AS text[]), CAST(:product_ids AS text[]), CAST(:titles AS text[]),
                CAST(:normals AS bigint[]), CAST(:percents AS smallint[]), CAST(:prices AS bigint[]),
                CAST(:stocks AS bigint[]))
         AS s(sku, product_id, title, normal, percent, price, stock)
    """
)

# In one order, so that two activities with the same SKUs wait for each other instead of deadlocking.
LOCK_SKUS = text(
    """
    INSERT INTO sku_locks (promotion_id, shop_id, sku, during)
    SELECT :promotion_id, :shop_id, s.sku, tstzrange(:starts_at, :ends_at)
    FROM unnest(CAST(:skus AS text[])) AS s(sku) ORDER BY s.sku
    """
)

LOCKED_SKUS = text(
    """
    SELECT DISTINCT sku FROM sku_locks
    WHERE shop_id = :shop_id AND sku = ANY(CAST(:skus AS text[]))
      AND during && tstzrange(:starts_at, :ends_at)
    ORDER BY sku LIMIT 20
    """
)

RELEASE_SKUS = text("DELETE FROM sku_locks WHERE promotion_id = ANY(CAST(:promotion_ids AS uuid[]))")

READ_ACTIVITIES = text(
    f"""
    SELECT a.*, {STATE} AS state FROM activities a
    WHERE a.activity_id = ANY(CAST(:activity_ids AS uuid[]))
    """  # noqa: S608 - a constant
)

LIST_ACTIVITIES = text(
    f"""
    SELECT a.*, {STATE} AS state FROM activities a
    WHERE (CAST(:shop_id AS text) IS NULL OR a.shop_id = :shop_id)
      AND (CAST(:after AS uuid) IS NULL OR a.activity_id < :after)
    ORDER BY a.activity_id DESC LIMIT :limit
    """  # noqa: S608 - a constant
)

READ_SKUS = text(
    """
    SELECT * FROM activity_skus WHERE activity_id = ANY(CAST(:activity_ids AS uuid[]))
    ORDER BY activity_id, sku
    """
)

LOCK_ACTIVITY = text(
    f"SELECT a.*, {STATE} AS state FROM activities a WHERE a.activity_id = :activity_id FOR UPDATE"  # noqa: S608
)

# Shared, so that groups open side by side but never beside a cancellation.
SHARE_ACTIVITIES = text(
    """
    SELECT activity_id FROM activities WHERE activity_id = ANY(CAST(:activity_ids AS uuid[]))
    ORDER BY activity_id FOR SHARE
    """
)

CANCEL_ACTIVITY = text(
    """
    UPDATE activities SET cancelled_at = clock_timestamp(), cancel_reason = :reason
    WHERE activity_id = :activity_id RETURNING cancelled_at
    """
)

END_ACTIVITIES = text(
    """
    UPDATE activities SET ended_at = clock_timestamp()
    WHERE activity_id IN (
        SELECT activity_id FROM activities
        WHERE ended_at IS NULL AND cancelled_at IS NULL AND ends_at <= clock_timestamp()
        ORDER BY ends_at LIMIT :limit FOR UPDATE SKIP LOCKED
    )
    RETURNING activity_id, shop_id, ends_at
    """
)

OFFERS = f"""
    SELECT s.activity_id, a.shop_id, s.sku, s.title, {STATE} AS state, a.ends_at, a.group_size,
           s.price_minor, a.currency, s.stock_left, a.units_per_order, a.units_per_member,
           a.groups_per_member, a.minimum_remaining_seconds
    FROM activity_skus s
    JOIN unnest(CAST(:activity_ids AS uuid[]), CAST(:skus AS text[])) AS k(activity_id, sku)
      ON s.activity_id = k.activity_id AND s.sku = k.sku
    JOIN activities a ON a.activity_id = s.activity_id
    ORDER BY s.activity_id, s.sku
    FOR NO KEY UPDATE OF s
"""  # noqa: S608 - a constant
LOCK_OFFERS = text(OFFERS)

MOVE_STOCK = text(
    """
    UPDATE activity_skus s SET stock_left = s.stock_left + d.delta
    FROM unnest(CAST(:activity_ids AS uuid[]), CAST(:skus AS text[]), CAST(:deltas AS bigint[]))
         AS d(activity_id, sku, delta)
    WHERE s.activity_id = d.activity_id AND s.sku = d.sku AND s.stock_left + d.delta BETWEEN 0 AND s.stock
    RETURNING s.sku
    """
)

SkuKey = tuple[UUID, str]


async def now(session: AsyncSession) -> datetime:
    """Return the database's clock, which judges every deadline."""
    instant: datetime = (await session.execute(CLOCK)).scalar_one()
    return instant


async def insert_activity(session: AsyncSession, values: dict[str, Any], skus: Sequence[Any]) -> None:
    """Write an activity and what it offers."""
    await session.execute(INSERT_ACTIVITY, values)
    await session.execute(
        INSERT_SKUS,
        {
            "activity_id": values["activity_id"],
            "skus": [sku.sku for sku in skus],
            "product_ids": [sku.product_id for sku in skus],
            "titles": [sku.title for sku in skus],
            "normals": [sku.normal_price_minor for sku in skus],
            "percents": [sku.discount_percent for sku in skus],
            "prices": [sku.price_minor for sku in skus],
            "stocks": [sku.stock for sku in skus],
        },
    )


async def lock_skus(session: AsyncSession, values: dict[str, Any], skus: Sequence[str]) -> list[str] | None:
    """Lock SKUs for a promotion; return those that another one has, or None when all are locked now."""
    window = {
        "shop_id": values["shop_id"],
        "skus": list(skus),
        "starts_at": values["starts_at"],
        "ends_at": values["ends_at"],
    }
    try:
        async with savepoint(session):
            await session.execute(LOCK_SKUS, {**window, "promotion_id": values["activity_id"]})
    except IntegrityError as error:
        if getattr(error.orig, "sqlstate", None) != "23P01":
            raise
        return list((await session.scalars(LOCKED_SKUS, window)).all())
    return None


async def release_skus(session: AsyncSession, promotion_ids: Sequence[UUID]) -> None:
    """Unlock every SKU of some promotions."""
    await session.execute(RELEASE_SKUS, {"promotion_ids": list(promotion_ids)})


async def read_activities(session: AsyncSession, activity_ids: Sequence[UUID]) -> list[Row[Any]]:
    """Return activities with their state by the clock."""
    rows = await session.execute(READ_ACTIVITIES, {"activity_ids": list(activity_ids)})
    return list(rows.all())


async def list_activities(
    session: AsyncSession, *, shop_id: str | None, after: UUID | None, limit: int
) -> list[Row[Any]]:
    """Return a page of activities, newest first."""
    rows = await session.execute(LIST_ACTIVITIES, {"shop_id": shop_id, "after": after, "limit": limit})
    return list(rows.all())


async def read_skus(session: AsyncSession, activity_ids: Sequence[UUID]) -> list[Row[Any]]:
    """Return everything some activities offer."""
    return list((await session.execute(READ_SKUS, {"activity_ids": list(activity_ids)})).all())


async def lock_activity(session: AsyncSession, activity_id: UUID) -> Row[Any] | None:
    """Lock one activity against groups being opened; None if there is none."""
    return (await session.execute(LOCK_ACTIVITY, {"activity_id": activity_id})).one_or_none()


async def share_activities(session: AsyncSession, activity_ids: Sequence[UUID]) -> None:
    """Keep activities from being cancelled until this transaction ends."""
    await session.execute(SHARE_ACTIVITIES, {"activity_ids": list(activity_ids)})


async def cancel_activity(session: AsyncSession, activity_id: UUID, reason: str | None) -> datetime:
    """Mark an activity as called off; return when."""
    row = await session.execute(CANCEL_ACTIVITY, {"activity_id": activity_id, "reason": reason})
    instant: datetime = row.scalar_one()
    return instant


async def end_activities(session: AsyncSession, limit: int) -> list[Row[Any]]:
    """Claim activities whose end has passed and was not announced."""
    return list((await session.execute(END_ACTIVITIES, {"limit": limit})).all())


async def lock_offers(session: AsyncSession, keys: set[SkuKey]) -> dict[SkuKey, Offer]:
    """Lock the stock of SKUs in one order and return what is on offer."""
    ordered = sorted(keys)
    rows = await session.execute(
        LOCK_OFFERS, {"activity_ids": [key[0] for key in ordered], "skus": [key[1] for key in ordered]}
    )
    return {(row.activity_id, row.sku): Offer(*row) for row in rows}


async def move_stock(session: AsyncSession, deltas: dict[SkuKey, int]) -> None:
    """Take from or give back to stocks that are locked. Raises RuntimeError rather than oversell."""
    moved = {key: delta for key, delta in sorted(deltas.items()) if delta}
    if not moved:
        return
    rows = await session.execute(
        MOVE_STOCK,
        {
            "activity_ids": [key[0] for key in moved],
            "skus": [key[1] for key in moved],
            "deltas": list(moved.values()),
        },
    )
    if len(rows.all()) != len(moved):
        raise RuntimeError("a stock would leave its bounds")
