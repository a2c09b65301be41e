"""Orders, refunds, cancellations and deliveries as storefronts state them."""

from hashlib import blake2b
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from pydantic import ConfigDict, Field, field_validator, model_validator

from services.members.domain import (
    Cancellation,
    ContactPoint,
    Delivery,
    IncomingOrder,
    Line,
    Refund,
    RefundedLine,
    address_written,
    total_of,
)
from services.members.schemas.vocabulary import (
    Amount,
    Birthday,
    Code,
    CountryCode,
    DisplayName,
    Locale,
    Quantity,
    TimeZone,
)
from shared.schemas import CurrencyCode, ExternalId, Instant, ShortText, StrictModel

__all__ = ["CancellationIn", "DeliveryIn", "OrderIn", "RefundIn"]

MAX_LINES = 200
MAX_ADDRESS_CHARACTERS = 320

_encoder = msgspec.json.Encoder(order="deterministic")

LineNo = Annotated[int, Field(ge=0, le=1_000_000, description="Number of the line within its order.")]
Channel = Annotated[Code, Field(description="`email`, `sms`, `whatsapp`, …", examples=["email"])]
Purpose = Literal["marketing", "service"]


class CustomerIn(StrictModel):
    """What the order says about its customer; the latest order's word holds."""

    display_name: DisplayName | None = None
    locale: Locale | None = None
    time_zone: TimeZone | None = None
    country: CountryCode | None = None
    birthday: Birthday | None = None


class ConsentGiven(StrictModel):
    """A consent given, or refused, with the order."""

    purpose: Purpose
    granted: bool
    wording_hash: ShortText | None = None
    given_at: Instant | None = Field(None, description="When it was said; the order's time if left out.")


class ContactPointIn(StrictModel):
    """An address of the customer."""

    channel: Channel
    address: Annotated[
        str, Field(min_length=3, max_length=MAX_ADDRESS_CHARACTERS, pattern=r"^[^\s\x00-\x1f]+$")
    ]
    verified: bool = False
    consents: list[ConsentGiven] = Field(default_factory=list, max_length=10)

    @model_validator(mode="after")
    def _has_the_form_of_its_channel(self) -> "ContactPointIn":
        if self.channel == "email":
            name, at, host = self.address.rpartition("@")
            if not (name and at and host) or "@" in name:
                raise ValueError("address is not an e-mail address")
        return self

    @property
    def written(self) -> str:
        """The address in the one way it is stored."""
        return address_written(self.channel, self.address)


class OrderLineIn(StrictModel):
    """One line of an order."""

    line_no: LineNo | None = Field(None, description="Counted from 1 if left out.")
    sku: ExternalId
    product_id: ExternalId | None = Field(None, description="The SKU itself if left out.")
    title: ShortText | None = None
    category: ShortText | None = None
    quantity: Quantity
    unit_price_minor: Amount
    discount_minor: Amount = 0
    tax_minor: Amount = 0
    unit_cost_minor: Amount | None = None

    @model_validator(mode="after")
    def _is_worth_something_or_nothing(self) -> "OrderLineIn":
        if self.discount_minor > self.quantity * self.unit_price_minor:
            raise ValueError("discount_minor is more than the line is worth")
        return self


class ParticipationIn(StrictModel):
    """The seat in a group-buy that the order pays for."""

    activity_id: UUID
    group_id: UUID
    seat_id: UUID


EXAMPLE: dict[str, Any] = {
    "source": "amazon",
    "shop_id": "us-1",
    "external_order_id": "114-3941689-8772232",
    "external_customer_id": "A2X7",
    "customer": {"locale": "en-US", "country": "US"},
    "contact_points": [
        {
            "channel": "email",
            "address": "kim@example.test",
            "verified": True,
            "consents": [{"purpose": "marketing", "granted": True}],
        }
    ],
    "currency": "USD",
    "placed_at": "2026-03-01T12:00:00Z",
    "paid_at": "2026-03-01T12:00:09Z",
    "payment_id": "pi_31",
    "lines": [{"sku": "CD-1", "quantity": 2, "unit_price_minor": 1177}],
    "shipping_minor": 499,
    "total_minor": 2853,
    "channel": "search",
}


