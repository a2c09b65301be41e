"""What is said of orders: placed, paid, delivered, refunded, called off."""

from typing import Any
from uuid import UUID

from services.members.domain import (
    Cancellation,
    Delivery,
    IncomingOrder,
    KnownOrder,
    Refund,
    delivered_at,
    said_aloud,
)
from shared.events import (
    OrderCancelled,
    OrderDelivered,
    OrderLine,
    OrderPaid,
    OrderPlaced,
    OrderRefunded,
    Participation,
    RefundLine,
)

__all__ = ["order_cancelled", "order_delivered", "order_paid", "order_placed", "order_refunded"]


def order_placed(order: KnownOrder, stated: IncomingOrder) -> OrderPlaced:
    """Return the event of an order that came, as it was stated."""
    return OrderPlaced(**_bought(order, stated))


def order_paid(order: KnownOrder, stated: IncomingOrder) -> OrderPaid:
    """Return the event of an order that was paid, as it was stated."""
    assert order.paid_at is not None
    return OrderPaid(**_bought(order, stated), paid_at=order.paid_at, payment_id=order.payment_id)


def order_refunded(order: KnownOrder, refund: Refund) -> OrderRefunded:
    """Return the event of a refund that was applied to the order."""
    return OrderRefunded(
        **_named(order),
        refund_id=refund.refund_id,
        refunded_at=refund.refunded_at,
        currency=order.currency,
        amount_minor=refund.amount_minor,
        shipping_minor=refund.shipping_minor,
        complete=order.refunded_minor == order.total_minor,
        reason=said_aloud(refund.reason),
        lines=[
            RefundLine(line_no=line.line_no, quantity=line.quantity, amount_minor=line.amount_minor)
            for line in refund.lines
        ],
        participation=_participation(order),
        refund_key=refund.refund_key,
    )


def order_cancelled(order: KnownOrder, cancellation: Cancellation) -> OrderCancelled:
    """Return the event of an order that was called off."""
    return OrderCancelled(
        **_named(order), cancelled_at=cancellation.cancelled_at, reason=said_aloud(cancellation.reason)
    )


def order_delivered(order: KnownOrder, delivery: Delivery) -> OrderDelivered:
    """Return the event of an order that reached its customer."""
    return OrderDelivered(**_named(order), delivered_at=delivered_at(order, delivery))


def _named(order: KnownOrder) -> dict[str, Any]:
    source, shop_id, external_order_id = order.key
    return {
        "order_id": order.id,
        "member_id": order.member_id,
        "source": source,
        "shop_id": shop_id,
        "external_order_id": external_order_id,
    }


def _bought(order: KnownOrder, stated: IncomingOrder) -> dict[str, Any]:
    return {
        **_named(order),
        "currency": order.currency,
        "total_minor": order.total_minor,
        "shipping_minor": stated.shipping_minor,
        "discount_minor": stated.discount_minor,
        "tax_minor": sum(line.tax_minor for line in stated.lines),
        "redeemed_minor": stated.redeemed_minor,
        "placed_at": stated.placed_at,
        "channel": stated.channel,
        "campaign_ref": stated.campaign_ref,
        "country": stated.country,
        "coupon_codes": list(stated.coupon_codes),
        "participation": Participation(**stated.participation) if stated.participation else None,
        "lines": [
            OrderLine(
                line_no=line.line_no,
                sku=line.sku,
                product_id=line.product_id,
                title=line.title,
                category=line.category,
                quantity=line.quantity,
                unit_price_minor=line.unit_price_minor,
                discount_minor=line.discount_minor,
                tax_minor=line.tax_minor,
                unit_cost_minor=line.unit_cost_minor,
            )
            for line in stated.lines
        ],
    }


def _participation(order: KnownOrder) -> Participation | None:
    if order.participation is None:
        return None
    return Participation(**{name: UUID(str(value)) for name, value in order.participation.items()})
