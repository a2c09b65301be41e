"""Deliveries, said or parked until their order is paid."""

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from services.members.domain import Delivery, OrderKey
from services.members.repository.orders import KEYS, key_columns

__all__ = ["StoredDelivery", "deliveries_by_key", "insert_deliveries", "settle_deliveries"]

StoredDelivery = tuple[Delivery, str]

BY_KEY = text(
    f"""
    SELECT d.source, d.shop_id, d.external_order_id, d.delivered_at, d.state
    FROM {KEYS} JOIN deliveries AS d USING (source, shop_id, external_order_id)
    """  # noqa: S608 - constants
)

INSERT = text(
    """
    INSERT INTO deliveries (source, shop_id, external_order_id, delivered_at, state)
    SELECT * FROM unnest(
        CAST(:sources AS text[]), CAST(:shops AS text[]), CAST(:external_ids AS text[]),
        CAST(:delivered AS timestamptz[]), CAST(:states AS text[]))
    ON CONFLICT (source, shop_id, external_order_id) DO NOTHING
    RETURNING source, shop_id, external_order_id
    """
)

# In the order of their keys, as every batch takes them.
SETTLE = text(
    f"""
    WITH waiting AS MATERIALIZED (
        SELECT d.ctid AS place FROM {KEYS} JOIN deliveries AS d USING (source, shop_id, external_order_id)
        WHERE d.state = 'parked' ORDER BY source, shop_id, external_order_id FOR UPDATE OF d
    )
    UPDATE deliveries SET state = 'applied' WHERE ctid = ANY(ARRAY(SELECT place FROM waiting))
    RETURNING source, shop_id, external_order_id, delivered_at, state
    """  # noqa: S608 - constants
)


async def deliveries_by_key(
    session: AsyncSession, keys: Collection[OrderKey]
) -> dict[OrderKey, StoredDelivery]:
    """Return the deliveries that were stated of these orders, each with its state."""
    if not keys:
        return {}
    return {
        delivery.key: (delivery, state)
        for delivery, state in map(_delivery, await session.execute(BY_KEY, key_columns(keys)))
    }


async def insert_deliveries(session: AsyncSession, deliveries: Sequence[StoredDelivery]) -> set[OrderKey]:
    """Write new deliveries with their state; return the keys of those that were not there already."""
    if not deliveries:
        return set()
    rows = sorted(deliveries, key=lambda pair: pair[0].key)
    found = await session.execute(
        INSERT,
        {
            **key_columns([delivery.key for delivery, _ in rows]),
            "delivered": [delivery.delivered_at for delivery, _ in rows],
            "states": [state for _, state in rows],
        },
    )
    return {(row.source, row.shop_id, row.external_order_id) for row in found}


async def settle_deliveries(session: AsyncSession, keys: Collection[OrderKey]) -> list[Delivery]:
    """Store that what is parked for these orders is said now, and return it."""
    if not keys:
        return []
    rows = await session.execute(SETTLE, key_columns(keys))
    return sorted((delivery for delivery, _ in map(_delivery, rows)), key=lambda delivery: delivery.key)


def _delivery(row: Any) -> StoredDelivery:
    return Delivery((row.source, row.shop_id, row.external_order_id), row.delivered_at), row.state
