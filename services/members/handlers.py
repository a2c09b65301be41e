"""What members hears."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from services.members import operations
from services.members.domain import Statement
from services.members.operations import PointsChange, TierPurchase
from services.members.schemas import DeliveryIn, OrderIn
from shared.consumer import Handlers
from shared.events import (
    ConsentWithdrawn,
    Envelope,
    PointsClawedBack,
    PointsEarned,
    RewardGranted,
    StorefrontOrderSubmitted,
    TrialRecounted,
)
from shared.problems import Refusal
from shared.schemas import validate_items

__all__ = ["handlers"]

handlers = Handlers()


@handlers.on(StorefrontOrderSubmitted)
async def on_orders_submitted(
    session: AsyncSession, events: Sequence[Envelope[StorefrontOrderSubmitted]]
) -> None:
    """Take in what might have come to `POST /v1/orders` or `/v1/deliveries`; the bad go to the dead letters.

    Only a delivery has no lines. Orders come first: a delivery of the same batch waits for nothing then.
    """
    documents = [event.data.document for event in events]
    deliveries = [document for document in documents if _is_delivery(document)]
    orders = [document for document in documents if not _is_delivery(document)]
    taken: list[Any] = []
    taken += await operations.take_orders(session, _commands(OrderIn, orders), actor="storefront.orders")
    if deliveries:
        taken += await operations.take_deliveries(session, _commands(DeliveryIn, deliveries))
    for result in taken:
        if isinstance(result, Refusal):
            raise result


def _is_delivery(document: dict[str, Any]) -> bool:
    return "delivered_at" in document and "lines" not in document


def _commands(model: type[Any], documents: Sequence[dict[str, Any]]) -> list[Any]:
    commands = []
    for item in validate_items(model, documents):
        if isinstance(item, Refusal):
            raise item
        commands.append(item.command())
    return commands


@handlers.on(ConsentWithdrawn)
async def on_consent_withdrawn(session: AsyncSession, events: Sequence[Envelope[ConsentWithdrawn]]) -> None:
    """Make a no that was said on the channel itself the consent of record; an unknown member has none."""
    await operations.record_consents(
        session,
        [
            Statement(
                member_id=event.data.member_id,
                channel=event.data.channel,
                purpose=event.data.purpose,
                granted=False,
                stated_at=event.data.at,
                wording_hash=None,
                source=event.data.source,
                actor="messaging",
            )
            for event in events
        ],
    )


@handlers.on(PointsEarned, PointsClawedBack)
async def on_points_moved(
    session: AsyncSession, events: Sequence[Envelope[PointsEarned | PointsClawedBack]]
) -> None:
    """Keep what members earn, for tiers that ask for points."""
    await operations.hear_points(session, [_points_change(event.data) for event in events])


def _points_change(said: PointsEarned | PointsClawedBack) -> PointsChange:
    if isinstance(said, PointsEarned):
        return PointsChange(said.member_id, said.points, said.earned_at)
    return PointsChange(said.member_id, -said.points, said.clawed_back_at, said.order_id)


@handlers.on(RewardGranted, when=lambda said: said.reward_kind == "tier_upgrade")
async def on_tier_bought(session: AsyncSession, events: Sequence[Envelope[RewardGranted]]) -> None:
    """Give the tier that a member paid for in points, or say that it cannot be given."""
    await operations.take_tier_purchases(
        session,
        [
            TierPurchase(event.data.redemption_id, event.data.member_id, event.data.reference)
            for event in events
        ],
    )


@handlers.on(TrialRecounted)
async def on_trial_recounted(session: AsyncSession, events: Sequence[Envelope[TrialRecounted]]) -> None:
    """Say which tiers members would hold under other earning rules."""
    await operations.judge_recounts(session, [event.data for event in events])
