"""What campaigns does when it hears of payments, refunds and rewards."""

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncSession

from services.campaigns import operations
from services.campaigns.domain import Payment
from shared.consumer import Handlers
from shared.events import (
    Envelope,
    MemberMerged,
    MemberUnmerged,
    OrderPaid,
    OrderRefunded,
    Participation,
    RewardGranted,
)
from shared.ids import derived_id

handlers = Handlers()


@handlers.on(OrderPaid, when=lambda order: order.participation is not None)
async def on_order_paid(session: AsyncSession, events: Sequence[Envelope[OrderPaid]]) -> None:
    """Decide the payments of orders that have a seat; all others are none of our business."""
    payments = [
        _payment(event.data, event.data.participation)
        for event in events
        if event.data.participation is not None
    ]
    await operations.settle(session, payments)


def _payment(order: OrderPaid, seat: Participation) -> Payment:
    units_by_sku: dict[str, int] = {}
    for line in order.lines:
        units_by_sku[line.sku] = units_by_sku.get(line.sku, 0) + line.quantity
    before_shipping = order.total_minor - order.shipping_minor
    return Payment(
        payment_key=derived_id("payment", str(order.order_id), order.payment_id or ""),
        order_id=order.order_id,
        payment_id=order.payment_id,
        seat_id=seat.seat_id,
        group_id=seat.group_id,
        activity_id=seat.activity_id,
        member_id=order.member_id,
        source=order.source,
        shop_id=order.shop_id,
        external_order_id=order.external_order_id,
        total_minor=order.total_minor,
        # Prices have the tax in them in some countries and not in others.
        goods_minor=frozenset({before_shipping, before_shipping - order.tax_minor}),
        currency=order.currency,
        units_by_sku=units_by_sku,
        paid_at=order.paid_at,
    )


@handlers.on(
    OrderRefunded, when=lambda order: order.participation is not None or order.refund_key is not None
)
async def on_order_refunded(session: AsyncSession, events: Sequence[Envelope[OrderRefunded]]) -> None:
    """Take in refunds of orders that have a seat, or that answer a request of ours."""
    refunds = [
        operations.Refund(
            order_id=event.data.order_id,
            refund_id=event.data.refund_id,
            refund_key=event.data.refund_key,
            amount_minor=event.data.amount_minor,
            complete=event.data.complete,
            refunded_at=event.data.refunded_at,
        )
        for event in events
    ]
    await operations.answer(session, refunds)


@handlers.on(RewardGranted)
async def on_reward_granted(session: AsyncSession, events: Sequence[Envelope[RewardGranted]]) -> None:
    """Issue the coupons that members have bought with points."""
    grants = [
        operations.Grant(
            redemption_id=event.data.redemption_id,
            member_id=event.data.member_id,
            reference=event.data.reference or str(event.data.reward_id),
            granted_at=event.data.granted_at,
        )
        for event in events
        if event.data.reward_kind == "coupon"
    ]
    if grants:
        await operations.grant(session, grants)


@handlers.on(MemberMerged, MemberUnmerged)
async def on_links(session: AsyncSession, events: Sequence[Envelope[MemberMerged | MemberUnmerged]]) -> None:
    """Keep who is who, so that limits and seats count for the person."""
    await operations.link_members(session, [event.data for event in events])
