"""Opening groups and joining them: a seat is held for a while, and its payment follows."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncSession

from services.campaigns.domain import Group, Offer, Seat, why_not_join, why_not_open
from services.campaigns.errors import HOLD_REFUSALS, AmountTooLarge, GroupFull, GroupNotFound, SkuNotFound
from services.campaigns.operations.books import Books, SkuKey, locked
from services.campaigns.repository import activities as activity_rows
from services.campaigns.repository import groups as group_rows
from services.campaigns.repository import links as link_rows
from services.campaigns.settings import settings
from shared.ids import new_id
from shared.problems import Refusal
from shared.schemas import MAX_BIGINT

# Groups with holds that are over which one batch frees for their stock, and listed groups that it offers.
MAX_FREED_GROUPS = 200
MAX_ALTERNATIVES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenGroup:
    """Open a group for a SKU of an activity and hold its first seat."""

    activity_id: UUID
    sku: str
    member_id: UUID
    quantity: int = 1
    listed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinGroup:
    """Hold a seat in a group, brought by a link or not."""

    group_id: UUID
    member_id: UUID
    quantity: int = 1
    link_id: UUID | None = None
    generation: int = 0


@dataclass(frozen=True, slots=True)
class Held:
    """A seat that waits for its payment, in a group of this state."""

    seat: Seat
    group_state: str


async def open_groups(session: AsyncSession, commands: Sequence[OpenGroup]) -> list[Held | Refusal]:
    """Open groups with their first seats held; each is pending until that seat is paid."""
    await activity_rows.share_activities(session, sorted({command.activity_id for command in commands}))
    keys = {(command.activity_id, command.sku) for command in commands}
    members = {(command.activity_id, command.member_id) for command in commands}
    books, now = await _prepare(session, set(), keys, members)
    results = [_open(books, command, now) for command in commands]
    await books.save(session, now)
    return results


async def join_groups(session: AsyncSession, commands: Sequence[JoinGroup]) -> list[Held | Refusal]:
    """Hold seats in groups, in the order of the commands; who comes too late learns what else to do."""
    places = await group_rows.group_places(session, [command.group_id for command in commands])
    members = {
        (places[command.group_id][0], command.member_id) for command in commands if command.group_id in places
    }
    books, now = await _prepare(session, set(places), set(places.values()), members)
    results = [_join(books, command, now) for command in commands]
    await books.save(session, now)
    return await _with_alternatives(session, commands, results, places)


async def _prepare(
    session: AsyncSession, group_ids: set[UUID], keys: set[SkuKey], members: set[tuple[UUID, UUID]]
) -> tuple[Books, datetime]:
    """Lock groups, stock and members in that order, give back what is over, and read the clock last."""
    due = await group_rows.due_groups_of_skus(session, keys, MAX_FREED_GROUPS)
    books = await locked(session, group_ids | set(due))
    books.lapse_due(await activity_rows.now(session))
    await books.lock_offers(session, keys)
    lapsed = {
        (seat.activity_id, seat.member_id)
        for group in books.groups.values()
        for seat in group.seats.values()
        if seat.state == "lapsed"
    }
    await books.lock_usage(session, members | lapsed)
    # Only now has every lock been waited for.
    return books, await activity_rows.now(session)


def _open(books: Books, command: OpenGroup, now: datetime) -> Held | Refusal:
    key = (command.activity_id, command.sku)
    offer = books.offer(key)
    if offer is None:
        return SkuNotFound()
    usage = books.used((command.activity_id, command.member_id))
    code = why_not_open(offer, usage, command.quantity, now)
    if code is not None:
        return _refusal(code, offer, usage.units)
    if offer.price_minor * command.quantity > MAX_BIGINT:
        return AmountTooLarge()
    group = Group(
        group_id=new_id(),
        activity_id=command.activity_id,
        shop_id=offer.shop_id,
        sku=command.sku,
        initiator_id=command.member_id,
        leader_id=command.member_id,
        group_size=offer.group_size,
        price_minor=offer.price_minor,
        currency=offer.currency,
        state="pending",
        listed=command.listed,
        created_at=now,
        ends_at=offer.ends_at,
    )
    books.add_group(group)
    return _hold(books, group, command.member_id, command.quantity, now, offer.ends_at)


def _join(books: Books, command: JoinGroup, now: datetime) -> Held | Refusal:
    group = books.groups.get(command.group_id)
    if group is None:
        return GroupNotFound()
    offer = books.offer((group.activity_id, group.sku))
    assert offer is not None
    usage = books.used((group.activity_id, command.member_id))
    person_ids = books.person_ids(command.member_id)
    code = why_not_join(group, offer, usage, person_ids, command.quantity, now)
    if code is not None:
        return _refusal(code, offer, usage.units, group.seat_of(person_ids))
    if group.price_minor * command.quantity > MAX_BIGINT:
        return AmountTooLarge()
    deadline_at = group.deadline_at or group.ends_at
    held = _hold(books, group, command.member_id, command.quantity, now, deadline_at)
    held.seat.link_id, held.seat.generation = command.link_id, command.generation
    return held


def _hold(books: Books, group: Group, member_id: UUID, quantity: int, now: datetime, until: datetime) -> Held:
    limits = settings()
    held_until = min(now + timedelta(seconds=limits.hold_seconds), until)
    seat_no = group.free_seat_no()
    assert seat_no is not None
    seat = Seat(
        seat_id=new_id(),
        group_id=group.group_id,
        activity_id=group.activity_id,
        sku=group.sku,
        member_id=member_id,
        seat_no=seat_no,
        quantity=quantity,
        amount_minor=group.price_minor * quantity,
        currency=group.currency,
        state="held",
        held_at=now,
        held_until=held_until,
        lapses_at=held_until + timedelta(seconds=limits.payment_notice_seconds),
    )
    books.take(seat)
    return Held(seat, group.state)


def _refusal(code: str, offer: Offer, units: int, seat: Seat | None = None) -> Refusal:
    members: dict[str, Any] = {}
    if code == "out_of_stock":
        members["units_left"] = offer.stock_left
    elif code == "order_limit_exceeded":
        members["units_per_order"] = offer.units_per_order
    elif code == "member_limit_exceeded":
        members |= {"units_per_member": offer.units_per_member, "units_taken": units}
    elif code == "already_in_group" and seat is not None:
        members |= {"seat_id": seat.seat_id, "state": seat.state}
    return HOLD_REFUSALS[code](**members)


async def _with_alternatives(
    session: AsyncSession,
    commands: Sequence[JoinGroup],
    results: list[Held | Refusal],
    places: dict[UUID, SkuKey],
) -> list[Held | Refusal]:
    """Tell those who found a group full what they can do instead; prices stay on the link's page."""
    full = [index for index, result in enumerate(results) if isinstance(result, GroupFull)]
    if not full:
        return results
    keys = {places[commands[index].group_id] for index in full}
    listed = await link_rows.listed_groups(session, keys, MAX_ALTERNATIVES + 1)
    for index in full:
        group_id = commands[index].group_id
        activity_id, sku = places[group_id]
        others = [row for row in listed[activity_id, sku] if row.group_id != group_id]
        results[index] = GroupFull(
            alternatives=[
                *(_join_other(row) for row in others[:MAX_ALTERNATIVES]),
                {"action": "open_group", "activity_id": activity_id, "sku": sku},
            ]
        )
    return results


def _join_other(row: Row[Any]) -> dict[str, Any]:
    return {
        "action": "join_group",
        "group_id": row.group_id,
        "seats_left": row.seats_left,
        "deadline_at": row.deadline_at.isoformat(),
    }
