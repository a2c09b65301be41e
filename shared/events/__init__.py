"""The catalogue: every event that the services say to each other, declared once.

    from shared.events import Envelope, OrderPaid

Schemas, the AsyncAPI document and docs/events.md are generated from here: `python -m shared.events.generate`.
"""

from shared.events.activities import ActivityCancelled, ActivityEnded, ActivityScheduled
from shared.events.base import (
    EVENT_TYPES,
    NEWEST_VERSIONS,
    SERVICES,
    Envelope,
    Event,
    EventTooLarge,
    UndecodableEvent,
    UnknownEventType,
    UnknownEventVersion,
)
from shared.events.codec import (
    Headers,
    RecordLike,
    decode,
    encode,
    envelope_of,
    event_headers,
    headers_of,
    in_catalogue_order,
    schema_uri,
)
from shared.events.coupons import CouponIssued, CouponRedeemed
from shared.events.dead_letters import DeadLettered
from shared.events.groups import GroupExpired, GroupFormed, GroupJoined, GroupOpened, GroupSeatLapsed
from shared.events.links import LinkShared, LinkVisited
from shared.events.members import (
    Consent,
    ContactPoint,
    MemberBirthday,
    MemberConsentChanged,
    MemberCreated,
    MemberErased,
    MemberMerged,
    MemberProfile,
    MemberProfileErased,
    MemberStageChanged,
    MemberTagged,
    MemberTierAtRisk,
    MemberTierDowngraded,
    MemberTierProlonged,
    MemberTierPurchaseDeclined,
    MemberTierRetained,
    MemberTierUpgraded,
    MemberUnmerged,
    MemberUntagged,
)
from shared.events.messages import (
    ConsentWithdrawn,
    MessageDelivered,
    MessageDropped,
    MessageFailed,
    MessageSent,
)
from shared.events.orders import (
    OrderCancelled,
    OrderLine,
    OrderPaid,
    OrderPlaced,
    OrderRefunded,
    Participation,
    RefundLine,
)
from shared.events.points import PointsClawedBack, PointsEarned, PointsExpired, PointsRedeemed, RewardGranted
from shared.events.refunds import RefundRequested
from shared.events.reports import ReportRestated
from shared.events.segments import SegmentEntered, SegmentLeft
from shared.events.storefronts import StorefrontOrderSubmitted
from shared.events.topics import TOPICS, Topic

__all__ = [
    "EVENT_TYPES",
    "NEWEST_VERSIONS",
    "SERVICES",
    "TOPICS",
    "ActivityCancelled",
    "ActivityEnded",
    "ActivityScheduled",
    "Consent",
    "ConsentWithdrawn",
    "ContactPoint",
    "CouponIssued",
    "CouponRedeemed",
    "DeadLettered",
    "Envelope",
    "Event",
    "EventTooLarge",
    "GroupExpired",
    "GroupFormed",
    "GroupJoined",
    "GroupOpened",
    "GroupSeatLapsed",
    "Headers",
    "LinkShared",
    "LinkVisited",
    "MemberBirthday",
    "MemberConsentChanged",
    "MemberCreated",
    "MemberErased",
    "MemberMerged",
    "MemberProfile",
    "MemberProfileErased",
    "MemberStageChanged",
    "MemberTagged",
    "MemberTierAtRisk",
    "MemberTierDowngraded",
    "MemberTierProlonged",
    "MemberTierPurchaseDeclined",
    "MemberTierRetained",
    "MemberTierUpgraded",
    "MemberUnmerged",
    "MemberUntagged",
    "MessageDelivered",
    "MessageDropped",
    "MessageFailed",
    "MessageSent",
    "OrderCancelled",
    "OrderLine",
    "OrderPaid",
    "OrderPlaced",
    "OrderRefunded",
    "Participation",
    "PointsClawedBack",
    "PointsEarned",
    "PointsExpired",
    "PointsRedeemed",
    "RecordLike",
    "RefundLine",
    "RefundRequested",
    "ReportRestated",
    "RewardGranted",
    "SegmentEntered",
    "SegmentLeft",
    "StorefrontOrderSubmitted",
    "Topic",
    "UndecodableEvent",
    "UnknownEventType",
    "UnknownEventVersion",
    "decode",
    "encode",
    "envelope_of",
    "event_headers",
    "headers_of",
    "in_catalogue_order",
    "schema_uri",
]
