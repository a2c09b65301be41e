"""Group-buy activities, and times on a wall clock."""

from datetime import datetime
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit
from uuid import UUID

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    NaiveDatetime,
    model_validator,
)

from services.campaigns.domain import MAX_ACTIVITY_DAYS
from services.campaigns.schemas.fields import MAX_QUANTITY, near
from shared.schemas import MAX_BIGINT, CurrencyCode, ExternalId, StrictModel

__all__ = ["ActivityIn", "ActivityOut", "CancelIn", "InZone", "SkuIn", "SkuOut"]

MAX_SKUS = 1000
MAX_CHECKOUT_URL = 1000


def _wall(value: Any) -> Any:
    # pydantic would also read a number as an instant; a wall time is only ever written out.
    if isinstance(value, str) and len(value) >= len("2026-03-01T12:00"):
        return value
    raise ValueError("is not a local date and time such as 2026-03-01T12:00:00")


def _readable(url: str) -> str:
    if not urlsplit(url).hostname:
        raise ValueError("is not an address with a host")
    return url


WallTime = Annotated[
    NaiveDatetime,
    BeforeValidator(_wall),
    AfterValidator(near),
    Field(
        description="Time on the wall clock of America/Los_Angeles, without an offset.",
        examples=["2026-11-27T00:00:00"],
    ),
]
Fold = Annotated[
    Literal[0, 1] | None,
    Field(description="Which of two, where the clock goes back: 0 the first, 1 the second."),
]
Percent = Annotated[int, Field(ge=5, le=99, description="Discount in percent, 5 to 99.")]


class SkuIn(StrictModel):
    """A SKU on offer; its stock is apart from the normal one."""

    sku: ExternalId
    product_id: ExternalId
    title: Annotated[str, Field(min_length=1, max_length=500)]
    normal_price_minor: Annotated[int, Field(ge=1, le=MAX_BIGINT // 100, examples=[4999])]
    stock: Annotated[int, Field(ge=0, le=MAX_BIGINT)]
    discount_percent: Annotated[Percent | None, Field(description="Instead of the activity's own.")] = None


class ActivityIn(StrictModel):
    """A group-buy activity to set up."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "Black Friday mugs",
                    "shop_id": "us-store",
                    "starts_at_local": "2026-11-27T00:00:00",
                    "ends_at_local": "2026-11-30T23:59:59",
                    "group_size": 2,
                    "discount_percent": 20,
                    "currency": "USD",
                    "skus": [
                        {
                            "sku": "MUG-BLUE",
                            "product_id": "MUG",
                            "title": "Blue mug",
                            "normal_price_minor": 1999,
                            "stock": 100,
                        }
                    ],
                    "units_per_member": 5,
                    "checkout_url": "https://shop.example/checkout",
                }
            ]
        }
    )

    name: Annotated[str, Field(min_length=1, max_length=32, description="Only the seller sees it.")]
    shop_id: ExternalId
    starts_at_local: WallTime
    ends_at_local: Annotated[
        WallTime, Field(description=f"At most {MAX_ACTIVITY_DAYS} calendar days after the start.")
    ]
    fold: Fold = None
    starts_at_fold: Fold = None
    ends_at_fold: Fold = None
    group_size: Annotated[int, Field(ge=2, le=100, description="2 for two-person groups; never changes.")]
    discount_percent: Percent
    currency: CurrencyCode
    skus: Annotated[list[SkuIn], Field(min_length=1, max_length=MAX_SKUS)]
    units_per_order: Annotated[int | None, Field(ge=1, le=MAX_QUANTITY)] = None
    units_per_member: Annotated[int | None, Field(ge=1, le=MAX_BIGINT)] = None
    groups_per_member: Annotated[int | None, Field(ge=1, le=MAX_BIGINT)] = None
    minimum_remaining_seconds: Annotated[
        int, Field(ge=0, le=MAX_ACTIVITY_DAYS * 86_400, description="No new groups this close to the end.")
    ] = 0
    checkout_url: Annotated[
        Annotated[
            str,
            Field(max_length=MAX_CHECKOUT_URL, pattern=r"^https?://[^\s\x00-\x20\x7f<>\"'`\\]+$"),
            AfterValidator(_readable),
        ]
        | None,
        Field(description="The storefront's checkout; the share page links to it with the link's token."),
    ] = None

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        names = [sku.sku for sku in self.skus]
        if len(names) != len(set(names)):
            raise ValueError("the same SKU is given twice")
        if self.name != self.name.strip():
            raise ValueError("the name begins or ends with a space")
        return self


class CancelIn(StrictModel):
    """Why an activity is called off."""

    reason: Annotated[str | None, Field(max_length=1000)] = None


class SkuOut(BaseModel):
    """A SKU on offer, with its price in groups and what is left of its stock."""

    sku: str
    product_id: str
    title: str
    normal_price_minor: int
    discount_percent: int
    price_minor: int
    stock: int
    stock_left: int


class InZone(BaseModel):
    """The activity's times in a zone that was asked for."""

    zone: str
    starts_at: datetime
    ends_at: datetime


class ActivityOut(BaseModel):
    """An activity as it stands."""

    activity_id: UUID
    state: Literal["scheduled", "active", "ended", "cancelled"]
    name: str
    shop_id: str
    time_zone: str
    starts_at: datetime
    ends_at: datetime
    starts_at_local: datetime
    ends_at_local: datetime
    in_zone: InZone | None = None
    group_size: int
    discount_percent: int
    currency: str
    units_per_order: int | None
    units_per_member: int | None
    groups_per_member: int | None
    minimum_remaining_seconds: int
    checkout_url: str | None
    created_at: datetime
    cancelled_at: datetime | None
    cancel_reason: str | None
    skus: list[SkuOut]
