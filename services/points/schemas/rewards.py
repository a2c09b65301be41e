"""Rewards: the catalogue with the terms of each kind."""

from datetime import datetime
from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, model_validator

from services.points.schemas.fields import (
    MAX_CANCEL_HOURS,
    MAX_PER_MEMBER,
    MAX_PRIZES,
    MAX_ROUND_HOURS,
    MAX_TIERS,
    PerMember,
    PositivePoints,
    Stock,
)
from services.points.schemas.lotteries import PrizeIn
from shared.schemas import CurrencyCode, ExternalId, MinorUnits, Moment, ShortText, StrictModel

Kind = Literal["coupon", "tier_upgrade", "free_shipping", "goods", "gift", "lottery"]
TierName = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[^\x00]+$", examples=["gold"])]
Tiers = Annotated[
    list[TierName],
    Field(min_length=1, max_length=MAX_TIERS, description="The tiers that may redeem it; absent for all."),
]


class CouponTerms(StrictModel):
    """What a coupon reward grants."""

    promotion_id: ExternalId


class TierUpgradeTerms(StrictModel):
    """What a tier upgrade grants."""

    tier: TierName


class FreeShippingTerms(StrictModel):
    """The postage that free shipping covers: any, or up to a bound in one currency."""

    max_shipping_minor: MinorUnits | None = Field(None, ge=1)
    currency: CurrencyCode | None = None

    @model_validator(mode="after")
    def _has_whole_bound(self) -> Self:
        if (self.max_shipping_minor is None) != (self.currency is None):
            raise ValueError("max_shipping_minor and currency go together")
        return self


class GoodsTerms(StrictModel):
    """What is packed and shipped."""

    sku: ExternalId
    cancel_hours: int | None = Field(
        None,
        ge=1,
        le=MAX_CANCEL_HOURS,
        description="Hours in which the member may call it off; absent for as long as it is not packed.",
    )


class LotteryTerms(StrictModel):
    """A lottery; each draw costs `cost_points`."""

    round_hours: int = Field(
        24,
        ge=1,
        le=MAX_ROUND_HOURS,
        description="Hours for which one secret seed is used; then it is revealed.",
    )
    prizes: list[PrizeIn] = Field(min_length=1, max_length=MAX_PRIZES)


class PerPeriod(StrictModel):
    """A limit within a calendar period of the program's time zone."""

    period: Literal["day", "week", "month"] = Field(description="Local days; weeks begin on Monday.")
    limit: int = Field(ge=1, le=MAX_PER_MEMBER, description="How often one member may redeem it in each.")


class RewardIn(StrictModel):
    """A reward for the catalogue. The terms of its kind, and of no other, come with it."""

    name: ShortText
    kind: Kind
    cost_points: PositivePoints
    coupon: CouponTerms | None = None
    tier_upgrade: TierUpgradeTerms | None = None
    free_shipping: FreeShippingTerms | None = None
    goods: GoodsTerms | None = None
    gift: GoodsTerms | None = None
    lottery: LotteryTerms | None = None
    stock: Stock | None = None
    per_member_limit: PerMember | None = None
    per_period: PerPeriod | None = None
    tiers: Tiers | None = None
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
                },
                {
                    "name": "Free shipping",
                    "kind": "free_shipping",
                    "cost_points": 300,
                    "free_shipping": {"max_shipping_minor": 1500, "currency": "USD"},
                    "per_period": {"period": "month", "limit": 4},
                },
                {
                    "name": "Gold for a year",
                    "kind": "tier_upgrade",
                    "cost_points": 20000,
                    "tier_upgrade": {"tier": "gold"},
                    "tiers": ["silver"],
                },
                {
                    "name": "A mug",
                    "kind": "goods",
                    "cost_points": 1200,
                    "goods": {"sku": "MUG-1", "cancel_hours": 24},
                    "stock": 40,
                },
                {
                    "name": "Wheel of fortune",
                    "kind": "lottery",
                    "cost_points": 50,
                    "per_period": {"period": "day", "limit": 3},
                    "lottery": {
                        "round_hours": 24,
                        "prizes": [
                            {"name": "Nothing", "kind": "nothing", "weight": 900},
                            {"name": "100 points", "kind": "points", "points": 100, "weight": 99},
                            {"name": "500 points", "kind": "points", "points": 500, "weight": 1, "stock": 10},
                        ],
                    },
                },
            ]
        }
    )

    @model_validator(mode="after")
    def _has_whole_cost(self) -> Self:
        if (self.cost_minor is None) != (self.cost_currency is None):
            raise ValueError("cost_minor and cost_currency go together")
        return self

    @model_validator(mode="after")
    def _has_the_terms_of_its_kind(self) -> Self:
        given = {
            "coupon": self.coupon,
            "tier_upgrade": self.tier_upgrade,
            "free_shipping": self.free_shipping,
            "goods": self.goods,
            "gift": self.gift,
            "lottery": self.lottery,
        }
        for kind, terms in given.items():
            if terms is not None and kind != self.kind:
                raise ValueError(f"the terms of a {kind} are no terms of a {self.kind}")
        if given[self.kind] is None and self.kind != "free_shipping":
            raise ValueError(f"a {self.kind} has its terms in {self.kind}")
        return self


class RewardPatch(StrictModel):
    """What can change of a reward; what is absent stays."""

    model_config = ConfigDict(json_schema_extra={"example": {"stock": 40, "ends_at": "2027-06-30T22:00:00Z"}})

    name: ShortText | None = None
    stock: Stock | None = None
    per_member_limit: PerMember | None = None
    per_period: PerPeriod | None = None
    tiers: Tiers | None = None
    starts_at: Moment | None = None
    ends_at: Moment | None = None

    @model_validator(mode="after")
    def _keeps_its_name(self) -> Self:
        if "name" in self.model_fields_set and self.name is None:
            raise ValueError("a reward has a name")
        return self


class RewardOut(BaseModel):
    """A reward of the catalogue, with the terms of its kind."""

    reward_id: UUID
    name: str
    kind: str
    cost_points: int
    coupon: CouponTerms | None
    tier_upgrade: TierUpgradeTerms | None
    free_shipping: FreeShippingTerms | None
    goods: GoodsTerms | None
    gift: GoodsTerms | None
    round_hours: int | None = Field(description="Of a lottery; its odds are at `/v1/lotteries/{id}`.")
    stock: int | None
    per_member_limit: int | None
    per_period: PerPeriod | None
    tiers: list[str] | None
    starts_at: datetime | None
    ends_at: datetime | None
    retired_at: datetime | None
    cost_minor: int | None
    cost_currency: str | None
