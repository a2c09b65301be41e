"""What the API of campaigns takes and gives."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit
from uuid import UUID

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    NaiveDatetime,
    model_validator,
)

from services.campaigns.domain import MAX_ACTIVITY_DAYS
from shared.schemas import MAX_BIGINT, CurrencyCode, ExternalId, StrictModel

MAX_SKUS = 1000
MAX_QUANTITY = 1_000_000
MAX_CHECKOUT_URL = 1000


def _wall(value: Any) -> Any:
    # pydantic would also read a number as an instant; a wall time is only ever written out.
    if isinstance(value, str) and len(value) >= len("2026-03-01T12:00"):
        return value
    raise ValueError("is not a local date and time such as 2026-03-01T12:00:00")


def _near(wall: datetime) -> datetime:
    # Further away, adding a zone's offset or 180 days would leave the calendar.
    if not 1970 <= wall.year <= 2200:
        raise ValueError("lies outside the years 1970 to 2200")
    return wall


def _in_calendar(instant: datetime) -> datetime:
    # Checked before it is converted: the conversion to UTC overflows at either end of the calendar.
    return _near(instant).astimezone(UTC)


def _readable(url: str) -> str:
    if not urlsplit(url).hostname:
        raise ValueError("is not an address with a host")
    return url


WallTime = Annotated[
    NaiveDatetime,
    BeforeValidator(_wall),
    AfterValidator(_near),
    Field(
        description="Time on the wall clock of America/Los_Angeles, without an offset.",
        examples=["2026-11-27T00:00:00"],
    ),
]
Fold = Annotated[
    Literal[0, 1] | None,
    Field(description="Which of two, where the clock goes back: 0 the first, 1 the second."),
]
Quantity = Annotated[int, Field(ge=1, le=MAX_QUANTITY, description="Units; more units are one seat.")]
Natural = Annotated[int, Field(ge=0, le=MAX_BIGINT)]
Channel = Annotated[
    str,
    Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,31}$", description="Where it is shared.", examples=["whatsapp"]),
]
Token = Annotated[str, Field(min_length=1, max_length=2048, description="The token of a share link.")]
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


class OpenGroupIn(StrictModel):
    """Open a group and hold its first seat."""

    activity_id: UUID
    sku: ExternalId
    member_id: UUID
    quantity: Quantity = 1
    listed: Annotated[
        bool, Field(description="Offer this group, without its price, to buyers who found another one full.")
    ] = False


class JoinIn(StrictModel):
    """Hold a seat in a group, by the token of a share link or by the group's id."""

    token: Token | None = None
    group_id: UUID | None = None
    member_id: UUID
    quantity: Quantity = 1

    @model_validator(mode="after")
    def _one_way_in(self) -> Self:
        if (self.token is None) == (self.group_id is None):
            raise ValueError("give either token or group_id")
        return self


class SeatHeld(BaseModel):
    """A seat that waits for its payment: an order with this participation and this amount for the goods."""

    group_id: UUID
    activity_id: UUID
    seat_id: UUID
    seat_no: int
    sku: str
    quantity: int
    held_until: datetime
    amount_minor: int
    currency: str
    state: Annotated[str, Field(description="State of the group: `pending` until its initiator has paid.")]


class SeatOut(BaseModel):
    """A seat of a group."""

    seat_id: UUID
    member_id: UUID
    seat_no: int
    quantity: int
    amount_minor: int
    currency: str
    state: str
    held_until: datetime
    paid_at: datetime | None
    order_id: UUID | None
    generation: int


class GroupOut(BaseModel):
    """A group as it stands by the clock; its token is there once its initiator has paid."""

    group_id: UUID
    activity_id: UUID
    shop_id: str
    sku: str
    state: Literal["pending", "open", "closing", "formed", "failed"]
    reason: str | None
    group_size: int
    seats_left: int
    price_minor: int
    currency: str
    initiator_id: UUID
    leader_id: UUID
    listed: bool
    created_at: datetime
    opened_at: datetime | None
    deadline_at: datetime | None
    decided_at: datetime | None
    link_token: str | None
    link_url: str | None
    seats: list[SeatOut]


class LinkIn(StrictModel):
    """Make a link for a member to share."""

    sharer_id: UUID
    channel: Channel | None = None
    via_token: Annotated[
        Token | None, Field(description="The link that brought a sharer who has no seat in the group.")
    ] = None


class LinkOut(BaseModel):
    """A share link."""

    link_id: UUID
    token: str
    url: str
    channel: str | None
    generation: int


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
