"""Refunds and cancellations, applied or parked until their order has come."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import RowMapping, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession

from services.members.domain import Cancellation, OrderKey, Refund, RefundedLine
from services.members.repository.orders import KEYS, key_columns

__all__ = [
    "RefundName",
    "StoredCancellation",
    "StoredRefund",
    "cancellations_by_key",
    "delete_refunds",
    "insert_cancellations",
    "insert_refunds",
    "parked_cancellations",
    "parked_keys",
    "parked_refunds",
    "refunds_by_id",
    "refunds_page",
    "settle_cancellations",
    "settle_refunds",
]

RefundName = tuple[str, str, str, str]
StoredRefund = tuple[Refund, str]
StoredCancellation = tuple[Cancellation, str]

REFUND_COLUMNS = """
    r.source, r.shop_id, r.external_order_id, r.refund_id, r.refunded_at, r.amount_minor, r.shipping_minor,
    r.lines, r.reason, r.refund_key, r.currency, r.state
"""

NAMES = """
    unnest(CAST(:sources AS text[]), CAST(:shops AS text[]), CAST(:external_ids AS text[]),
           CAST(:refund_ids AS text[])) AS k(source, shop_id, external_order_id, refund_id)
"""

REFUNDS_BY_ID = text(
    f"SELECT {REFUND_COLUMNS} FROM {NAMES}"  # noqa: S608 - constants
    " JOIN refunds AS r USING (source, shop_id, external_order_id, refund_id)"
).columns(lines=JSONB)

# In the order of their time: an earlier refund has the first claim on what is left of the order.
PARKED_REFUNDS = text(
    f"""
    SELECT {REFUND_COLUMNS} FROM {KEYS} JOIN refunds AS r USING (source, shop_id, external_order_id)
    WHERE r.state = 'parked' ORDER BY r.refunded_at, r.refund_id FOR UPDATE OF r
    """  # noqa: S608 - constants
).columns(lines=JSONB)

INSERT_REFUNDS = text(
    """
    INSERT INTO refunds (source, shop_id, external_order_id, refund_id, refunded_at, amount_minor,
                         shipping_minor, lines, reason, refund_key, currency, state)
    SELECT * FROM unnest(
        CAST(:sources AS text[]), CAST(:shops AS text[]), CAST(:external_ids AS text[]),
        CAST(:refund_ids AS text[]), CAST(:refunded AS timestamptz[]), CAST(:amounts AS bigint[]),
        CAST(:shippings AS bigint[]), CAST(:lines AS jsonb[]), CAST(:reasons AS text[]),
        CAST(:refund_keys AS text[]), CAST(:currencies AS text[]), CAST(:states AS text[]))
    ON CONFLICT (source, shop_id, external_order_id, refund_id) DO NOTHING
    RETURNING source, shop_id, external_order_id, refund_id
    """
)

DELETE_REFUNDS = text(
    f"""
    DELETE FROM refunds AS r USING {NAMES}
    WHERE (r.source, r.shop_id, r.external_order_id, r.refund_id)
        = (k.source, k.shop_id, k.external_order_id, k.refund_id)
    """  # noqa: S608 - constants
)

SETTLE_REFUNDS = text(
    """
    UPDATE refunds AS r SET state = k.state, refusal = k.refusal
    FROM unnest(CAST(:sources AS text[]), CAST(:shops AS text[]), CAST(:external_ids AS text[]),
                CAST(:refund_ids AS text[]), CAST(:states AS text[]), CAST(:refusals AS text[]))
        AS k(source, shop_id, external_order_id, refund_id, state, refusal)
    WHERE (r.source, r.shop_id, r.external_order_id, r.refund_id)
        = (k.source, k.shop_id, k.external_order_id, k.refund_id)
    """
)

CANCELLATIONS = """
    SELECT c.source, c.shop_id, c.external_order_id, c.cancelled_at, c.reason, c.state
