"""Coupons, from issue to use."""

from typing import Annotated
from uuid import UUID

from shared.events.base import Event
from shared.events.fields import Code, Currency, Identifier, Instant, MemberId, Natural, OrderId, says

CouponId = Annotated[UUID, says("The coupon.")]
CouponCode = Annotated[Identifier, says("What the customer types in.")]
PromotionId = Annotated[UUID, says("The promotion that the coupon belongs to.")]
RedemptionId = Annotated[UUID | None, says("The redemption of points that paid for it, if one did.")]


class CouponIssued(Event, type="coupon.issued", topic="coupons", key="member_id"):
    """A member was given a coupon.

    Stated by: campaigns.
    Heard by: points, messaging, analytics.
    """

    coupon_id: CouponId
    member_id: MemberId
    code: CouponCode
    promotion_id: PromotionId
    redemption_id: RedemptionId = None
    issued_at: Annotated[Instant, says("When it was issued.")]
    expires_at: Annotated[Instant | None, says("When it stops working; none is never.")] = None


class CouponDeclined(Event, type="coupon.declined", topic="coupons", key="member_id"):
    """A coupon that was paid for in points could not be issued: whoever took the points gives them back.

    Stated by: campaigns.
    Heard by: points.
    """

    member_id: MemberId
    redemption_id: Annotated[UUID, says("The redemption that paid for the coupon.")]
    reference: Annotated[Identifier, says("The promotion that was asked for, as the reward names it.")]
    reason: Annotated[Code, says("`unknown_promotion` or `promotion_ended`.")]
    declined_at: Annotated[Instant, says("When it was declined.")]


class CouponRedeemed(Event, type="coupon.redeemed", topic="coupons", key="member_id"):
    """A coupon was used on an order.

    Stated by: campaigns (not yet).
    Heard by: messaging, analytics.
    """

    coupon_id: CouponId
    member_id: MemberId
    code: CouponCode
    promotion_id: PromotionId
    redemption_id: RedemptionId = None
    order_id: OrderId
    discount_minor: Annotated[Natural | None, says("What it took off the order, in minor units.")] = None
    currency: Annotated[Currency | None, says("Currency of the discount.")] = None
    redeemed_at: Annotated[Instant, says("When it was used.")]
