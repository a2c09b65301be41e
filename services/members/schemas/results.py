"""What intake answers, and how an order reads."""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel

__all__ = [
    "BatchAnswer",
    "CancellationResult",
    "ConsentResult",
    "DeliveryResult",
    "OrderOut",
    "OrderResult",
    "RefundOut",
    "RefundResult",
    "TagsResult",
]

OrderState = Literal["placed", "paid", "refunded", "cancelled"]
Status = Literal["accepted", "unchanged"]


class BatchAnswer(BaseModel):
    """What became of several items: `results` has one entry per item, in their order.

    An entry is what the item alone would have been answered, or `{"status": "refused", "problem": …}`.
    """

    accepted: int
    unchanged: int
    refused: int
    results: list[dict[str, Any]]


class OrderResult(BaseModel):
    """What became of a stated order."""

    status: Status
    order_id: UUID
    member_id: UUID
    state: OrderState
    note: str | None = None


class RefundResult(BaseModel):
    """What became of a stated refund; parked until its order is paid."""

    status: Status
    refund_id: str
    state: Literal["applied", "parked", "refused"]
    order_id: UUID | None = None
    complete: bool | None = None


class CancellationResult(BaseModel):
    """What became of a stated cancellation; parked until its order comes."""

    status: Status
    external_order_id: str
    state: Literal["applied", "parked"]
    order_id: UUID | None = None


class DeliveryResult(BaseModel):
    """What became of a stated delivery; parked until its order is paid."""

    status: Status
    external_order_id: str
    state: Literal["applied", "parked"]
    order_id: UUID | None = None


class ConsentResult(BaseModel):
    """What holds after a statement; `granted` may differ from it if a later one is known."""

    status: Status
    member_id: UUID
    channel: str
    purpose: str
    granted: bool


class TagsResult(BaseModel):
    """The member's tags were changed, or were like this already."""

    status: Status
    member_id: UUID


class OrderLineOut(BaseModel):
    """One line of an order."""

    line_no: int
    sku: str
    product_id: str
    title: str | None
    category: str | None
    quantity: int
    unit_price_minor: int
    discount_minor: int
    tax_minor: int
    unit_cost_minor: int | None
    refunded_quantity: int


class OrderOut(BaseModel):
    """An order with its lines."""

    order_id: UUID
    member_id: UUID
    source: str
    shop_id: str
    external_order_id: str
    state: OrderState
    currency: str
    total_minor: int
    shipping_minor: int
    discount_minor: int
    redeemed_minor: int
    refunded_minor: int
    placed_at: datetime
    paid_at: datetime | None
    payment_id: str | None
    cancelled_at: datetime | None
    delivered_at: datetime | None
    channel: str | None
    campaign_ref: str | None
    country: str | None
    coupon_codes: list[str]
    participation: dict[str, Any] | None
    lines: list[OrderLineOut]


class RefundOut(BaseModel):
    """A refund that was stated."""

    source: str
    shop_id: str
    external_order_id: str
    refund_id: str
    refunded_at: datetime
    amount_minor: int
    state: Literal["applied", "parked", "refused"]
    refusal: str | None
    received_at: datetime
