"""Refunds that a storefront is asked to make."""

from typing import Annotated
from uuid import UUID

from shared.events.base import Event
from shared.events.fields import (
    Code,
    Currency,
    ExternalOrderId,
    Identifier,
    Instant,
    MemberId,
    Natural,
    OrderId,
    ShopId,
    Source,
    says,
)


class RefundRequested(Event, type="refund.requested", topic="refunds", key="order_id"):
    """A captured payment cannot be confirmed and has to go back; `order.refunded` is the answer.

    Stated by: campaigns.
    Heard by: messaging, analytics, storefronts.
    """

    refund_key: Annotated[Identifier, says("Names the refund for good: making it twice must pay once.")]
    order_id: OrderId
    member_id: MemberId
    source: Source
    shop_id: ShopId
    external_order_id: ExternalOrderId
    payment_id: Annotated[Identifier | None, says("The payment, as the provider names it.")] = None
    amount_minor: Annotated[Natural, says("What has to go back, in minor units.")]
    currency: Annotated[Currency, says("Currency of the amount.")]
    reason: Annotated[
        Code, says("Why: `late`, `duplicate`, `wrong_amount`, `group_closed`, `group_expired`…")
    ]
    group_id: Annotated[UUID | None, says("The group that it was paid for.")] = None
    seat_id: Annotated[UUID | None, says("The seat that it was paid for.")] = None
    requested_at: Annotated[Instant, says("When the refund was asked for.")]
