"""Payments decide: a captured payment ends confirmed with its group, or goes back with a reason."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from services.campaigns.domain import Payment, Seat, why_refund
from services.campaigns.operations.books import Books, locked, refund_requested
from services.campaigns.repository import activities as activity_rows
from services.campaigns.repository import groups as group_rows
from services.campaigns.repository import payments as payment_rows
from services.campaigns.settings import settings

# (payment, state, reason, minor units that went back before it arrived)
Decision = tuple[Payment, str, str | None, int]


async def settle(session: AsyncSession, payments: Sequence[Payment]) -> None:
    """Decide captured payments, each once however often it is told, in the order they were made."""
    unique = {payment.payment_key: payment for payment in payments}
    places = await group_rows.seat_places(session, list({payment.seat_id for payment in unique.values()}))
    group_ids = {place.group_id for place in places.values()}
    books = await locked(session, group_ids, places)
    # Read under the locks: the same payment always names the same seat, and so waits for the same group.
    known = await payment_rows.known(session, list(unique))
    fresh = [payment for key, payment in unique.items() if key not in known]
    if not fresh:
        return
    fresh.sort(key=lambda payment: (payment.paid_at, str(payment.payment_key)))
    seats = {seat_id: seat for group in books.groups.values() for seat_id, seat in group.seats.items()}
    if any(payment.seat_id in seats and seats[payment.seat_id].state == "lapsed" for payment in fresh):
        await _lock_everything(session, books)
    early = await payment_rows.early_refunds(session, [payment.order_id for payment in fresh])
    now = await activity_rows.now(session)
    decisions = [_decide(books, seats.get(payment.seat_id), payment, early, now) for payment in fresh]
    rows = await payment_rows.insert(session, decisions, now)
    await payment_rows.assign_early_refunds(
        session, {payment.order_id: payment.payment_key for payment in fresh if payment.order_id in early}
    )
    books.events += [refund_requested(row) for row in rows if row.state == "refund_requested"]
    await books.save(session, now)


async def _lock_everything(session: AsyncSession, books: Books) -> None:
    """Lock all that these groups can move, since a lapsed seat may take stock and limits again."""
    groups = books.groups.values()
    await books.lock_offers(session, {(group.activity_id, group.sku) for group in groups})
    members = {(seat.activity_id, seat.member_id) for group in groups for seat in group.seats.values()}
    initiators = {(group.activity_id, group.initiator_id) for group in groups}
    await books.lock_usage(session, members | initiators)


def _decide(
    books: Books,
    seat: Seat | None,
    payment: Payment,
    early: dict[UUID, tuple[int, bool]],
    now: datetime,
) -> Decision:
    refunded, complete = early.get(payment.order_id, (0, False))
    if complete or (refunded and refunded >= payment.total_minor):
        # The money is back already: there is nothing to confirm, and the seat is free again.
        if seat is not None and seat.state == "held" and payment.group_id == seat.group_id:
            books.leave(seat, now)
        return payment, "refunded", "refunded_before", payment.total_minor
    group = None if seat is None else books.groups[seat.group_id]
    skew = timedelta(seconds=settings().clock_skew_seconds)
    reason = why_refund(payment, seat, group, skew)
    if reason is None and seat is not None and seat.state == "lapsed":
        reason = _retake(books, seat)
    if reason is not None or seat is None:
        return payment, "refund_requested", reason, refunded
    books.pay(seat, payment.order_id, payment.paid_at, now)
    return payment, "captured", None, refunded


def _retake(books: Books, seat: Seat) -> str | None:
    """Take a seat again whose payment was in time but told late; return why not, if there is no room."""
    group = books.groups[seat.group_id]
    seat_no = group.free_seat_no()
    if seat_no is None:
        return "group_full"
    if group.seat_of(books.person_ids(seat.member_id)) is not None:
        return "duplicate"
    offer = books.offer((seat.activity_id, seat.sku))
    units = books.used((seat.activity_id, seat.member_id)).units
    if offer is None or offer.stock_left < seat.quantity:
        return "out_of_stock"
    if offer.units_per_member is not None and units + seat.quantity > offer.units_per_member:
        return "member_limit_exceeded"
    if group.state == "failed":
        taken = books.used((group.activity_id, group.initiator_id)).open_groups
        if offer.groups_per_member is not None and taken >= offer.groups_per_member:
            return "group_limit_exceeded"
        books.revive(group)
    seat.seat_no, seat.state = seat_no, "held"
    books.take(seat)
    return None
