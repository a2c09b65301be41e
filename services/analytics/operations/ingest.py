"""Taking facts in: a batch of events in a dozen statements, counted once whatever order they come in."""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from services.analytics import repository
from services.analytics.domain import (
    Batch,
    Deltas,
    EventFact,
    LineFact,
    OrderFact,
    RefundFact,
    Title,
    impossible_amount,
    impossible_time,
    refund_shares,
)
from services.analytics.errors import ImpossibleAmount, ImpossibleTime, UnknownCurrency
from services.analytics.operations.books import Ingested, keep_books
from shared.clock import utc_now
from shared.money import is_currency

__all__ = ["ingest"]

TIER_KINDS = frozenset({"member.tier_upgraded", "member.tier_downgraded"})
STAGE_KIND = "member.stage_changed"


async def ingest(session: AsyncSession, batch: Batch, *, now: datetime | None = None) -> Ingested:
    """Store the facts of a batch and add those that are new to every summary.

    Raises a refusal for a fact that cannot be true; the whole batch is then undone, and the consumer halves
    it until the fact stands alone.
    """
    now = now or utc_now()
    _refuse_the_impossible(batch, now)
    deltas = Deltas()
    orders = await _store_orders(session, batch)
    refunds = await _store_refunds(session, batch)
    events = await _store_events(session, batch)
    lines = _grouped(batch.lines, {order.order_id for order in orders})
    deltas.add_orders(orders, lines)
    deltas.add_refunds(refunds)
    deltas.add_events(events)
    # The members' rows come first: an order and a refund of one member that are stored by two transactions
    # at once wait for each other here, and whoever comes second sees the other's fact in what follows.
    await repository.add_members(session, deltas)
    await _match_refunds(session, orders, refunds, deltas)
    await _name(session, batch, orders, events)
    await repository.add_sales(session, deltas)
    await repository.add_products(session, deltas)
    await repository.add_counts(session, deltas)
    await repository.add_campaign_counts(session, deltas)
    await repository.add_campaign_sales(session, deltas)
    known = {order.event_id for order in orders} | {refund.event_id for refund in refunds}
    known.update(event.event_id for event in events)
    return await keep_books(session, batch.origins, known, now.date())


def _refuse_the_impossible(batch: Batch, now: datetime) -> None:
    for order in batch.orders:
        _check(order.occurred_at, order.total_minor, order.currency, now)
        if impossible_amount(max(order.units, order.shipping_minor, order.discount_minor, order.tax_minor)):
            raise ImpossibleAmount
    for line in batch.lines:
        if impossible_amount(max(line.revenue_minor, line.cost_minor or 0)):
            raise ImpossibleAmount
    for refund in batch.refunds:
        _check(refund.occurred_at, refund.amount_minor, refund.currency, now)
    for event in batch.events:
        _check(event.occurred_at, event.amount, event.currency, now)


def _check(occurred_at: datetime, amount: int, currency: str, now: datetime) -> None:
    if impossible_time(occurred_at, now):
        raise ImpossibleTime(f"It says {occurred_at.isoformat()}.")
    if impossible_amount(amount):
        raise ImpossibleAmount(f"It says {amount}.")
    if currency and not is_currency(currency):
        raise UnknownCurrency(f"It says {currency!r}.")


def _place(key: UUID) -> int:
    # The order of the numbers is that of the ids, and comparing numbers is several times as fast.
    return key.int


async def _store_orders(session: AsyncSession, batch: Batch) -> list[OrderFact]:
    """Store the orders and their lines; return those that are new, each once."""
    if not batch.orders:
        return []
    by_id = {order.order_id: order for order in reversed(batch.orders)}
    new = await repository.store_orders(session, [by_id[key] for key in sorted(by_id, key=_place)])
    lines = [line for line in _each_once(batch.lines) if line.order_id in new]
    if lines:
        await repository.store_lines(
            session, sorted(lines, key=lambda line: (line.order_id.int, line.line_no))
        )
    return [by_id[key] for key in new]


def _each_once(lines: Sequence[LineFact]) -> Iterable[LineFact]:
    # The same order twice in a batch brings its lines twice.
    return {(line.order_id, line.line_no): line for line in reversed(lines)}.values()


async def _store_refunds(session: AsyncSession, batch: Batch) -> list[RefundFact]:
    if not batch.refunds:
        return []
    by_id = {(refund.order_id, refund.refund_id): refund for refund in reversed(batch.refunds)}
    new = await repository.store_refunds(session, [by_id[key] for key in sorted(by_id)])
    return [by_id[key] for key in new]


async def _store_events(session: AsyncSession, batch: Batch) -> list[EventFact]:
    if not batch.events:
        return []
    by_id = {(event.kind, event.fact_id): event for event in reversed(batch.events)}
    keys = sorted(by_id, key=lambda key: (key[0], key[1].int))
    new = await repository.store_events(session, [by_id[key] for key in keys])
    return [by_id[key] for key in new]


def _grouped(lines: Sequence[LineFact], orders: Collection[UUID]) -> dict[UUID, list[LineFact]]:
    found: dict[UUID, list[LineFact]] = {}
    for line in _each_once(lines):
        if line.order_id in orders:
            found.setdefault(line.order_id, []).append(line)
    return found


async def _match_refunds(
    session: AsyncSession, orders: Sequence[OrderFact], refunds: Sequence[RefundFact], deltas: Deltas
) -> None:
    """Let refunds restate the day, channel and products of their orders, whichever of the two came first."""
    touched = {order.order_id for order in orders} | {refund.order_id for refund in refunds}
    matches = await repository.match_refunds(session, touched) if touched else []
    arrived = {(refund.order_id, refund.refund_id) for refund in refunds}
    met = {(match.order_id, match.refund_id) for match in matches}
    for refund in refunds:
        if (refund.order_id, refund.refund_id) not in met:
            deltas.add_waiting(refund, +1)
    if not matches:
        return
    lines = await repository.order_lines(session, {match.order_id for match in matches})
    allocations: list[tuple[UUID, str, str, int]] = []
    for match in matches:
        if (match.order_id, match.refund_id) not in arrived:
            deltas.add_waiting(match, -1)
        shares = refund_shares(
            match.amount_minor,
            match.shipping_minor,
            match.lines,
            lines.get(match.order_id, ()),
            match.order_total_minor,
        )
        deltas.add_match(match, shares)
        allocations += [
            (match.order_id, match.refund_id, product_id, share) for product_id, share in shares.items()
        ]
    if allocations:
        await repository.store_allocations(session, sorted(allocations))


async def _name(
    session: AsyncSession, batch: Batch, orders: Sequence[OrderFact], events: Sequence[EventFact]
) -> None:
    """Keep what is not a sum but the latest word: titles of products, tiers, stages, merged ids."""
    if orders and batch.titles:
        latest: dict[tuple[str, str], Title] = {}
        for title in batch.titles:
            key = (title.source, title.product_id)
            known = latest.get(key)
            if known is None or (known.sold_at, known.title) < (title.sold_at, title.title):
                latest[key] = title
        await repository.name_products(session, [latest[key] for key in sorted(latest)])
    tiers = [event for event in events if event.kind in TIER_KINDS]
    if tiers:
        await repository.set_tiers(session, tiers)
    stages = [event for event in events if event.kind == STAGE_KIND]
    if stages:
        await repository.set_stages(session, stages)
    if batch.aliases:
        await repository.alias_members(session, batch.aliases)
