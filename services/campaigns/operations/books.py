"""The books of some locked groups: decisions are made in memory and written as a few statements.

Whoever holds the groups' locks owns their seats. Locks are taken in one order everywhere: activity, group,
stock, member. `Books` keeps what was taken and given back, so that stock and limits move by exactly that.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncSession

from services.campaigns.domain import (
    LIVE,
    PAID,
    UNPAID,
    Group,
    Offer,
    Seat,
    Usage,
    group_deadline,
    leader_after,
    refund_reason,
)
from services.campaigns.repository import activities as stock_rows
from services.campaigns.repository import groups as group_rows
from services.campaigns.repository import links as link_rows
from services.campaigns.repository import payments as payment_rows
from shared.aliases import ids_of_persons
from shared.events import (
    Event,
    GroupExpired,
    GroupFormed,
    GroupJoined,
    GroupOpened,
    GroupSeatLapsed,
    RefundRequested,
)
from shared.ids import derived_id
from shared.outbox import emit

SkuKey = tuple[UUID, str]
UsageKey = tuple[UUID, UUID]


def first_link_id(group_id: UUID) -> UUID:
    """Return the id of the link that a group has from the moment it opens."""
    return derived_id("link", str(group_id))


class Books:
    """Locked groups, what is on offer, what members have taken, and everything that changes."""

    def __init__(self, groups: dict[UUID, Group]) -> None:
        self.groups = groups
        self.offers: dict[SkuKey, Offer] = {}
        self.usage: dict[UsageKey, Usage] = {}
        self._persons: dict[UUID, list[UUID]] = {}
        self.events: list[Event] = []
        self._new: list[Group] = []
        self._stock: dict[SkuKey, int] = defaultdict(int)
        self._used: dict[UsageKey, Usage] = defaultdict(Usage)
        self._opened: list[Group] = []
        self._confirmed: list[UUID] = []
        self._refunds: dict[UUID, str] = {}

    def offer(self, key: SkuKey) -> Offer | None:
        """Return what is on offer, with the stock as it stands after the changes so far."""
        offer = self.offers.get(key)
        return None if offer is None else replace(offer, stock_left=offer.stock_left + self._stock[key])

    def used(self, key: UsageKey) -> Usage:
        """Return what a person has taken under all ids, as it stands after the changes so far."""
        activity_id, member_id = key
        taken = [
            counter
            for each in self.person_ids(member_id)
            for counter in (self.usage.get((activity_id, each), Usage()), self._used[activity_id, each])
        ]
        return Usage(sum(each.units for each in taken), sum(each.open_groups for each in taken))

    def person_ids(self, member_id: UUID) -> list[UUID]:
        """Return all ids of the person behind a member whose usage is locked."""
        return self._persons.get(member_id, [member_id])

    def add_group(self, group: Group) -> None:
        """Add a group that is being opened."""
        self.groups[group.group_id] = group
        self._new.append(group)
        self._used[group.activity_id, group.initiator_id].open_groups += 1

    def revive(self, group: Group) -> None:
        """Let a group that failed unpaid wait for its first payment again."""
        group.state, group.reason, group.decided_at = "pending", None, None
        self._used[group.activity_id, group.initiator_id].open_groups += 1

    def take(self, seat: Seat) -> None:
        """Take a seat, its stock and the member's units: a new one, or one that had lapsed."""
        self.groups[seat.group_id].seats[seat.seat_id] = seat
        self._stock[seat.activity_id, seat.sku] -= seat.quantity
        self._used[seat.activity_id, seat.member_id].units += seat.quantity

    def _give_back(self, seat: Seat, state: str) -> None:
        seat.state = state
        self._stock[seat.activity_id, seat.sku] += seat.quantity
        self._used[seat.activity_id, seat.member_id].units -= seat.quantity

    def lapse(self, seat: Seat, now: datetime) -> None:
        """Give a held seat back; a group whose initiator never paid is over with it."""
        self._give_back(seat, "lapsed")
        self.events.append(
            GroupSeatLapsed(
                group_id=seat.group_id,
                activity_id=seat.activity_id,
                seat_id=seat.seat_id,
                member_id=seat.member_id,
                lapsed_at=now,
            )
        )
        group = self.groups[seat.group_id]
        if group.state == "pending":
            self.fail(group, UNPAID, now)

    def lapse_due(self, now: datetime) -> int:
        """Give back every hold that is over; return how many."""
        due = [
            seat
            for group in self.groups.values()
            for seat in group.live()
            if seat.state == "held" and seat.lapses_at <= now
        ]
        for seat in sorted(due, key=lambda seat: (seat.lapses_at, seat.seat_id)):
            self.lapse(seat, now)
        return len(due)

    def pay(self, seat: Seat, order_id: UUID, paid_at: datetime, now: datetime) -> None:
        """Count a payment for a held seat: it opens the group, joins it, and perhaps forms it."""
        group = self.groups[seat.group_id]
        seat.state, seat.order_id, seat.paid_at = "paid", order_id, paid_at
        if group.state == "pending":
            self._open(group, paid_at)
        self.events.append(
            GroupJoined(
                group_id=group.group_id,
                activity_id=group.activity_id,
                seat_id=seat.seat_id,
                member_id=seat.member_id,
                seat_no=seat.seat_no,
                paid_at=paid_at,
                order_id=order_id,
                link_id=seat.link_id,
                generation=seat.generation,
            )
        )
        if len(group.paid()) == group.group_size:
            self._form(group, now)

    def _open(self, group: Group, paid_at: datetime) -> None:
        group.state, group.opened_at = "open", paid_at
        group.deadline_at = group_deadline(paid_at, group.ends_at)
        self._opened.append(group)
        self.events.append(
            GroupOpened(
                group_id=group.group_id,
                activity_id=group.activity_id,
                shop_id=group.shop_id,
                sku=group.sku,
                group_size=group.group_size,
                initiator_id=group.initiator_id,
                opened_at=paid_at,
                deadline_at=group.deadline_at,
                price_minor=group.price_minor,
                currency=group.currency,
            )
        )

    def _form(self, group: Group, now: datetime) -> None:
        paid = group.paid()
        group.state, group.decided_at = "formed", now
        self._used[group.activity_id, group.initiator_id].open_groups -= 1
        for seat in paid:
            seat.state = "confirmed"
            self._confirmed.append(seat.seat_id)
        self.events.append(
            GroupFormed(
                group_id=group.group_id,
                activity_id=group.activity_id,
                member_ids=[seat.member_id for seat in paid],
                order_ids=[seat.order_id for seat in paid if seat.order_id is not None],
                formed_at=max(seat.paid_at for seat in paid if seat.paid_at is not None),
            )
        )

    def fail(self, group: Group, reason: str, now: datetime) -> None:
        """Fail a group: holds lapse, payers are refunded, stock and limits are given back."""
        was_opened = group.state != "pending"
        paid = group.paid()
        group.state, group.reason, group.decided_at = "failed", reason, now
        self._used[group.activity_id, group.initiator_id].open_groups -= 1
        for seat in list(group.live()):
            if seat.state in PAID:
                self._give_back(seat, "refund_pending")
                self._refunds[seat.seat_id] = refund_reason(reason)
            else:
                self.lapse(seat, now)
        if was_opened:
            self.events.append(
                GroupExpired(
                    group_id=group.group_id,
                    activity_id=group.activity_id,
                    member_ids=[seat.member_id for seat in paid],
                    order_ids=[seat.order_id for seat in paid if seat.order_id is not None],
                    missing_seats=group.group_size - len(paid),
                    expired_at=now,
                    reason=reason,
                )
            )

    def leave(self, seat: Seat, now: datetime) -> None:
        """Free the seat of a member whose money went back before the group was decided."""
        group = self.groups[seat.group_id]
        group.leader_id = leader_after(group, seat.member_id)
        self._give_back(seat, "refunded")
        if group.state in ("open", "closing") and not group.paid():
            self.fail(group, "abandoned", now)
        elif group.state == "pending":
            self.fail(group, UNPAID, now)

    def release_units(self, seat: Seat) -> None:
        """Give a member's units back after a refund that leaves the group formed; its goods stay sold."""
        seat.state = "refunded"
        self._used[seat.activity_id, seat.member_id].units -= seat.quantity

    async def lock_offers(self, session: AsyncSession, keys: set[SkuKey]) -> None:
        """Lock the stock of SKUs; the groups' locks come before, the members' after."""
        self.offers |= await stock_rows.lock_offers(session, keys)

    async def lock_usage(self, session: AsyncSession, keys: set[UsageKey]) -> None:
        """Lock what members have taken, and what the same persons took under other ids.

        A counter goes on being that of the id, so that two persons come apart again; a limit is the person's.
        """
        self._persons |= await ids_of_persons(session, {member_id for _, member_id in keys})
        keys = keys | {(activity_id, each) for activity_id, id_ in keys for each in self.person_ids(id_)}
        self.usage |= await group_rows.lock_usage(session, keys)

    async def save(self, session: AsyncSession, now: datetime) -> None:
        """Write everything that changed and say so."""
        await group_rows.insert_groups(session, self._new)
        await group_rows.update_groups(session, self._group_changes())
        changed = [
            seat
            for group in self.groups.values()
            for seat in group.seats.values()
            if seat.was and seat.state != seat.was
        ]
        # Seats that go make room, under the unique seat numbers, for those that come.
        await group_rows.update_seats(session, [seat for seat in changed if seat.state not in LIVE])
        await group_rows.update_seats(session, [seat for seat in changed if seat.state in LIVE])
        await group_rows.insert_seats(session, self._new_seats())
        await self._save_counters(session)
        await payment_rows.confirm(session, self._confirmed)
        for row in await payment_rows.request_refunds(session, self._refunds, now):
            self.events.append(refund_requested(row))
        await link_rows.insert_links(session, [_first_link(group) for group in self._opened])
        await emit(session, self.events)

    def _group_changes(self) -> list[tuple[Group, int, int]]:
        changes = []
        for group in self.groups.values():
            seats = group.seats.values()
            taken = sum((seat.state in LIVE) - (seat.was in LIVE) for seat in seats)
            paid = sum((seat.state in PAID) - (seat.was in PAID) for seat in seats)
            if not group.was or group.state != group.was or taken or paid:
                changes.append((group, taken, paid))
        return changes

    def _new_seats(self) -> list[Seat]:
        return [seat for group in self.groups.values() for seat in group.seats.values() if not seat.was]

    async def _save_counters(self, session: AsyncSession) -> None:
        stock = {key for key, delta in self._stock.items() if delta} - self.offers.keys()
        if stock:
            await stock_rows.lock_offers(session, stock)
        await stock_rows.move_stock(session, self._stock)
        used = {key for key, delta in self._used.items() if delta.units or delta.open_groups}
        if used - self.usage.keys():
            await group_rows.lock_usage(session, used - self.usage.keys())
        await group_rows.move_usage(session, self._used)


