"""Orders, as members took them in from marketplaces and shops."""

from typing import Annotated
from uuid import UUID

from msgspec import Meta, Struct, field

from shared.events.base import Event
from shared.events.fields import (
    MAX_ORDER_LINES,
    MAX_TAGS,
    ActivityId,
    Code,
    Country,
    Currency,
    ExternalOrderId,
    GroupId,
    Identifier,
    Instant,
    MemberId,
    Natural,
    OrderId,
    Positive,
    Sentence,
    ShopId,
    Source,
    Title,
    says,
)


class OrderLine(Struct, frozen=True, kw_only=True):
    """One line of an order: some units of one SKU."""

    line_no: Annotated[Natural, says("Number of the line within its order; refunds name it.")]
    sku: Annotated[Identifier, says("The SKU sold.")]
    product_id: Annotated[Identifier, says("The product that the SKU belongs to.")]
    title: Annotated[Title | None, says("Name of the product as sold.")] = None
    category: Annotated[Title | None, says("Category of the product, for rules by category.")] = None
    quantity: Annotated[Positive, says("Units sold.")]
    unit_price_minor: Annotated[Natural, says("Price of one unit before discount, in minor units.")]
    discount_minor: Annotated[Natural, says("Discount on the whole line, in minor units.")] = 0
    tax_minor: Annotated[Natural, says("Tax in the price of the whole line, in minor units.")] = 0
    unit_cost_minor: Annotated[Natural | None, says("What one unit cost the seller, in minor units.")] = None


class Participation(Struct, frozen=True, kw_only=True):
    """The seat in a group-buy that an order pays for."""

    activity_id: ActivityId
    group_id: GroupId
    seat_id: Annotated[UUID, says("The seat held for this order.")]


class RefundLine(Struct, frozen=True, kw_only=True):
    """The part of an order line that was refunded."""

    line_no: Annotated[Natural, says("Number of the refunded line.")]
    quantity: Annotated[Natural, says("Units given back; 0 if only money was.")]
    amount_minor: Annotated[Natural, says("Money given back for the line, in minor units.")]


BoughtIn = Annotated[Currency, says("Currency of every amount of the order.")]
Postage = Annotated[Natural, says("Postage within the total, in minor units.")]
Discount = Annotated[Natural, says("All discounts already taken off, in minor units.")]
Tax = Annotated[Natural, says("Tax within the total, in minor units.")]
Redeemed = Annotated[Natural, says("Part of the discount that points paid, in minor units.")]
PlacedAt = Annotated[Instant, says("When the order was placed.")]
Channel = Annotated[Code | None, says("The channel that brought the order.")]
CampaignRef = Annotated[Identifier | None, says("The campaign that the order names.")]
ShipsTo = Annotated[Country | None, says("Country that the order ships to.")]
CouponCodes = Annotated[list[Identifier], Meta(max_length=MAX_TAGS), says("Coupon codes used on the order.")]
Lines = Annotated[list[OrderLine], Meta(max_length=MAX_ORDER_LINES), says("What was bought.")]
OnSeat = Annotated[Participation | None, says("The group-buy seat that the order pays for.")]


class AboutOrder(Event):
    """Which order it is and whose, as every event of an order says first."""

    order_id: OrderId
    member_id: MemberId
    source: Source
    shop_id: ShopId
    external_order_id: ExternalOrderId


class OrderPlaced(AboutOrder, type="order.placed", topic="orders", key="member_id"):
    """A customer placed an order; it is not paid yet.

    Stated by: members.
    Heard by: points, messaging.
    """

    currency: BoughtIn
    total_minor: Annotated[Natural, says("What the customer pays, all included, in minor units.")]
    shipping_minor: Postage = 0
    discount_minor: Discount = 0
    tax_minor: Tax = 0
    redeemed_minor: Redeemed = 0
    placed_at: PlacedAt
    channel: Channel = None
    campaign_ref: CampaignRef = None
    country: ShipsTo = None
    coupon_codes: CouponCodes = field(default_factory=list)
    participation: OnSeat = None
    lines: Lines


class OrderPaid(AboutOrder, type="order.paid", topic="orders", key="member_id"):
    """The payment of an order was captured.

    Stated by: members.
    Heard by: points, campaigns, messaging, analytics.
    """

    currency: BoughtIn
    total_minor: Annotated[Natural, says("What the customer paid, all included, in minor units.")]
    shipping_minor: Postage = 0
    discount_minor: Discount = 0
    tax_minor: Tax = 0
    redeemed_minor: Redeemed = 0
    placed_at: PlacedAt
    paid_at: Annotated[Instant, says("When the payment was captured, by the provider's clock.")]
    payment_id: Annotated[
        Identifier | None, says("The payment, as the provider names it; two payments have two.")
    ] = None
    channel: Channel = None
    campaign_ref: CampaignRef = None
    country: ShipsTo = None
    coupon_codes: CouponCodes = field(default_factory=list)
    participation: OnSeat = None
    lines: Lines


class OrderRefunded(AboutOrder, type="order.refunded", topic="orders", key="member_id"):
    """Money of an order went back to the customer, in whole or in part.

    Stated by: members.
    Heard by: points, campaigns, messaging, analytics.
    """

    refund_id: Annotated[Identifier, says("The refund, as the source names it; one order may have several.")]
    refunded_at: Annotated[Instant, says("When the money went back.")]
    currency: Annotated[Currency, says("Currency of the refund, the same as the order's.")]
    amount_minor: Annotated[Natural, says("What this refund gave back, in minor units.")]
    shipping_minor: Annotated[Natural, says("Postage within the amount, in minor units.")] = 0
    complete: Annotated[bool, says("Whether the order is wholly refunded with this.")]
    reason: Annotated[Sentence | None, says("Why, as the source says it.")] = None
    lines: Annotated[
        list[RefundLine], Meta(max_length=MAX_ORDER_LINES), says("The lines refunded; none if not known.")
    ] = field(default_factory=list)
    participation: OnSeat = None
    refund_key: Annotated[
        Identifier | None, says("The key of the `refund.requested` that this refund answers.")
    ] = None


class OrderCancelled(AboutOrder, type="order.cancelled", topic="orders", key="member_id"):
    """An order was called off.

    Stated by: members.
    Heard by: points, messaging, analytics.
    """

    cancelled_at: Annotated[Instant, says("When the order was called off.")]
    reason: Annotated[Sentence | None, says("Why, as the source says it.")] = None


class OrderDelivered(AboutOrder, type="order.delivered", topic="orders", key="member_id"):
    """A paid order reached its customer whole; it is said once, and after the payment.

    Stated by: members.
    Heard by: points, messaging, analytics.
    """

    delivered_at: Annotated[Instant, says("When it was handed over, by the carrier's or the shop's clock.")]
