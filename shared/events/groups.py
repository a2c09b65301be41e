"""Groups of a group-buy, from the first payment to formed or expired."""

from typing import Annotated
from uuid import UUID

from msgspec import Meta

from shared.events.base import Event
from shared.events.fields import (
    MAX_GROUP_SIZE,
    ActivityId,
    Code,
    Currency,
    GroupId,
    Identifier,
    Instant,
    MemberId,
    Natural,
    OrderId,
    Positive,
    ShopId,
    says,
)

SeatId = Annotated[UUID, says("The seat.")]
Members = Annotated[
    list[UUID], Meta(max_length=MAX_GROUP_SIZE), says("The members with a paid seat, by seat number.")
]
Orders = Annotated[list[UUID], Meta(max_length=MAX_GROUP_SIZE), says("Their orders, in the same order.")]


class GroupOpened(Event, type="group.opened", topic="groups", key="group_id"):
    """The initiator paid: the group is open, its link works and its hours run.

    Stated by: campaigns.
    Heard by: messaging, analytics.
    """

    group_id: GroupId
    activity_id: ActivityId
    shop_id: ShopId
    sku: Annotated[Identifier, says("The SKU that the group buys.")]
    group_size: Annotated[int, Meta(ge=2, le=MAX_GROUP_SIZE), says("Members that make it full.")]
    initiator_id: Annotated[UUID, says("The member who opened it.")]
    opened_at: Annotated[Instant, says("When the initiator's payment was captured.")]
    deadline_at: Annotated[Instant, says("When it fails unless it is full; fixed for good.")]
    price_minor: Annotated[Positive, says("Group price of one unit, in minor units.")]
    currency: Annotated[Currency, says("Currency of the price.")]


class GroupJoined(Event, type="group.joined", topic="groups", key="group_id"):
    """A member paid for a seat of a group; the initiator's own seat is the first.

    Stated by: campaigns.
    Heard by: points, messaging, analytics.
    """

    group_id: GroupId
    activity_id: ActivityId
    seat_id: SeatId
    member_id: MemberId
    seat_no: Annotated[int, Meta(ge=1, le=MAX_GROUP_SIZE), says("Number of the seat; the initiator has 1.")]
    paid_at: Annotated[Instant, says("When the payment was captured.")]
    order_id: OrderId
    link_id: Annotated[UUID | None, says("The share link that brought the member.")] = None
    generation: Annotated[Natural, says("How many shares away from the initiator; 0 is the initiator.")] = 0


class GroupFormed(Event, type="group.formed", topic="groups", key="group_id"):
    """A group is full: every seat is confirmed and can be shipped. Said once.

    Stated by: campaigns.
    Heard by: messaging, analytics.
    """

    group_id: GroupId
    activity_id: ActivityId
    member_ids: Members
    order_ids: Orders
    formed_at: Annotated[Instant, says("When the last seat was paid.")]


class GroupExpired(Event, type="group.expired", topic="groups", key="group_id"):
    """A group was not full at its deadline: it failed and everyone is refunded. Said once.

    Stated by: campaigns.
    Heard by: messaging, analytics.
    """

    group_id: GroupId
    activity_id: ActivityId
    member_ids: Members
    order_ids: Orders
    missing_seats: Annotated[int, Meta(ge=0, le=MAX_GROUP_SIZE), says("Seats that nobody paid for.")]
    expired_at: Annotated[Instant, says("When it failed.")]
    reason: Annotated[Code, says("Why: `deadline`, `activity_ended`, `activity_cancelled`, `exited`…")] = (
        "deadline"
    )


class GroupSeatLapsed(Event, type="group.seat_lapsed", topic="groups", key="group_id"):
    """A seat was held but not paid in time, and is free for others.

    Stated by: campaigns.
    Heard by: messaging, analytics.
    """

    group_id: GroupId
    activity_id: ActivityId
    seat_id: SeatId
    member_id: MemberId
    lapsed_at: Annotated[Instant, says("When the hold ran out.")]
