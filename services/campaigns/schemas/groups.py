"""Groups, their seats and the links that lead to them."""

from datetime import datetime
from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import BaseModel, Field, model_validator

from services.campaigns.schemas.fields import Quantity
from shared.schemas import ExternalId, StrictModel

__all__ = ["GroupOut", "JoinIn", "LinkIn", "LinkOut", "OpenGroupIn", "SeatHeld", "SeatOut"]

Channel = Annotated[
    str,
    Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,31}$", description="Where it is shared.", examples=["whatsapp"]),
]
Token = Annotated[str, Field(min_length=1, max_length=2048, description="The token of a share link.")]


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
