"""Rewards and redemptions."""

from datetime import datetime
from typing import Literal, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, model_validator

from services.points.schemas.fields import PerMember, PositivePoints, Stock
from shared.schemas import CurrencyCode, ExternalId, MinorUnits, Moment, ShortText, StrictModel


class CouponTerms(StrictModel):
    """What a coupon reward grants."""

    promotion_id: ExternalId


class RewardIn(StrictModel):
    """A reward for the catalogue."""

    name: ShortText
    kind: Literal["coupon"]
    cost_points: PositivePoints
    coupon: CouponTerms
    stock: Stock | None = None
    per_member_limit: PerMember | None = None
    starts_at: Moment | None = None
    ends_at: Moment | None = None
    cost_minor: MinorUnits | None = Field(None, description="What one costs the seller.")
    cost_currency: CurrencyCode | None = None

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "5 dollars off",
                    "kind": "coupon",
                    "cost_points": 500,
                    "coupon": {"promotion_id": "5-off"},
                    "stock": 1000,
                    "per_member_limit": 2,
                }
            ]
        }
    )

    @model_validator(mode="after")
    def _has_whole_cost(self) -> Self:
        if (self.cost_minor is None) != (self.cost_currency is None):
            raise ValueError("cost_minor and cost_currency go together")
        return self


class RewardPatch(StrictModel):
    """What can change of a reward; what is absent stays."""

    name: ShortText | None = None
    stock: Stock | None = None
    per_member_limit: PerMember | None = None
    starts_at: Moment | None = None
    ends_at: Moment | None = None

    @model_validator(mode="after")
    def _keeps_its_name(self) -> Self:
        if "name" in self.model_fields_set and self.name is None:
            raise ValueError("a reward has a name")
        return self


class RewardOut(BaseModel):
    """A reward of the catalogue."""

    reward_id: UUID
    name: str
    kind: str
    cost_points: int
    coupon: CouponTerms
    stock: int | None
    per_member_limit: int | None
    starts_at: datetime | None
    ends_at: datetime | None
    retired_at: datetime | None
    cost_minor: int | None
    cost_currency: str | None


class RedemptionIn(StrictModel):
    """Points to be spent on a reward."""

    member_id: UUID
    reward_id: UUID
    order_id: UUID | None = None


class RedemptionOut(BaseModel):
    """A redemption that went through."""

    redemption_id: UUID
    member_id: UUID
    reward_id: UUID
    order_id: UUID | None
    points: int
    status: Literal["granted"]
    redeemed_at: datetime


class RedemptionAnswer(RedemptionOut):
    """A redemption that went through just now."""

    available_points: int = Field(description="What the member has left.")