class OrderIn(StrictModel):
    """An order as a storefront states it; said again with `paid_at`, it is paid."""

    model_config = ConfigDict(json_schema_extra={"example": EXAMPLE})

    source: Code = Field(description="The marketplace or shop system that the ids come from.")
    shop_id: ExternalId
    external_order_id: ExternalId
    external_customer_id: ExternalId
    customer: CustomerIn | None = None
    contact_points: list[ContactPointIn] = Field(default_factory=list, max_length=10)
    currency: CurrencyCode
    placed_at: Instant
    paid_at: Instant | None = None
    payment_id: ExternalId | None = None
    lines: list[OrderLineIn] = Field(min_length=1, max_length=MAX_LINES)
    shipping_minor: Amount = 0
    discount_minor: Amount = Field(0, description="Discount on the whole order, beside those of its lines.")
    redeemed_minor: Amount = Field(0, description="Part of the discount that points paid.")
    total_minor: Amount | None = Field(
        None, description="Must be what lines, shipping and discount add up to; that if left out."
    )
    channel: Code | None = None
    campaign_ref: ExternalId | None = None
    country: CountryCode | None = Field(None, description="Where the order ships to.")
    coupon_codes: list[ExternalId] = Field(default_factory=list, max_length=20)
    participation: ParticipationIn | None = None

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> "OrderIn":
        if self.payment_id is not None and self.paid_at is None:
            raise ValueError("payment_id needs paid_at")
        numbers = [line.line_no for line in self.lines if line.line_no is not None]
        if numbers and (len(numbers) != len(self.lines) or len(set(numbers)) != len(numbers)):
            raise ValueError("line_no must be given for every line, each its own, or for none")
        if self.redeemed_minor > self.discount_minor:
            raise ValueError("redeemed_minor is a part of discount_minor")
        return self

    def command(self) -> IncomingOrder:
        """Return the order as the operations take it."""
        lines = [_line(number, line) for number, line in enumerate(self.lines, 1)]
        customer = self.customer
        return IncomingOrder(
            key=(self.source, self.shop_id, self.external_order_id),
            external_customer_id=self.external_customer_id,
            currency=self.currency,
            placed_at=self.placed_at,
            paid_at=self.paid_at,
            payment_id=self.payment_id,
            lines=lines,
            shipping_minor=self.shipping_minor,
            discount_minor=self.discount_minor,
            redeemed_minor=self.redeemed_minor,
            total_minor=total_of(lines, self.shipping_minor, self.discount_minor),
            stated_total_minor=self.total_minor,
            channel=self.channel,
            campaign_ref=self.campaign_ref,
            country=self.country,
            coupon_codes=self.coupon_codes,
            participation=None if self.participation is None else dict(self.participation),
            attributes={} if customer is None else customer.model_dump(exclude_none=True),
            contact_points=[self._contact_point(point) for point in self.contact_points],
            content=self._content(lines),
        )

    def _contact_point(self, point: ContactPointIn) -> ContactPoint:
        consents = [
            (consent.purpose, consent.granted, consent.wording_hash, consent.given_at or self.placed_at)
            for consent in point.consents
        ]
        return ContactPoint(point.channel, point.written, point.verified, consents)

    def _content(self, lines: list[Line]) -> bytes:
        """Hash what may never change. What was left out leaves no trace, so that fields can be added."""
        content = {
            "customer": self.external_customer_id,
            "currency": self.currency,
            "placed_at": self.placed_at,
            "lines": [
                {name: value for name, value in zip(Line._fields, line, strict=True) if value}
                for line in lines
            ],
            "shipping": self.shipping_minor,
            "discount": self.discount_minor,
            "redeemed": self.redeemed_minor,
            "channel": self.channel,
            "campaign_ref": self.campaign_ref,
            "country": self.country,
            "coupon_codes": self.coupon_codes,
            "participation": None if self.participation is None else dict(self.participation),
        }
        present = {name: value for name, value in content.items() if value}
        return blake2b(_encoder.encode(present), digest_size=16).digest()


