"""Refunds that storefronts are asked for, and counts."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, Field

__all__ = ["RefundRequestOut", "SummaryOut"]


class RefundRequestOut(BaseModel):
    """A refund that the storefront is asked to make; send it with this key."""

    refund_key: str
    state: Literal["open", "answered"]
    reason: str
    order_id: UUID
    member_id: UUID
    source: str
    shop_id: str
    external_order_id: str
    payment_id: str | None
    amount_minor: int
    refunded_minor: int
    currency: str
    group_id: UUID
    seat_id: UUID
    requested_at: datetime
    refunded_at: datetime | None


class SummaryOut(BaseModel):
    """Counts that tell whether the books balance."""

    activities: int
    groups: dict[str, int]
    seats: dict[str, int]
    payments: dict[str, int]
    refunds_requested: int
    refunds_answered: int
    refund_reasons: dict[str, int]
    undecided_minor: Annotated[int, Field(description="Captured, neither confirmed nor to be refunded.")]
    undecided_minor_by_currency: dict[str, int]
    links: int
    promotions: int
    coupons_issued: int
    coupons_parked: int
