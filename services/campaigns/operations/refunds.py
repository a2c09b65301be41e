"""Refunds that storefronts report: they answer our requests, or let a member go."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncSession

from services.campaigns.operations.books import Books, locked
from services.campaigns.repository import activities as activity_rows
from services.campaigns.repository import payments as payment_rows

KEY_PREFIX = "campaigns:"


@dataclass(frozen=True, slots=True, kw_only=True)
class Refund:
    """Money of an order that went back; `refund_key` names the request that it answers, if it does."""

    order_id: UUID
    refund_id: str
    refund_key: str | None
    amount_minor: int
    complete: bool
    refunded_at: datetime

    @property
    def payment_key(self) -> UUID | None:
        """The payment that the key names, if it is one of our keys."""
        if self.refund_key is None or not self.refund_key.startswith(KEY_PREFIX):
            return None
        try:
            return UUID(self.refund_key.removeprefix(KEY_PREFIX))
        except ValueError:
            return None


async def answer(session: AsyncSession, refunds: Sequence[Refund]) -> None:
    """Take in refunds, each once; one that comes before its payment waits for it."""
    order_ids = sorted({refund.order_id for refund in refunds})
    keys = sorted({key for refund in refunds if (key := refund.payment_key) is not None})
    places = await payment_rows.places_of(session, order_ids, keys)
    books = await locked(session, {row.group_id for row in places}, {row.seat_id for row in places})
    fresh = await payment_rows.insert_refunds(session, refunds)
    rows = await payment_rows.lock_of(session, order_ids, keys)
    ledger = _Ledger(books, rows, await activity_rows.now(session))
    for refund in sorted(refunds, key=lambda refund: (refund.refunded_at, refund.refund_id)):
        if (refund.order_id, refund.refund_id) in fresh:
            fresh.discard((refund.order_id, refund.refund_id))
            ledger.apply(refund)
    await payment_rows.update(session, ledger.changes)
    await payment_rows.mark_refunds(session, ledger.marks)
    await books.save(session, ledger.now)


async def refund_requests(
    session: AsyncSession, *, state: str | None, after: tuple[datetime, UUID] | None, limit: int
) -> list[Row[Any]]:
    """Return a page of refund requests, oldest first."""
    return await payment_rows.list_requests(session, state=state, after=after, limit=limit)


class _Ledger:
    """The payments of some orders while refunds are counted against them."""

    def __init__(self, books: Books, rows: Sequence[Row[Any]], now: datetime) -> None:
        self.now = now
        self.changes: dict[UUID, tuple[str, int, datetime | None]] = {}
        self.marks: list[tuple[UUID, str, UUID]] = []
        self._books = books
        self._seats = {
            seat_id: seat for group in books.groups.values() for seat_id, seat in group.seats.items()
        }
        self._rows = {row.payment_key: row for row in rows}
        self._state = {row.payment_key: row.state for row in rows}
        self._refunded = {row.payment_key: row.refunded_minor for row in rows}
        self._of_order: dict[UUID, list[UUID]] = defaultdict(list)
        for row in rows:
            self._of_order[row.order_id].append(row.payment_key)

    def apply(self, refund: Refund) -> None:
        """Count one refund against the payment it names, else against the order's, requested ones first."""
        key = refund.payment_key
        if key is None or key not in self._rows:
            key = self._likeliest(refund.order_id)
        if key is None:
            return
        self.marks.append((refund.order_id, refund.refund_id, key))
        row = self._rows[key]
        refunded = min(self._refunded[key] + refund.amount_minor, 2**63 - 1)
        self._refunded[key] = refunded
        done = refund.complete or refunded >= row.amount_minor
        if done and self._state[key] != "refunded":
            self._return(key)
        at = self.now if self._state[key] == "refunded" else None
        self.changes[key] = (self._state[key], refunded, row.refunded_at or at)

    def _likeliest(self, order_id: UUID) -> UUID | None:
        preference = {"refund_requested": 0, "captured": 1, "confirmed": 2, "refunded": 3}
        keys = self._of_order[order_id]
        return min(keys, key=lambda key: (preference[self._state[key]], str(key)), default=None)

    def _return(self, key: UUID) -> None:
        """Note that a payment is wholly back, and what that means for its seat."""
        was, self._state[key] = self._state[key], "refunded"
        seat = self._seats.get(self._rows[key].seat_id)
        if seat is None:
            return
        if was == "captured":
            self._books.leave(seat, self.now)
        elif was == "confirmed":
            self._books.release_units(seat)
        elif seat.state == "refund_pending" and seat.order_id == self._rows[key].order_id:
            seat.state = "refunded"