def _line(number: int, line: OrderLineIn) -> Line:
    return Line(
        line_no=number if line.line_no is None else line.line_no,
        sku=line.sku,
        product_id=line.product_id or line.sku,
        title=line.title,
        category=line.category,
        quantity=line.quantity,
        unit_price_minor=line.unit_price_minor,
        discount_minor=line.discount_minor,
        tax_minor=line.tax_minor,
        unit_cost_minor=line.unit_cost_minor,
    )


class RefundLineIn(StrictModel):
    """The part of a line that was refunded: not more units than were sold, but perhaps more money."""

    line_no: LineNo
    quantity: Annotated[int, Field(ge=0, le=10**9, description="Units given back; 0 if only money was.")]
    # Money that went back is a fact, be it a return label or an apology; the order's total bounds it.
    amount_minor: Amount


class RefundIn(StrictModel):
    """Money that went back to the customer; an order may have any number of refunds."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "source": "amazon",
                "shop_id": "us-1",
                "external_order_id": "114-3941689-8772232",
                "refund_id": "re_1",
                "refunded_at": "2026-03-09T09:30:00Z",
                "amount_minor": 1177,
                "lines": [{"line_no": 1, "quantity": 1, "amount_minor": 1177}],
            }
        }
    )

    source: Code
    shop_id: ExternalId
    external_order_id: ExternalId
    refund_id: ExternalId
    refunded_at: Instant = Field(description="What is dated before the payment counts from then on.")
    amount_minor: Amount
    shipping_minor: Amount = Field(0, description="Postage within the amount.")
    lines: list[RefundLineIn] = Field(default_factory=list, max_length=MAX_LINES)
    reason: ShortText | None = None
    refund_key: ExternalId | None = Field(None, description="Of the refund request that this answers.")
    currency: CurrencyCode | None = Field(None, description="Checked against the order's if it is said.")

    @field_validator("lines")
    @classmethod
    def _each_line_once(cls, lines: list[RefundLineIn]) -> list[RefundLineIn]:
        if len({line.line_no for line in lines}) != len(lines):
            raise ValueError("a line is refunded twice; add the parts up")
        return lines

    def command(self) -> Refund:
        """Return the refund as the operations take it."""
        return Refund(
            key=(self.source, self.shop_id, self.external_order_id),
            refund_id=self.refund_id,
            refunded_at=self.refunded_at,
            amount_minor=self.amount_minor,
            shipping_minor=self.shipping_minor,
            lines=tuple(RefundedLine(line.line_no, line.quantity, line.amount_minor) for line in self.lines),
            reason=self.reason,
            refund_key=self.refund_key,
            currency=self.currency,
        )


class CancellationIn(StrictModel):
    """An order that was called off."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "source": "amazon",
                "shop_id": "us-1",
                "external_order_id": "114-3941689-8772232",
                "cancelled_at": "2026-03-02T08:00:00Z",
                "reason": "customer_request",
            }
        }
    )

    source: Code
    shop_id: ExternalId
    external_order_id: ExternalId
    cancelled_at: Instant = Field(description="What is dated before the order counts from then on.")
    reason: ShortText | None = None

    def command(self) -> Cancellation:
        """Return the cancellation as the operations take it."""
        return Cancellation(
            (self.source, self.shop_id, self.external_order_id), self.cancelled_at, self.reason
        )


class DeliveryIn(StrictModel):
    """An order that reached its customer whole."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "source": "amazon",
                "shop_id": "us-1",
                "external_order_id": "114-3941689-8772232",
                "delivered_at": "2026-03-05T14:20:00Z",
            }
        }
    )

    source: Code
    shop_id: ExternalId
    external_order_id: ExternalId
    delivered_at: Instant = Field(description="What is dated before the order counts from then on.")

    def command(self) -> Delivery:
        """Return the delivery as the operations take it."""
        return Delivery((self.source, self.shop_id, self.external_order_id), self.delivered_at)
