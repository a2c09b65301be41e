"""Orders, refunds, cancellations and deliveries as facts."""

from datetime import datetime

from services.analytics.domain import (
    Batch,
    EventFact,
    LineFact,
    OrderFact,
    RefundFact,
    ShopDays,
    Title,
    line_revenues,
)
from services.analytics.handlers.facts import Translations, fact
from shared.events import Envelope, Event, OrderCancelled, OrderDelivered, OrderPaid, OrderRefunded

__all__ = ["TRANSLATIONS", "order_paid", "order_refunded"]


def order_paid(batch: Batch, envelope: Envelope[Event], data: OrderPaid, days: ShopDays) -> None:
    """Add a paid order, its lines and what its products are called."""
    seat = data.participation
    batch.orders.append(
        OrderFact(
            order_id=data.order_id,
            event_id=envelope.id,
            member_id=data.member_id,
            activity_id=None if seat is None else seat.activity_id,
            group_id=None if seat is None else seat.group_id,
            occurred_at=data.paid_at,
            received_at=envelope.time,
            total_minor=data.total_minor,
            shipping_minor=data.shipping_minor,
            discount_minor=data.discount_minor,
            tax_minor=data.tax_minor,
            units=sum(line.quantity for line in data.lines),
            day=days.day_of(data.paid_at, data.source, data.shop_id),
            source=data.source,
            shop_id=data.shop_id,
            channel=data.channel or "",
            currency=data.currency,
            country=data.country,
            campaign_ref=data.campaign_ref,
        )
    )
    totals = [line.quantity * line.unit_price_minor - line.discount_minor for line in data.lines]
    revenues = line_revenues(
        data.total_minor, data.shipping_minor, totals, [line.quantity for line in data.lines]
    )
    for line, revenue_minor in zip(data.lines, revenues, strict=True):
        cost = line.unit_cost_minor
        batch.lines.append(
            LineFact(
                data.order_id,
                line.line_no,
                line.quantity,
                revenue_minor,
                None if cost is None else cost * line.quantity,
                line.product_id,
                line.sku,
            )
        )
        if line.title:
            batch.titles.append(Title(data.source, line.product_id, line.title, data.paid_at))


def order_refunded(batch: Batch, envelope: Envelope[Event], data: OrderRefunded, days: ShopDays) -> None:
    """Add a refund, with the lines that it names."""
    batch.refunds.append(
        RefundFact(
            order_id=data.order_id,
            refund_id=data.refund_id,
            event_id=envelope.id,
            member_id=data.member_id,
            occurred_at=data.refunded_at,
            received_at=envelope.time,
            amount_minor=data.amount_minor,
            shipping_minor=data.shipping_minor,
            day=days.day_of(data.refunded_at, data.source, data.shop_id),
            source=data.source,
            shop_id=data.shop_id,
            currency=data.currency,
            lines=[[line.line_no, line.quantity, line.amount_minor] for line in data.lines],
        )
    )


def _cancelled(envelope: Envelope[Event], data: OrderCancelled, days: ShopDays) -> EventFact:
    return _once_an_order(envelope, data, data.cancelled_at, days)


def _delivered(envelope: Envelope[Event], data: OrderDelivered, days: ShopDays) -> EventFact:
    return _once_an_order(envelope, data, data.delivered_at, days)


def _once_an_order(
    envelope: Envelope[Event], data: OrderCancelled | OrderDelivered, at: datetime, days: ShopDays
) -> EventFact:
    return fact(
        envelope,
        data.order_id,
        at,
        days,
        shop=(data.source, data.shop_id),
        member_id=data.member_id,
        order_id=data.order_id,
    )


TRANSLATIONS: Translations = {OrderCancelled: _cancelled, OrderDelivered: _delivered}
