"""One handler for all events: the fewer calls, the fewer statements for a batch."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from services.analytics import operations
from services.analytics.domain import Batch
from services.analytics.handlers import campaigns, members, messages, orders, points
from services.analytics.handlers.facts import Translations
from services.analytics.operations import shop_days
from shared.consumer import Handlers
from shared.events import (
    ActivityCancelled,
    ActivityEnded,
    ActivityScheduled,
    ConsentWithdrawn,
    CouponIssued,
    CouponRedeemed,
    Envelope,
    Event,
    GroupExpired,
    GroupFormed,
    GroupJoined,
    GroupOpened,
    GroupSeatLapsed,
    LinkShared,
    LinkVisited,
    LotteryDrawn,
    MemberConsentChanged,
    MemberCreated,
    MemberErased,
    MemberMerged,
    MemberStageChanged,
    MemberTagged,
    MemberTierAtRisk,
    MemberTierDowngraded,
    MemberTierProlonged,
    MemberTierRetained,
    MemberTierUpgraded,
    MemberUnmerged,
    MemberUntagged,
    MessageDelivered,
    MessageDropped,
    MessageFailed,
    MessageSent,
    OrderCancelled,
    OrderDelivered,
    OrderPaid,
    OrderRefunded,
    PointsAdjusted,
    PointsCaptured,
    PointsClawedBack,
    PointsEarned,
    PointsExpired,
    PointsForfeited,
    PointsHeld,
    PointsMatured,
    PointsOpened,
    PointsRedeemed,
    PointsReleased,
    PointsReturned,
    PointsTransferred,
    RefundRequested,
    RewardCancelled,
    RewardFulfilmentChanged,
    RewardGranted,
)

__all__ = ["handlers", "translate"]

handlers = Handlers()

# An order, a refund and a merge become more than one row; each of the others is one fact.
ONE_FACT: Translations = {
    **orders.TRANSLATIONS,
    **members.TRANSLATIONS,
    **points.TRANSLATIONS,
    **campaigns.TRANSLATIONS,
    **messages.TRANSLATIONS,
}


@handlers.on(
    OrderPaid,
    OrderRefunded,
    OrderCancelled,
    OrderDelivered,
    MemberCreated,
    MemberTierUpgraded,
    MemberTierDowngraded,
    MemberTierProlonged,
    MemberTierAtRisk,
    MemberTierRetained,
    MemberStageChanged,
    MemberTagged,
    MemberUntagged,
    MemberConsentChanged,
    MemberMerged,
    MemberUnmerged,
    MemberErased,
    PointsEarned,
    PointsClawedBack,
    PointsRedeemed,
    PointsHeld,
    PointsCaptured,
    PointsReleased,
    PointsReturned,
    PointsMatured,
    PointsAdjusted,
    PointsOpened,
    PointsTransferred,
    PointsExpired,
    PointsForfeited,
    RewardGranted,
    RewardCancelled,
    RewardFulfilmentChanged,
    LotteryDrawn,
    ActivityScheduled,
    ActivityCancelled,
    ActivityEnded,
    GroupOpened,
    GroupJoined,
    GroupFormed,
    GroupExpired,
    GroupSeatLapsed,
    LinkShared,
    LinkVisited,
    CouponIssued,
    CouponRedeemed,
    RefundRequested,
    MessageSent,
    MessageDelivered,
    MessageFailed,
    MessageDropped,
    ConsentWithdrawn,
)
async def on_events(session: AsyncSession, events: Sequence[Envelope[Any]]) -> None:
    """Take all of it in."""
    await operations.ingest(session, translate(events))


@handlers.on_duplicates
async def on_duplicates(session: AsyncSession, events: Sequence[Envelope[Any]]) -> None:
    """Count what was delivered again, so that the books add up."""
    await operations.count_duplicates(session, [envelope.source for envelope in events])


def translate(events: Sequence[Envelope[Event]]) -> Batch:
    """The facts in a batch of events."""
    batch, days = Batch(), shop_days()
    for envelope in events:
        batch.origins.append((envelope.id, envelope.source))
        match envelope.data:
            case OrderPaid():
                orders.order_paid(batch, envelope, envelope.data, days)
            case OrderRefunded():
                orders.order_refunded(batch, envelope, envelope.data, days)
            case MemberMerged():
                members.merged(batch, envelope, envelope.data, days)
            case MemberUnmerged():
                members.unmerged(batch, envelope, envelope.data, days)
            case other:
                batch.events.append(ONE_FACT[type(other)](envelope, other, days))
    return batch
