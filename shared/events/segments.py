"""Members entering and leaving the segments that analytics defines."""

from typing import Annotated
from uuid import UUID

from shared.events.base import Event
from shared.events.fields import Instant, MemberId, Positive, says

SegmentId = Annotated[UUID, says("The segment.")]
SegmentVersion = Annotated[Positive, says("Version of the segment's definition.")]


class SegmentEntered(Event, type="segment.entered", topic="segments", key="member_id"):
    """A member now meets the definition of a segment.

    Stated by: analytics (not yet).
    Heard by: messaging.
    """

    segment_id: SegmentId
    segment_version: SegmentVersion
    member_id: MemberId
    at: Annotated[Instant, says("When the member entered.")]


class SegmentLeft(Event, type="segment.left", topic="segments", key="member_id"):
    """A member no longer meets the definition of a segment.

    Stated by: analytics (not yet).
    Heard by: messaging.
    """

    segment_id: SegmentId
    segment_version: SegmentVersion
    member_id: MemberId
    at: Annotated[Instant, says("When the member left.")]
