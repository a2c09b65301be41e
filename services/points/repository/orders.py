"""Statements on orders as the ledger knows them: what they earned, and their refunds."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncSession

from services.points.domain import EarnedOrder
from services.points.repository.details import EntryColumns, grant_of
from shared.writing import columns


class Refund(NamedTuple):
    """A refund of an order, in the order of ADD_REFUNDS."""

    order_id: UUID
    refund_id: str
    member_id: UUID
    currency: str
    amount_minor: int
    complete: bool
    actor: str
    refunded_at: datetime
    shipping_minor: int = 0
    # JSON rows of [number, units, minor units], if the refund names lines.
    lines: str | None = None

    def rows(self) -> list[tuple[int, int, int]]:
        """Return the lines that it names."""
        return [] if self.lines is None else _ROWS.decode(self.lines)


_ROWS = msgspec.json.Decoder(list[tuple[int, int, int]])

OWNERS = text(
    """
    SELECT DISTINCT coalesce(origin_id, member_id) FROM entries
    WHERE about_id = ANY(CAST(:order_ids AS uuid[])) AND kind = 'earn' AND reference = ''
    """
)

EARNED_ORDERS = text(
    """
    SELECT entries.about_id AS order_id, coalesce(entries.origin_id, entries.member_id) AS member_id,
           entries.id, entries.points,
           entries.rule_version, entries.basis_minor, entries.currency, entries.occurred_at,
           CAST(entries.detail AS text) AS detail,
           coalesce(lots.expired_points, 0) AS expired_points,
           coalesce(refund.amount_minor, 0) AS refunded_minor,
           coalesce(refund.clawed_back_points, 0) AS clawed_back_points,
           coalesce(refund.complete, false) AS complete,
           coalesce(refund.shipping_minor, 0) AS shipping_minor, refund.lines
    FROM entries
         LEFT JOIN lots ON lots.id = entries.id
         LEFT JOIN LATERAL (
             SELECT sum(amount_minor) AS amount_minor, sum(clawed_back_points) AS clawed_back_points,
                    bool_or(complete) AS complete, sum(shipping_minor) AS shipping_minor,
                    array_agg(CAST(lines AS text)) FILTER (WHERE lines IS NOT NULL) AS lines
             FROM order_refunds
             WHERE order_refunds.order_id = entries.about_id AND applied_at IS NOT NULL
         ) AS refund ON true
    WHERE entries.about_id = ANY(CAST(:order_ids AS uuid[])) AND entries.kind = 'earn'
          AND entries.reference = ''
    """
)

ADD_REFUNDS = text(
    """
    INSERT INTO order_refunds (order_id, refund_id, member_id, currency, amount_minor, complete, actor,
                               refunded_at, shipping_minor, lines)
    SELECT order_id, refund_id, member_id, currency, amount_minor, complete, actor, refunded_at,
           shipping_minor, CAST(lines AS json)
    FROM unnest(CAST(:p0 AS uuid[]), CAST(:p1 AS text[]), CAST(:p2 AS uuid[]), CAST(:p3 AS text[]),
                CAST(:p4 AS bigint[]), CAST(:p5 AS boolean[]), CAST(:p6 AS text[]),
                CAST(:p7 AS timestamptz[]), CAST(:p8 AS bigint[]), CAST(:p9 AS text[]))
         AS refund(order_id, refund_id, member_id, currency, amount_minor, complete, actor, refunded_at,
                   shipping_minor, lines)
    ON CONFLICT (order_id, refund_id) DO NOTHING
    RETURNING order_id, refund_id
    """
)

PARKED_REFUNDS = text(
    """
    SELECT order_id, refund_id, member_id, currency, amount_minor, complete, actor, refunded_at,
           shipping_minor, CAST(lines AS text) AS lines
    FROM order_refunds
    WHERE order_id = ANY(CAST(:order_ids AS uuid[])) AND applied_at IS NULL
    ORDER BY order_id, refunded_at, refund_id
    """
)

# Those in another currency than their order stay parked.
PARKED_ORDERS = text(
    """
    SELECT DISTINCT refund.order_id
    FROM order_refunds AS refund
         JOIN entries ON entries.about_id = refund.order_id AND entries.kind = 'earn'
                         AND entries.reference = '' AND entries.currency = refund.currency
    WHERE refund.applied_at IS NULL
    LIMIT :limit
    """
)

APPLY_REFUNDS = text(
    """
    UPDATE order_refunds SET applied_at = :now, clawed_back_points = applied.points
    FROM unnest(CAST(:p0 AS uuid[]), CAST(:p1 AS text[]), CAST(:p2 AS bigint[]))
         AS applied(order_id, refund_id, points)
    WHERE order_refunds.order_id = applied.order_id AND order_refunds.refund_id = applied.refund_id
    """
)


async def owners(session: AsyncSession, order_ids: Sequence[UUID]) -> set[UUID]:
    """Return the members whose accounts earned on these orders."""
    return set((await session.scalars(OWNERS, {"order_ids": list(order_ids)})).all())


async def earned_orders(session: AsyncSession, order_ids: Sequence[UUID]) -> dict[UUID, EarnedOrder]:
    """Return those of the orders that have earned, as far as they are refunded."""
    rows = await session.execute(EARNED_ORDERS, {"order_ids": list(order_ids)})
    return {row.order_id: _earned_order(row) for row in rows}


def _earned_order(row: Row[Any]) -> EarnedOrder:
    # Sums of bigints are numeric, which the driver hands over as Decimal.
    columns = EntryColumns(row.order_id, row.currency, row.basis_minor, row.occurred_at)
    order = EarnedOrder(
        order_id=row.order_id,
        member_id=row.member_id,
        entry_id=row.id,
        granted_points=row.points,
        rule_version=row.rule_version,
        total_minor=row.basis_minor,
        currency=row.currency,
        expired_points=row.expired_points,
        refunded_minor=int(row.refunded_minor),
        clawed_back_points=int(row.clawed_back_points),
        complete=row.complete,
        refunded_shipping_minor=int(row.shipping_minor),
        grant=grant_of(row.detail, columns),
    )
    for lines in row.lines or ():
        order.refund(0, complete=False, lines=_ROWS.decode(lines))
    return order


async def add_refunds(session: AsyncSession, refunds: Sequence[Refund]) -> set[tuple[UUID, str]]:
    """Remember refunds, parked at first; return which of them are new."""
    if not refunds:
        return set()
    rows = await session.execute(ADD_REFUNDS, columns(sorted(refunds)))
    return {(row.order_id, row.refund_id) for row in rows}


async def parked_refunds(session: AsyncSession, order_ids: Sequence[UUID]) -> list[Refund]:
    """Return refunds that came before their order was paid."""
    return [Refund(*row) for row in await session.execute(PARKED_REFUNDS, {"order_ids": list(order_ids)})]


async def parked_orders(session: AsyncSession, *, limit: int) -> list[UUID]:
    """Return orders that have earned and of which a refund is parked all the same."""
    return list((await session.scalars(PARKED_ORDERS, {"limit": limit})).all())


async def apply_refunds(
    session: AsyncSession, applied: Sequence[tuple[UUID, str, int]], *, now: datetime
) -> None:
    """Mark (order, refund, points clawed back) as applied."""
    if applied:
        await session.execute(APPLY_REFUNDS, columns(applied) | {"now": now})
