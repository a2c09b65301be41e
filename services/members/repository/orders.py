"""Orders and their lines."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import RowMapping, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession

from services.members.domain import IncomingOrder, KnownOrder, OrderKey
from shared.writing import Append, append

__all__ = [
    "cancel_orders",
    "insert_lines",
    "insert_orders",
    "lines_left",
    "order",
    "orders_by_key",
    "orders_of_member",
    "pay_orders",
    "payment_times",
    "refund_lines",
    "refund_orders",
]

KNOWN = """
    o.id, o.member_id, o.source, o.shop_id, o.external_order_id, o.currency, o.total_minor, o.placed_at,
    o.paid_at, o.payment_id, o.cancelled_at, o.refunded_minor, CAST(o.participation AS text) AS participation,
    o.content
"""

KEYS = """
    unnest(CAST(:sources AS text[]), CAST(:shops AS text[]), CAST(:external_ids AS text[]))
        AS k(source, shop_id, external_order_id)
"""

BY_KEY = text(
    f"SELECT {KNOWN} FROM {KEYS} JOIN orders AS o USING (source, shop_id, external_order_id)"  # noqa: S608 - constants
)

INSERT_ORDERS = text(
    """
    INSERT INTO orders (
        id, member_id, source, shop_id, external_order_id, currency, total_minor, shipping_minor,
        discount_minor, redeemed_minor, placed_at, paid_at, payment_id, channel, campaign_ref, country,
        coupon_codes, participation, content)
    SELECT n.* FROM unnest(
        CAST(:ids AS uuid[]), CAST(:member_ids AS uuid[]), CAST(:sources AS text[]), CAST(:shops AS text[]),
        CAST(:external_ids AS text[]), CAST(:currencies AS text[]), CAST(:totals AS bigint[]),
        CAST(:shippings AS bigint[]), CAST(:discounts AS bigint[]), CAST(:redeemed AS bigint[]),
        CAST(:placed AS timestamptz[]), CAST(:paid AS timestamptz[]), CAST(:payments AS text[]),
        CAST(:channels AS text[]), CAST(:campaigns AS text[]), CAST(:countries AS text[]),
        CAST(:coupons AS jsonb[]), CAST(:participations AS jsonb[]), CAST(:contents AS bytea[])) AS n
    ON CONFLICT (source, shop_id, external_order_id) DO NOTHING
    RETURNING id
    """
)

# The fields of a line are named like the columns.
# An order's id, and the fields of Line in their order.
ORDER_LINES = Append(
    "order_lines",
    order_id="uuid",
    line_no="integer",
    sku="text",
    product_id="text",
    title="text",
    category="text",
    quantity="integer",
    unit_price_minor="bigint",
    discount_minor="bigint",
    tax_minor="bigint",
    unit_cost_minor="bigint",
)

PAY = text(
    """
    UPDATE orders SET paid_at = n.paid_at, payment_id = n.payment_id
    FROM unnest(CAST(:ids AS uuid[]), CAST(:paid AS timestamptz[]), CAST(:payments AS text[]))
        AS n(id, paid_at, payment_id)
    WHERE orders.id = n.id
    """
)

CANCEL = text(
    """
    UPDATE orders SET cancelled_at = n.cancelled_at
    FROM unnest(CAST(:ids AS uuid[]), CAST(:cancelled AS timestamptz[])) AS n(id, cancelled_at)
    WHERE orders.id = n.id
    """
)

REFUND = text(
    """
    UPDATE orders SET refunded_minor = n.refunded_minor
    FROM unnest(CAST(:ids AS uuid[]), CAST(:refunded AS bigint[])) AS n(id, refunded_minor)
    WHERE orders.id = n.id
    """
)

PAYMENT_TIMES = text(
    "SELECT id, paid_at FROM orders WHERE id = ANY(CAST(:ids AS uuid[])) AND paid_at IS NOT NULL"
)

LINES_LEFT = text(
    """
    SELECT order_id, line_no, quantity - refunded_quantity AS units_left FROM order_lines
    WHERE order_id = ANY(CAST(:order_ids AS uuid[]))
    """
)

REFUND_LINES = text(
    """
    UPDATE order_lines AS l SET refunded_quantity = l.quantity - n.units_left
    FROM unnest(CAST(:order_ids AS uuid[]), CAST(:line_nos AS integer[]), CAST(:units AS bigint[]))
        AS n(order_id, line_no, units_left)
    WHERE l.order_id = n.order_id AND l.line_no = n.line_no
    """
)

WHOLE = """
    SELECT o.id AS order_id,
        coalesce((SELECT a.person_id FROM aliases AS a WHERE a.merged_id = o.member_id), o.member_id)
            AS member_id,
        o.source, o.shop_id, o.external_order_id, o.currency, o.total_minor,
        o.shipping_minor, o.discount_minor, o.redeemed_minor, o.refunded_minor, o.placed_at, o.paid_at,
        o.payment_id, o.cancelled_at, o.channel, o.campaign_ref, o.country,
        coalesce(o.coupon_codes, '[]') AS coupon_codes, o.participation,
        CASE WHEN o.cancelled_at IS NOT NULL THEN 'cancelled' WHEN o.paid_at IS NULL THEN 'placed'
             WHEN o.refunded_minor > 0 AND o.refunded_minor = o.total_minor THEN 'refunded' ELSE 'paid' END
            AS state,
        (SELECT d.delivered_at FROM deliveries AS d
         WHERE (d.source, d.shop_id, d.external_order_id) = (o.source, o.shop_id, o.external_order_id)
           AND d.state = 'applied') AS delivered_at,
        (SELECT jsonb_agg(to_jsonb(l) - 'order_id' ORDER BY l.line_no)
         FROM order_lines AS l WHERE l.order_id = o.id) AS lines
    FROM orders AS o
