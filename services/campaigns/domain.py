"""The rules of campaigns, without a database: prices, deadlines, who may hold a seat, what payment counts."""

import re
import struct
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

PACIFIC: Final = "America/Los_Angeles"
GROUP_LIFETIME: Final = timedelta(hours=24)
MAX_ACTIVITY_DAYS: Final = 180

LIVE: Final = frozenset({"held", "paid", "confirmed"})
PAID: Final = frozenset({"paid", "confirmed"})
UNDECIDED: Final = frozenset({"pending", "open", "closing"})
# Why a group failed that never opened. It has no other members, so a payment told late can revive it.
UNPAID: Final = "unpaid"

# Programs that fetch a page to show or index it. A browser never names itself like this.
_BOT = re.compile(
    r"bot\b|bot/|crawl|spider|slurp|preview|facebookexternalhit|facebot|whatsapp|telegram|vkshare|embedly|"
    r"curl|wget|python|httpx|okhttp|java/|go-http|headless|monitor|scan",
    re.IGNORECASE,
)


@dataclass(slots=True)
class Seat:
    """A place in a group; `was` is the state that the database knows, "" for a new one."""

    seat_id: UUID
    group_id: UUID
    activity_id: UUID
    sku: str
    member_id: UUID
    seat_no: int
    quantity: int
    amount_minor: int
    currency: str
    state: str
    held_at: datetime
    held_until: datetime
    lapses_at: datetime
    paid_at: datetime | None = None
    order_id: UUID | None = None
    link_id: UUID | None = None
    generation: int = 0
    was: str = ""


@dataclass(slots=True)
class Group:
    """A group with the seats that matter; `ends_at` is its activity's end."""

    group_id: UUID
    activity_id: UUID
    shop_id: str
    sku: str
    initiator_id: UUID
    leader_id: UUID
    group_size: int
    price_minor: int
    currency: str
    state: str
    listed: bool
    created_at: datetime
    ends_at: datetime
    opened_at: datetime | None = None
    deadline_at: datetime | None = None
    decided_at: datetime | None = None
    reason: str | None = None
    was: str = ""
    seats: dict[UUID, Seat] = field(default_factory=dict)

    def live(self) -> Iterator[Seat]:
        """Yield the seats that are taken."""
        return (seat for seat in self.seats.values() if seat.state in LIVE)

    def paid(self) -> list[Seat]:
        """Return the paid seats by seat number."""
        return sorted((s for s in self.seats.values() if s.state in PAID), key=lambda seat: seat.seat_no)

    def seat_of(self, member_ids: Collection[UUID]) -> Seat | None:
        """Return the seat that a person of these ids has, if any."""
        return next((seat for seat in self.live() if seat.member_id in member_ids), None)

    def free_seat_no(self) -> int | None:
        """Return the lowest number that nobody has, or None when all seats are taken."""
        taken = {seat.seat_no for seat in self.live()}
        return next((number for number in range(1, self.group_size + 1) if number not in taken), None)


@dataclass(frozen=True, slots=True)
class Offer:
    """One SKU of an activity as it stands on the activity's terms; `state` is computed by the database."""

    activity_id: UUID
    shop_id: str
    sku: str
    title: str
    state: str
    ends_at: datetime
    group_size: int
    price_minor: int
    currency: str
    stock_left: int
    units_per_order: int | None
    units_per_member: int | None
    groups_per_member: int | None
    minimum_remaining_seconds: int


@dataclass(slots=True)
class Usage:
    """What a member has taken of an activity's limits."""

    units: int = 0
    open_groups: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Payment:
    """A captured payment that names a seat; `goods_minor` are the amounts that can mean its goods alone."""

    payment_key: UUID
    order_id: UUID
    payment_id: str | None
    seat_id: UUID
    group_id: UUID
    activity_id: UUID
    member_id: UUID
    source: str
    shop_id: str
    external_order_id: str
    total_minor: int
    goods_minor: frozenset[int]
    currency: str
    units_by_sku: dict[str, int]
    paid_at: datetime


def group_price(normal_price_minor: int, discount_percent: int) -> int:
    """Return the price after the discount, cut to whole minor units: never less discount than promised."""
    return normal_price_minor * (100 - discount_percent) // 100


def group_deadline(paid_at: datetime, activity_ends_at: datetime) -> datetime:
    """Return when a group that was paid for at `paid_at` fails: 24 elapsed hours later, or at the end."""
    return min(paid_at + GROUP_LIFETIME, activity_ends_at)


def is_too_long(starts_at_local: datetime, ends_at_local: datetime) -> bool:
    """Say whether an activity takes more than 180 calendar days on the seller's wall clock."""
    return ends_at_local - starts_at_local > timedelta(days=MAX_ACTIVITY_DAYS)


