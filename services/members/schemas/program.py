"""The tier table and the summary."""

from itertools import pairwise
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, RootModel, model_validator

from services.members.schemas.vocabulary import MAX_ORDER_MINOR, Code
from shared.schemas import JsonObject, StrictModel

__all__ = ["SummaryOut", "TierIn", "TiersIn", "TiersOut", "TiersReplaced"]

MAX_TIERS = 20


class TierIn(StrictModel):
    """One tier."""

    name: Code
    rank: int = Field(ge=0, le=1000, description="The higher the better.")
    min_spend_minor: int = Field(
        ge=0, le=MAX_ORDER_MINOR * 1000, description="Spend that reaches it, in the program's currency."
    )
    benefits: JsonObject = Field(default_factory=dict)


class TiersIn(RootModel[Annotated[list[TierIn], Field(min_length=1, max_length=MAX_TIERS)]]):
    """The whole tier table."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": [
                {"name": "bronze", "rank": 0, "min_spend_minor": 0},
                {"name": "gold", "rank": 1, "min_spend_minor": 50_000, "benefits": {"free_shipping": True}},
            ]
        }
    )

    @model_validator(mode="after")
    def _rises(self) -> "TiersIn":
        levels = sorted(self.root, key=lambda tier: tier.rank)
        for lower, higher in pairwise(levels):
            if lower.rank == higher.rank or lower.min_spend_minor >= higher.min_spend_minor:
                raise ValueError("a higher rank must ask for more spend")
        if len({tier.name for tier in self.root}) != len(self.root):
            raise ValueError("two tiers have the same name")
        return self


class TierOut(BaseModel):
    """One tier."""

    name: str
    rank: int
    min_spend_minor: int
    benefits: dict[str, Any]


class TiersOut(BaseModel):
    """The tier table that holds."""

    version: int
    currency: str
    tiers: list[TierOut]


class TiersReplaced(TiersOut):
    """The new tier table, and whom it moves; they are moved within seconds."""

    members_up: int
    members_down: int


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
    erased: int = Field(description="Members who were erased; the books count them still.")
