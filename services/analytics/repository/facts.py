"""Storing facts. A fact that is there already is not stored again; who asks learns which ones were new."""

from collections.abc import Collection, Sequence
from typing import Any, Final
from uuid import UUID

from sqlalchemy import select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from services.analytics import domain, models
from services.analytics.repository.arrays import columns_of, insert_rows

__all__ = [
    "alias_members",
    "match_refunds",
    "order_lines",
    "store_allocations",
    "store_events",
    "store_lines",
    "store_orders",
    "store_refunds",
]

TABLES: Final = models.Base.metadata.tables
ORDERS: Final = TABLES["order_facts"]
LINES: Final = TABLES["order_line_facts"]
REFUNDS: Final = TABLES["refund_facts"]
EVENTS: Final = TABLES["event_facts"]
ALLOCATIONS: Final = TABLES["refund_allocations"]

STORE_ORDERS = (
    insert_rows(ORDERS, domain.OrderFact._fields).on_conflict_do_nothing().returning(ORDERS.c.order_id)
)
STORE_LINES = insert_rows(LINES, domain.LineFact._fields).on_conflict_do_nothing()
STORE_REFUNDS = (
    insert_rows(REFUNDS, domain.RefundFact._fields)
    .on_conflict_do_nothing()
    .returning(REFUNDS.c.order_id, REFUNDS.c.refund_id)
)
STORE_EVENTS = (
    insert_rows(EVENTS, domain.EventFact._fields)
    .on_conflict_do_nothing()
    .returning(EVENTS.c.kind, EVENTS.c.fact_id)
)
STORE_ALLOCATIONS = insert_rows(ALLOCATIONS, ("order_id", "refund_id", "product_id", "amount_minor"))
# Of two statements about the same id the one with the higher revision holds, whichever arrives first.
ALIAS_MEMBERS = text(
    """
    INSERT INTO member_aliases AS known (merged_id, surviving_id, revision, merged_at, event_id)
    SELECT DISTINCT ON (merged_id) merged_id, surviving_id, revision, merged_at, event_id
    FROM unnest(CAST(:merged_id AS uuid[]), CAST(:surviving_id AS uuid[]), CAST(:revision AS bigint[]),
                CAST(:merged_at AS timestamptz[]), CAST(:event_id AS uuid[]))
        AS new (merged_id, surviving_id, revision, merged_at, event_id)
    WHERE merged_id IS DISTINCT FROM surviving_id
    ORDER BY merged_id, revision DESC, merged_at DESC, event_id DESC
    ON CONFLICT (merged_id) DO UPDATE
    SET surviving_id = excluded.surviving_id, revision = excluded.revision, merged_at = excluded.merged_at,
        event_id = excluded.event_id
    WHERE (known.revision, known.merged_at, known.event_id)
        < (excluded.revision, excluded.merged_at, excluded.event_id)
    """
)
# One statement for both ways round: refunds that were waiting for these orders, and refunds among these
# orders that come after them. The flag on the row is what makes a refund count once.
MATCH_REFUNDS = (
    update(REFUNDS)
    .values(matched=True)
    .where(REFUNDS.c.order_id == ORDERS.c.order_id)
    .where(~REFUNDS.c.matched)
    .where(REFUNDS.c.order_id == text("ANY(CAST(:order_ids AS uuid[]))"))
    .returning(
        REFUNDS.c.order_id,
        REFUNDS.c.refund_id,
        REFUNDS.c.amount_minor,
        REFUNDS.c.shipping_minor,
        REFUNDS.c.day,
        REFUNDS.c.source,
        REFUNDS.c.shop_id,
        REFUNDS.c.currency,
        REFUNDS.c.lines,
        ORDERS.c.day.label("order_day"),
        ORDERS.c.shop_id.label("order_shop_id"),
        ORDERS.c.total_minor.label("order_total_minor"),
        ORDERS.c.channel,
        ORDERS.c.activity_id,
    )
)
ORDER_LINES = (
    select(LINES.c.order_id, LINES.c.line_no, LINES.c.product_id, LINES.c.revenue_minor)
    .where(LINES.c.order_id == text("ANY(CAST(:order_ids AS uuid[]))"))
    .order_by(LINES.c.order_id, LINES.c.line_no)
)


async def _store(
    session: AsyncSession, statement: Any, names: Sequence[str], rows: Sequence[Sequence[Any]]
) -> Any:
    return await session.execute(statement, columns_of(names, rows))


async def store_orders(session: AsyncSession, facts: Sequence[domain.OrderFact]) -> set[UUID]:
    """Store paid orders; return the ids of those that are new."""
    stored = await _store(session, STORE_ORDERS, domain.OrderFact._fields, facts)
    return set(stored.scalars())


async def store_lines(session: AsyncSession, facts: Sequence[domain.LineFact]) -> None:
    """Store lines of orders that are new."""
    await _store(session, STORE_LINES, domain.LineFact._fields, facts)


async def store_refunds(session: AsyncSession, facts: Sequence[domain.RefundFact]) -> set[tuple[UUID, str]]:
    """Store refunds; return order and refund id of those that are new."""
    stored = await _store(session, STORE_REFUNDS, domain.RefundFact._fields, facts)
    return {(row.order_id, row.refund_id) for row in stored}


async def store_events(session: AsyncSession, facts: Sequence[domain.EventFact]) -> set[tuple[str, UUID]]:
    """Store other facts; return kind and id of those that are new."""
    stored = await _store(session, STORE_EVENTS, domain.EventFact._fields, facts)
    return {(row.kind, row.fact_id) for row in stored}


async def alias_members(session: AsyncSession, aliases: Sequence[domain.Alias]) -> None:
    """Remember which member ids became whose."""
    await _store(session, ALIAS_MEMBERS, domain.Alias._fields, aliases)


async def match_refunds(session: AsyncSession, order_ids: Collection[UUID]) -> list[domain.Match]:
    """Bring refunds of these orders together with their order, once each, if both are there."""
    matched = await session.execute(MATCH_REFUNDS, {"order_ids": list(order_ids)})
    return [domain.Match(*row) for row in matched]


async def order_lines(
    session: AsyncSession, order_ids: Collection[UUID]
) -> dict[UUID, list[domain.OrderLine]]:
    """The stored lines of these orders, by order."""
    found: dict[UUID, list[domain.OrderLine]] = {}
    for order_id, *line in await session.execute(ORDER_LINES, {"order_ids": list(order_ids)}):
        found.setdefault(order_id, []).append(domain.OrderLine(*line))
    return found


async def store_allocations(session: AsyncSession, rows: Sequence[tuple[UUID, str, str, int]]) -> None:
    """Keep which products a matched refund gave back: order, refund, product, amount."""
    await _store(session, STORE_ALLOCATIONS, ("order_id", "refund_id", "product_id", "amount_minor"), rows)