def why_not_open(offer: Offer, usage: Usage, quantity: int, now: datetime) -> str | None:
    """Return the code of the rule that forbids opening a group, or None."""
    if offer.state != "active" or offer.ends_at <= now:
        return "activity_not_active"
    if offer.ends_at - now < timedelta(seconds=offer.minimum_remaining_seconds):
        return "too_little_time_left"
    if offer.groups_per_member is not None and usage.open_groups >= offer.groups_per_member:
        return "group_limit_exceeded"
    return _why_no_units(offer, usage, quantity)


def why_not_join(
    group: Group, offer: Offer, usage: Usage, member_ids: Collection[UUID], quantity: int, now: datetime
) -> str | None:
    """Return the code of the rule that forbids a person of these ids taking a seat, or None."""
    if group.state == "pending":
        return "group_not_open"
    if group.state != "open" or group.deadline_at is None or group.deadline_at <= now:
        return "group_closed"
    if group.seat_of(member_ids) is not None:
        return "already_in_group"
    if group.free_seat_no() is None:
        return "group_full"
    return _why_no_units(offer, usage, quantity)


def _why_no_units(offer: Offer, usage: Usage, quantity: int) -> str | None:
    if offer.units_per_order is not None and quantity > offer.units_per_order:
        return "order_limit_exceeded"
    if offer.units_per_member is not None and usage.units + quantity > offer.units_per_member:
        return "member_limit_exceeded"
    if quantity > offer.stock_left:
        return "out_of_stock"
    return None


def why_refund(payment: Payment, seat: Seat | None, group: Group | None, skew: timedelta) -> str | None:
    """Return why a payment cannot count, or None if it does and its seat is (or may again be) its own.

    Only what the payment itself says decides about time, so the answer is the same whenever it arrives,
    except that a group which has been decided is not undone.
    """
    if seat is None or group is None:
        return "unknown_seat"
    if (payment.group_id, payment.activity_id) != (seat.group_id, seat.activity_id):
        return "wrong_seat"
    if payment.currency != seat.currency or seat.amount_minor not in payment.goods_minor:
        return "wrong_amount"
    if payment.units_by_sku != {seat.sku: seat.quantity}:
        return "wrong_items"
    if seat.state not in ("held", "lapsed"):
        return "duplicate"
    return _why_untimely(payment, seat, group, skew)


def _why_untimely(payment: Payment, seat: Seat, group: Group, skew: timedelta) -> str | None:
    if payment.paid_at > (group.deadline_at or group.ends_at):
        return "late"
    if payment.paid_at > seat.held_until:
        return "hold_lapsed"
    if payment.paid_at < seat.held_at - skew:
        return "before_hold"
    if group.state == "formed":
        return "group_full"
    if group.state == "failed" and group.reason != UNPAID:
        return refund_reason(group.reason)
    return None


def refund_reason(failure: str | None) -> str:
    """Return what the payers of a failed group are told, from the reason that the seller is told."""
    if failure in ("deadline", "activity_ended"):
        return "group_expired"
    return failure or "group_closed"


def leader_after(group: Group, leaver: UUID) -> UUID:
    """Return who leads once `leaver` has gone: the earliest payer if it was the leader."""
    if group.leader_id != leaver:
        return group.leader_id
    payers = [seat for seat in group.paid() if seat.member_id != leaver]
    first = min(payers, key=lambda seat: (seat.paid_at, seat.seat_no), default=None)
    return group.leader_id if first is None else first.member_id


def is_bot(user_agent: str | None, purpose: str | None) -> bool:
    """Say whether a visit looks like a machine: it says so, says nothing, or a browser fetches ahead."""
    if purpose and "prefetch" in purpose.lower():
        return True
    return not user_agent or _BOT.search(user_agent) is not None


# Version, link, activity, group, sharer, generation; the channel follows as text.
_SHARE = struct.Struct(">3s16s16s16s16sI")
_SHARE_FORMAT: Final = b"gb1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """What a share link's token says: whose link it is, to which group, and how far from the initiator."""

    link_id: UUID
    activity_id: UUID
    group_id: UUID
    sharer_id: UUID
    generation: int
    channel: str | None

    def pack(self) -> bytes:
        """Return the share as the bytes that get signed."""
        ids = (self.link_id.bytes, self.activity_id.bytes, self.group_id.bytes, self.sharer_id.bytes)
        return _SHARE.pack(_SHARE_FORMAT, *ids, self.generation) + (self.channel or "").encode()

    @classmethod
    def unpack(cls, payload: bytes) -> "Share":
        """Return the share in signed bytes. Raises ValueError for what was signed for something else."""
        if len(payload) < _SHARE.size or not payload.startswith(_SHARE_FORMAT):
            raise ValueError("not a share link")
        _, link_id, activity_id, group_id, sharer_id, generation = _SHARE.unpack_from(payload)
        return cls(
            link_id=UUID(bytes=link_id),
            activity_id=UUID(bytes=activity_id),
            group_id=UUID(bytes=group_id),
            sharer_id=UUID(bytes=sharer_id),
            generation=generation,
            channel=payload[_SHARE.size :].decode() or None,
        )