"""

WHOLE_COLUMNS = {"coupon_codes": JSONB, "participation": JSONB, "lines": JSONB}

ONE = text(f"{WHOLE} WHERE o.id = :id").columns(**WHOLE_COLUMNS)

# For each id by itself, so that the index gives the latest without looking at the others.
OF_MEMBER = text(
    f"""
    SELECT w.* FROM unnest(CAST(:member_ids AS uuid[])) AS k(id) CROSS JOIN LATERAL (
        {WHOLE}
        WHERE o.member_id = k.id
          AND (CAST(:placed_at AS timestamptz) IS NULL
               OR (o.placed_at, o.id) < (CAST(:placed_at AS timestamptz), CAST(:id AS uuid)))
        ORDER BY o.placed_at DESC, o.id DESC LIMIT :limit) AS w
    ORDER BY w.placed_at DESC, w.order_id DESC LIMIT :limit
    """  # noqa: S608 - a constant
).columns(**WHOLE_COLUMNS)


def key_columns(keys: Collection[OrderKey]) -> dict[str, list[str]]:
    """Return keys as the three arrays that `KEYS` unnests."""
    return {
        "sources": [source for source, _, _ in keys],
        "shops": [shop for _, shop, _ in keys],
        "external_ids": [external for _, _, external in keys],
    }


async def orders_by_key(session: AsyncSession, keys: Collection[OrderKey]) -> dict[OrderKey, KnownOrder]:
    """Return the orders that exist under these keys; locked by their members' locks, not by this."""
    if not keys:
        return {}
    rows = await session.execute(BY_KEY, key_columns(keys))
    found = {}
    for row in rows:
        key = (row.source, row.shop_id, row.external_order_id)
        found[key] = KnownOrder(
            row.id,
            row.member_id,
            key,
            row.currency,
            row.total_minor,
            row.placed_at,
            row.paid_at,
            row.payment_id,
            row.cancelled_at,
            row.refunded_minor,
            None if row.participation is None else msgspec.json.decode(row.participation),
            bytes(row.content),
        )
    return found


