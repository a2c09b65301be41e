"""Statements about captured payments, and the refunds that answer for them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncSession

from services.campaigns.domain import Payment

KNOWN = text("SELECT payment_key FROM payments WHERE payment_key = ANY(CAST(:payment_keys AS uuid[]))")

# A payment that somebody wrote in the meantime is not written again, and the count then tells.
INSERT_PAYMENTS = text(
    """
    INSERT INTO payments (payment_key, order_id, payment_id, seat_id, group_id, activity_id, member_id,
                          source, shop_id, external_order_id, amount_minor, currency, paid_at, received_at,
                          state, reason, requested_at, refunded_minor, refunded_at)
    SELECT n.payment_key, n.order_id, n.payment_id, n.seat_id, n.group_id, n.activity_id, n.member_id,
           n.source, n.shop_id, n.external_order_id, n.amount_minor, n.currency, n.paid_at, :now, n.state,
           n.reason, CASE WHEN n.state = 'refund_requested' THEN CAST(:now AS timestamptz) END,
           n.refunded_minor, CASE WHEN n.state = 'refunded' THEN CAST(:now AS timestamptz) END
    FROM unnest(CAST(:payment_keys AS uuid[]), CAST(:order_ids AS uuid[]), CAST(:payment_ids AS text[]),
                CAST(:seat_ids AS uuid[]), CAST(:group_ids AS uuid[]), CAST(:activity_ids AS uuid[]),
                CAST(:member_ids AS uuid[]), CAST(:sources AS text[]), CAST(:shop_ids AS text[]),
                CAST(:external_order_ids AS text[]), CAST(:amounts AS bigint[]), CAST(:currencies AS text[]),
                CAST(:paid_at AS timestamptz[]), CAST(:states AS text[]), CAST(:reasons AS text[]),
                CAST(:refunded_minor AS bigint[]))
         AS n(payment_key, order_id, payment_id, seat_id, group_id, activity_id, member_id, source, shop_id,
              external_order_id, amount_minor, currency, paid_at, state, reason, refunded_minor)
    ORDER BY n.payment_key
    ON CONFLICT (payment_key) DO NOTHING
    RETURNING *
    """
)

CONFIRM_PAYMENTS = text(
    """
    UPDATE payments SET state = 'confirmed'
    WHERE seat_id = ANY(CAST(:seat_ids AS uuid[])) AND state = 'captured' RETURNING payment_key
    """
)

REQUEST_REFUNDS = text(
    """
    UPDATE payments p SET state = 'refund_requested', reason = r.reason, requested_at = :now
    FROM unnest(CAST(:seat_ids AS uuid[]), CAST(:reasons AS text[])) AS r(seat_id, reason)
    WHERE p.seat_id = r.seat_id AND p.state = 'captured'
    RETURNING p.*
    """
)

EARLY_REFUNDS = text(
    """
    SELECT order_id, CAST(sum(amount_minor) AS bigint) AS amount_minor, bool_or(complete) AS complete
    FROM refunds
    WHERE order_id = ANY(CAST(:order_ids AS uuid[])) AND payment_key IS NULL GROUP BY order_id
    """
)

ASSIGN_REFUNDS = text(
    """
    UPDATE refunds r SET payment_key = k.payment_key
    FROM unnest(CAST(:order_ids AS uuid[]), CAST(:payment_keys AS uuid[])) AS k(order_id, payment_key)
    WHERE r.order_id = k.order_id AND r.payment_key IS NULL
    """
)

INSERT_REFUNDS = text(
    """
    INSERT INTO refunds (order_id, refund_id, refund_key, amount_minor, complete, refunded_at)
    SELECT n.order_id, n.refund_id, n.refund_key, n.amount_minor, n.complete, n.refunded_at
    FROM unnest(CAST(:order_ids AS uuid[]), CAST(:refund_ids AS text[]), CAST(:refund_keys AS text[]),
                CAST(:amounts AS bigint[]), CAST(:complete AS boolean[]), CAST(:refunded_at AS timestamptz[]))
         AS n(order_id, refund_id, refund_key, amount_minor, complete, refunded_at)
    ORDER BY n.order_id, n.refund_id
    ON CONFLICT (order_id, refund_id) DO NOTHING
    RETURNING order_id, refund_id
    """
)

PAYMENTS_OF_ORDERS = text(
    """
    SELECT * FROM payments
    WHERE order_id = ANY(CAST(:order_ids AS uuid[])) OR payment_key = ANY(CAST(:payment_keys AS uuid[]))
    ORDER BY payment_key FOR UPDATE
    """
)

PLACES_OF_ORDERS = text(
    """
    SELECT group_id, seat_id FROM payments
    WHERE order_id = ANY(CAST(:order_ids AS uuid[])) OR payment_key = ANY(CAST(:payment_keys AS uuid[]))
    """
)

UPDATE_PAYMENTS = text(
    """
    UPDATE payments p SET state = c.state, refunded_minor = c.refunded_minor, refunded_at = c.refunded_at
    FROM unnest(CAST(:payment_keys AS uuid[]), CAST(:states AS text[]), CAST(:refunded_minor AS bigint[]),
                CAST(:refunded_at AS timestamptz[])) AS c(payment_key, state, refunded_minor, refunded_at)
    WHERE p.payment_key = c.payment_key
    """
)

MARK_REFUNDS = text(
    """
    UPDATE refunds r SET payment_key = k.payment_key
    FROM unnest(CAST(:order_ids AS uuid[]), CAST(:refund_ids AS text[]), CAST(:payment_keys AS uuid[]))
         AS k(order_id, refund_id, payment_key)
    WHERE r.order_id = k.order_id AND r.refund_id = k.refund_id
    """
)

LIST_REQUESTS = text(
    """
    SELECT * FROM payments
    WHERE requested_at IS NOT NULL
      AND (CAST(:state AS text) IS NULL OR state = :state)
      AND (CAST(:after_at AS timestamptz) IS NULL OR (requested_at, payment_key) > (:after_at, :after_key))
    ORDER BY requested_at, payment_key LIMIT :limit
    """
)


async def known(session: AsyncSession, payment_keys: Sequence[UUID]) -> set[UUID]:
    """Return which of the payments have been decided before."""
    return set((await session.scalars(KNOWN, {"payment_keys": list(payment_keys)})).all())


async def insert(
    session: AsyncSession,
    decided: Sequence[tuple[Payment, str, str | None, int]],
    now: datetime,
) -> list[Row[Any]]:
    """Write payments as (payment, state, reason, refunded) and return their rows.

    Raises RuntimeError if one was written meanwhile.
    """
    if not decided:
        return []
    rows = [payment for payment, _, _, _ in decided]
    written = await session.execute(
        INSERT_PAYMENTS,
        {
            "payment_keys": [row.payment_key for row in rows],
            "order_ids": [row.order_id for row in rows],
            "payment_ids": [row.payment_id for row in rows],
            "seat_ids": [row.seat_id for row in rows],
            "group_ids": [row.group_id for row in rows],
            "activity_ids": [row.activity_id for row in rows],
            "member_ids": [row.member_id for row in rows],
            "sources": [row.source for row in rows],
            "shop_ids": [row.shop_id for row in rows],
            "external_order_ids": [row.external_order_id for row in rows],
            "amounts": [row.total_minor for row in rows],
            "currencies": [row.currency for row in rows],
            "paid_at": [row.paid_at for row in rows],
            "states": [state for _, state, _, _ in decided],
            "reasons": [reason for _, _, reason, _ in decided],
            "refunded_minor": [refunded for _, _, _, refunded in decided],
            "now": now,
        },
    )
    inserted = list(written.all())
    if len(inserted) != len(rows):
        raise RuntimeError("a payment was decided twice at once")
    return inserted


async def confirm(session: AsyncSession, seat_ids: Sequence[UUID]) -> None:
    """Confirm what was captured for these seats."""
    if seat_ids:
        await session.execute(CONFIRM_PAYMENTS, {"seat_ids": list(seat_ids)})


async def request_refunds(session: AsyncSession, reasons: dict[UUID, str], now: datetime) -> list[Row[Any]]:
    """Turn what was captured for seats into refund requests; return those payments."""
    if not reasons:
        return []
    parameters = {"seat_ids": list(reasons), "reasons": list(reasons.values()), "now": now}
    return list((await session.execute(REQUEST_REFUNDS, parameters)).all())


async def early_refunds(session: AsyncSession, order_ids: Sequence[UUID]) -> dict[UUID, tuple[int, bool]]:
    """Return (amount, complete) of refunds that came before their payment, by order."""
    rows = await session.execute(EARLY_REFUNDS, {"order_ids": list(order_ids)})
    return {row.order_id: (row.amount_minor, row.complete) for row in rows}


async def assign_early_refunds(session: AsyncSession, payments: dict[UUID, UUID]) -> None:
    """Note which payment (by order) the early refunds were for."""
    if payments:
        parameters = {"order_ids": list(payments), "payment_keys": list(payments.values())}
        await session.execute(ASSIGN_REFUNDS, parameters)


async def insert_refunds(session: AsyncSession, refunds: Sequence[Any]) -> set[tuple[UUID, str]]:
    """Write refunds that were reported; return the ids of those that are news."""
    rows = await session.execute(
        INSERT_REFUNDS,
        {
            "order_ids": [refund.order_id for refund in refunds],
            "refund_ids": [refund.refund_id for refund in refunds],
            "refund_keys": [refund.refund_key for refund in refunds],
            "amounts": [refund.amount_minor for refund in refunds],
            "complete": [refund.complete for refund in refunds],
            "refunded_at": [refund.refunded_at for refund in refunds],
        },
    )
    return {(row.order_id, row.refund_id) for row in rows}


async def places_of(
    session: AsyncSession, order_ids: Sequence[UUID], payment_keys: Sequence[UUID]
) -> list[Row[Any]]:
    """Return (group, seat) of payments of these orders or with these keys, without locking anything."""
    rows = await session.execute(
        PLACES_OF_ORDERS, {"order_ids": list(order_ids), "payment_keys": list(payment_keys)}
    )
    return list(rows.all())


async def lock_of(
    session: AsyncSession, order_ids: Sequence[UUID], payment_keys: Sequence[UUID]
) -> list[Row[Any]]:
    """Lock and return the payments of these orders or with these keys."""
    rows = await session.execute(
        PAYMENTS_OF_ORDERS, {"order_ids": list(order_ids), "payment_keys": list(payment_keys)}
    )
    return list(rows.all())


async def update(session: AsyncSession, changes: dict[UUID, tuple[str, int, datetime | None]]) -> None:
    """Write (state, refunded, refunded at) of payments."""
    if changes:
        await session.execute(
            UPDATE_PAYMENTS,
            {
                "payment_keys": list(changes),
                "states": [change[0] for change in changes.values()],
                "refunded_minor": [change[1] for change in changes.values()],
                "refunded_at": [change[2] for change in changes.values()],
            },
        )


async def mark_refunds(session: AsyncSession, marks: Sequence[tuple[UUID, str, UUID]]) -> None:
    """Note which payment each refund (order, refund id) gave back."""
    if marks:
        await session.execute(
            MARK_REFUNDS,
            {
                "order_ids": [mark[0] for mark in marks],
                "refund_ids": [mark[1] for mark in marks],
                "payment_keys": [mark[2] for mark in marks],
            },
        )


async def list_requests(
    session: AsyncSession, *, state: str | None, after: tuple[datetime, UUID] | None, limit: int
) -> list[Row[Any]]:
    """Return a page of refund requests, oldest first."""
    after_at, after_key = after or (None, None)
    rows = await session.execute(
        LIST_REQUESTS, {"state": state, "after_at": after_at, "after_key": after_key, "limit": limit}
    )
    return list(rows.all())
