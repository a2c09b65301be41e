"""Group-buy activities: what a seller sets up."""

from typing import Annotated

from msgspec import Meta

from shared.events.base import Event
from shared.events.fields import (
    MAX_ACTIVITY_SKUS,
    MAX_GROUP_SIZE,
    ActivityId,
    Identifier,
    Instant,
    Sentence,
    ShopId,
    says,
)


class ActivityScheduled(Event, type="activity.scheduled", topic="activities", key="activity_id"):
    """A group-buy activity was set up; from its start it is active by the clock alone.

    Stated by: campaigns.
    Heard by: messaging, analytics.
    """

    activity_id: ActivityId
    shop_id: ShopId
    starts_at: Annotated[Instant, says("When groups can be opened.")]
    ends_at: Annotated[Instant, says("When the activity ends, and every open group with it.")]
    group_size: Annotated[int, Meta(ge=2, le=MAX_GROUP_SIZE), says("Members that make a group full.")]
    discount_percent: Annotated[int, Meta(ge=5, le=99), says("Discount set for all SKUs, in percent.")]
    skus: Annotated[
        list[Identifier], Meta(max_length=MAX_ACTIVITY_SKUS), says("The SKUs on offer, locked until the end.")
    ]


class ActivityCancelled(Event, type="activity.cancelled", topic="activities", key="activity_id"):
    """A seller called an activity off; its open groups fail and are refunded.

    Stated by: campaigns.
    Heard by: messaging, analytics.
    """

    activity_id: ActivityId
    shop_id: ShopId
    reason: Annotated[Sentence | None, says("Why, in the seller's words.")] = None
    cancelled_at: Annotated[Instant, says("When it was called off.")]


class ActivityEnded(Event, type="activity.ended", topic="activities", key="activity_id"):
    """An activity reached its end and its SKUs are free again.

    Stated by: campaigns.
    Heard by: messaging, analytics.
    """

    activity_id: ActivityId
    shop_id: ShopId
    ended_at: Annotated[Instant, says("When it ended.")]