"""

CANCELLATIONS_BY_KEY = text(
    f"{CANCELLATIONS} FROM {KEYS} JOIN cancellations AS c USING (source, shop_id, external_order_id)"
)

PARKED_CANCELLATIONS = text(
    f"""
    {CANCELLATIONS} FROM {KEYS} JOIN cancellations AS c USING (source, shop_id, external_order_id)
    WHERE c.state = 'parked' ORDER BY source, shop_id, external_order_id FOR UPDATE OF c
    """
)

INSERT_CANCELLATIONS = text(
    """
    INSERT INTO cancellations (source, shop_id, external_order_id, cancelled_at, reason, state)
    SELECT * FROM unnest(
        CAST(:sources AS text[]), CAST(:shops AS text[]), CAST(:external_ids AS text[]),
        CAST(:cancelled AS timestamptz[]), CAST(:reasons AS text[]), CAST(:states AS text[]))
    ON CONFLICT (source, shop_id, external_order_id) DO NOTHING
    RETURNING source, shop_id, external_order_id
    """
)

SETTLE_CANCELLATIONS = text(
    f"""
    UPDATE cancellations AS c SET state = 'applied' FROM {KEYS}
    WHERE (c.source, c.shop_id, c.external_order_id) = (k.source, k.shop_id, k.external_order_id)
    """  # noqa: S608 - constants
)

PARKED_KEYS = text(
    """
    SELECT o.source, o.shop_id, o.external_order_id FROM refunds AS r
    JOIN orders AS o USING (source, shop_id, external_order_id)
    WHERE r.state = 'parked' AND o.paid_at IS NOT NULL
    UNION
    SELECT o.source, o.shop_id, o.external_order_id FROM cancellations AS c
    JOIN orders AS o USING (source, shop_id, external_order_id) WHERE c.state = 'parked'
    UNION
    SELECT o.source, o.shop_id, o.external_order_id FROM deliveries AS d
    JOIN orders AS o USING (source, shop_id, external_order_id)
    WHERE d.state = 'parked' AND o.paid_at IS NOT NULL
    LIMIT :limit
    """
)

REFUNDS_PAGE = text(
    """
    SELECT source, shop_id, external_order_id, refund_id, refunded_at, amount_minor, state, refusal,
           received_at
    FROM refunds WHERE state = :state
      AND (CAST(:received_at AS timestamptz) IS NULL
           OR (received_at, refund_id) > (CAST(:received_at AS timestamptz), :refund_id))
    ORDER BY received_at, refund_id LIMIT :limit
    """
)


async def refunds_by_id(session: AsyncSession, refunds: Collection[Refund]) -> dict[RefundName, StoredRefund]:
    """Return which of these refunds were stated before, each with its state."""
    if not refunds:
        return {}
    return {
        refund.name: (refund, state)
        for refund, state in map(_refund, await session.execute(REFUNDS_BY_ID, _names(list(refunds))))
    }


async def parked_refunds(session: AsyncSession, keys: Collection[OrderKey]) -> list[Refund]:
    """Lock and return the refunds that wait for these orders."""
    if not keys:
        return []
    rows = await session.execute(PARKED_REFUNDS, key_columns(keys))
    return [refund for refund, _ in map(_refund, rows)]


async def insert_refunds(session: AsyncSession, refunds: Sequence[tuple[Refund, str]]) -> set[RefundName]:
    """Write new refunds with their state; return the names of those that were not there already."""
    if not refunds:
        return set()
    rows = sorted(refunds, key=lambda pair: pair[0].name)
    stated = [refund for refund, _ in rows]
    found = await session.execute(
        INSERT_REFUNDS,
        {
            **_names(stated),
            "refunded": [refund.refunded_at for refund in stated],
            "amounts": [refund.amount_minor for refund in stated],
            "shippings": [refund.shipping_minor for refund in stated],
            "lines": [msgspec.json.encode(refund.lines).decode() for refund in stated],
            "reasons": [refund.reason for refund in stated],
            "refund_keys": [refund.refund_key for refund in stated],
            "currencies": [refund.currency for refund in stated],
            "states": [state for _, state in rows],
        },
    )
    return {(row.source, row.shop_id, row.external_order_id, row.refund_id) for row in found}


async def delete_refunds(session: AsyncSession, refunds: Sequence[Refund]) -> None:
    """Take back refunds that this transaction wrote and then refused."""
    if refunds:
        await session.execute(DELETE_REFUNDS, _names(refunds))


async def settle_refunds(session: AsyncSession, settled: Sequence[tuple[Refund, str, str | None]]) -> None:
    """Store what became of parked refunds: (refund, state, why it was refused)."""
    if settled:
        await session.execute(
            SETTLE_REFUNDS,
            {
                **_names([refund for refund, _, _ in settled]),
                "states": [state for _, state, _ in settled],
                "refusals": [refusal for _, _, refusal in settled],
            },
        )


async def cancellations_by_key(
    session: AsyncSession, keys: Collection[OrderKey]
) -> dict[OrderKey, StoredCancellation]:
    """Return the cancellations that were stated for these orders, each with its state."""
    if not keys:
        return {}
    return {
        cancellation.key: (cancellation, state)
        for cancellation, state in map(
            _cancellation, await session.execute(CANCELLATIONS_BY_KEY, key_columns(keys))
        )
    }


async def parked_cancellations(session: AsyncSession, keys: Collection[OrderKey]) -> list[Cancellation]:
    """Lock and return the cancellations that wait for these orders."""
    if not keys:
        return []
    rows = await session.execute(PARKED_CANCELLATIONS, key_columns(keys))
    return [cancellation for cancellation, _ in map(_cancellation, rows)]


async def insert_cancellations(
    session: AsyncSession, cancellations: Sequence[tuple[Cancellation, str]]
) -> set[OrderKey]:
    """Write new cancellations with their state; return the keys of those that were not there already."""
    if not cancellations:
        return set()
    rows = sorted(cancellations, key=lambda pair: pair[0].key)
    found = await session.execute(
        INSERT_CANCELLATIONS,
        {
            **key_columns([cancellation.key for cancellation, _ in rows]),
            "cancelled": [cancellation.cancelled_at for cancellation, _ in rows],
            "reasons": [cancellation.reason for cancellation, _ in rows],
            "states": [state for _, state in rows],
        },
    )
    return {(row.source, row.shop_id, row.external_order_id) for row in found}


async def settle_cancellations(session: AsyncSession, keys: Collection[OrderKey]) -> None:
    """Store that parked cancellations were applied."""
    if keys:
        await session.execute(SETTLE_CANCELLATIONS, key_columns(keys))


async def parked_keys(session: AsyncSession, *, limit: int) -> list[OrderKey]:
    """Return orders that have come and for which something still waits."""
    rows = await session.execute(PARKED_KEYS, {"limit": limit})
    return [(row.source, row.shop_id, row.external_order_id) for row in rows]


async def refunds_page(
    session: AsyncSession, state: str, *, after: tuple[datetime, str] | None, limit: int
) -> Sequence[RowMapping]:
    """Return refunds of a state, the longest known first."""
    received_at, refund_id = after or (None, "")
    rows = await session.execute(
        REFUNDS_PAGE, {"state": state, "received_at": received_at, "refund_id": refund_id, "limit": limit}
    )
    return rows.mappings().all()


def _names(refunds: Sequence[Refund]) -> dict[str, list[str]]:
    return {
        **key_columns([refund.key for refund in refunds]),
        "refund_ids": [refund.refund_id for refund in refunds],
    }


def _refund(row: Any) -> StoredRefund:
    refund = Refund(
        key=(row.source, row.shop_id, row.external_order_id),
        refund_id=row.refund_id,
        refunded_at=row.refunded_at,
        amount_minor=row.amount_minor,
        shipping_minor=row.shipping_minor,
        lines=tuple(RefundedLine(**line) for line in row.lines),
        reason=row.reason,
        refund_key=row.refund_key,
        currency=row.currency,
    )
    return refund, row.state


def _cancellation(row: Any) -> StoredCancellation:
    key = (row.source, row.shop_id, row.external_order_id)
    return Cancellation(key, row.cancelled_at, row.reason), row.state
