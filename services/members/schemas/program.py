"""The summary."""

from pydantic import BaseModel, Field

__all__ = ["SummaryOut"]


class OrderCounts(BaseModel):
    """Orders by state."""

    placed: int
    paid: int
    refunded: int
    cancelled: int
    total: int


class SummaryOut(BaseModel):
    """Figures of the service, exact at the instant of the answer."""

    members: int
    orders: OrderCounts
    revenue_minor: dict[str, int] = Field(description="Paid, before refunds, by currency.")
    refunded_minor: dict[str, int]
    tiers: dict[str, int]
    tier_upgrades: int
    tier_downgrades: int
    parked_refunds: int
    parked_cancellations: int
    parked_deliveries: int
    erased: int = Field(description="Members who were erased; the books count them still.")
