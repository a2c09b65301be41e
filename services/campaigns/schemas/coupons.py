"""Promotions and coupons."""

from datetime import UTC, datetime
from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from services.campaigns.schemas.fields import near
from shared.schemas import MAX_BIGINT, CurrencyCode, ExternalId, StrictModel

__all__ = ["CouponOut", "PromotionIn", "PromotionOut"]


def _in_calendar(instant: datetime) -> datetime:
    # Checked before it is converted: the conversion to UTC overflows at either end of the calendar.
    return near(instant).astimezone(UTC)


class PromotionIn(StrictModel):
    """What a coupon is worth."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"name": "5 dollars", "kind": "amount", "amount_minor": 500, "currency": "USD"}]
        }
    )

    name: Annotated[str, Field(min_length=1, max_length=200)]
    kind: Literal["amount", "percentage", "free_shipping"]
    reference: Annotated[
        ExternalId | None, Field(description="A name of your own that rewards may use for it.")
    ] = None
    amount_minor: Annotated[int | None, Field(ge=1, le=MAX_BIGINT)] = None
    currency: CurrencyCode | None = None
    percent: Annotated[int | None, Field(ge=1, le=100)] = None
    minimum_spend_minor: Annotated[int | None, Field(ge=1, le=MAX_BIGINT)] = None
    valid_days: Annotated[int | None, Field(ge=1, le=3650, description="From the day it is issued.")] = None
    ends_at: Annotated[AwareDatetime, AfterValidator(_in_calendar)] | None = None

    @model_validator(mode="after")
    def _worth(self) -> Self:
        if (self.kind == "amount") != (self.amount_minor is not None):
            raise ValueError("amount_minor belongs to kind amount, and to no other")
        if (self.kind == "percentage") != (self.percent is not None):
            raise ValueError("percent belongs to kind percentage, and to no other")
        if self.currency is None and (self.amount_minor or self.minimum_spend_minor):
            raise ValueError("an amount needs its currency")
        return self


class PromotionOut(BaseModel):
    """A promotion."""

    promotion_id: UUID
    reference: str | None
    name: str
    kind: str
    amount_minor: int | None
    currency: str | None
    percent: int | None
    minimum_spend_minor: int | None
    valid_days: int | None
    ends_at: datetime | None
    created_at: datetime


class CouponOut(BaseModel):
    """A member's coupon and what it is worth."""

    coupon_id: UUID
    member_id: UUID
    code: str
    state: Literal["issued", "redeemed", "expired"]
    promotion_id: UUID
    redemption_id: UUID | None
    issued_at: datetime
    expires_at: datetime | None
    name: str
    kind: str
    amount_minor: int | None
    currency: str | None
    percent: int | None
    minimum_spend_minor: int | None