async def insert_orders(
    session: AsyncSession, orders: Sequence[tuple[KnownOrder, IncomingOrder]]
) -> set[UUID]:
    """Write new orders in the order of their keys; return the ids of those whose key was free."""
    if not orders:
        return set()
    rows = sorted(orders, key=lambda pair: pair[0].key)
    known, stated = [pair[0] for pair in rows], [pair[1] for pair in rows]
    parameters = {
        **key_columns([order.key for order in known]),
        "ids": [order.id for order in known],
        "member_ids": [order.member_id for order in known],
        "currencies": [order.currency for order in stated],
        "totals": [order.total_minor for order in stated],
        "shippings": [order.shipping_minor for order in stated],
        "discounts": [order.discount_minor for order in stated],
        "redeemed": [order.redeemed_minor for order in stated],
        "placed": [order.placed_at for order in stated],
        "paid": [order.paid_at for order in known],
        "payments": [order.payment_id for order in known],
        "channels": [order.channel for order in stated],
        "campaigns": [order.campaign_ref for order in stated],
        "countries": [order.country for order in stated],
        "coupons": [_text(order.coupon_codes) if order.coupon_codes else None for order in stated],
        "participations": [_text(order.participation) if order.participation else None for order in stated],
        "contents": [order.content for order in stated],
    }
    return set((await session.scalars(INSERT_ORDERS, parameters)).all())


async def insert_lines(session: AsyncSession, orders: Sequence[tuple[KnownOrder, IncomingOrder]]) -> None:
    """Write the lines of orders that this transaction wrote."""
    rows = [(known.id, *line) for known, stated in orders for line in stated.lines]
    await append(session, ORDER_LINES, rows)


async def pay_orders(session: AsyncSession, orders: Sequence[KnownOrder]) -> None:
    """Store the payments of orders that were placed before."""
    if orders:
        await session.execute(
            PAY,
            {
                "ids": [order.id for order in orders],
                "paid": [order.paid_at for order in orders],
                "payments": [order.payment_id for order in orders],
            },
        )


async def payment_times(session: AsyncSession, ids: Collection[UUID]) -> dict[UUID, datetime]:
    """Return when orders were paid; those that were not, or are not known, are left out."""
    if not ids:
        return {}
    return {row.id: row.paid_at for row in await session.execute(PAYMENT_TIMES, {"ids": list(ids)})}


async def cancel_orders(session: AsyncSession, orders: Sequence[KnownOrder]) -> None:
    """Store when orders were called off."""
    if orders:
        await session.execute(
            CANCEL,
            {"ids": [order.id for order in orders], "cancelled": [order.cancelled_at for order in orders]},
        )


async def refund_orders(session: AsyncSession, orders: Sequence[KnownOrder]) -> None:
    """Store how much of orders was refunded in all."""
    if orders:
        await session.execute(
            REFUND,
            {"ids": [order.id for order in orders], "refunded": [order.refunded_minor for order in orders]},
        )


async def lines_left(session: AsyncSession, order_ids: Collection[UUID]) -> dict[tuple[UUID, int], int]:
    """Return, by order and line, how many units are not refunded."""
    if not order_ids:
        return {}
    rows = await session.execute(LINES_LEFT, {"order_ids": list(order_ids)})
    return {(row.order_id, row.line_no): row.units_left for row in rows}


async def refund_lines(session: AsyncSession, left: Mapping[tuple[UUID, int], int]) -> None:
    """Store how many units of lines are not refunded."""
    if left:
        await session.execute(
            REFUND_LINES,
            {
                "order_ids": [order_id for order_id, _ in left],
                "line_nos": [line_no for _, line_no in left],
                "units": list(left.values()),
            },
        )


async def order(session: AsyncSession, order_id: UUID) -> RowMapping | None:
    """Return one order with its lines, as the API shows it."""
    return (await session.execute(ONE, {"id": order_id})).mappings().first()


async def orders_of_member(
    session: AsyncSession,
    member_ids: Collection[UUID],
    *,
    after: tuple[datetime, UUID] | None,
    limit: int,
) -> Sequence[RowMapping]:
    """Return the orders of a person's ids, the latest first, after a position of (placed_at, id)."""
    placed_at, order_id = after or (None, None)
    rows = await session.execute(
        OF_MEMBER, {"member_ids": list(member_ids), "placed_at": placed_at, "id": order_id, "limit": limit}
    )
    return rows.mappings().all()


def _text(value: Any) -> str:
    return msgspec.json.encode(value).decode()