def _first_link(group: Group) -> dict[str, object]:
    return {
        "link_id": first_link_id(group.group_id),
        "activity_id": group.activity_id,
        "group_id": group.group_id,
        "sharer_id": group.initiator_id,
        "channel": None,
        "parent_link_id": None,
        "generation": 0,
    }


def refund_requested(row: Row[Any]) -> RefundRequested:
    """Return the request that the row of a payment calls for."""
    return RefundRequested(
        refund_key=refund_key(row.payment_key),
        order_id=row.order_id,
        member_id=row.member_id,
        source=row.source,
        shop_id=row.shop_id,
        external_order_id=row.external_order_id,
        payment_id=row.payment_id,
        amount_minor=row.amount_minor - row.refunded_minor,
        currency=row.currency,
        reason=row.reason,
        group_id=row.group_id,
        seat_id=row.seat_id,
        requested_at=row.requested_at,
    )


def refund_key(payment_key: UUID) -> str:
    """Return the key of a payment's refund: one payment goes back at most once."""
    return f"campaigns:{payment_key}"


async def locked(session: AsyncSession, group_ids: Iterable[UUID], seat_ids: Iterable[UUID] = ()) -> Books:
    """Lock groups and open their books."""
    groups = await group_rows.lock_groups(session, group_ids)
    await group_rows.load_seats(session, groups, list(seat_ids))
    return Books(groups)
