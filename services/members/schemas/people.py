"""Members as they read, and what may be said about them one by one."""

from datetime import date, datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from services.members.schemas.results import OrderOut
from services.members.schemas.vocabulary import Code
from shared.schemas import Instant, ShortText, StrictModel

__all__ = ["ConsentIn", "MemberOut", "MemberPage", "TagOut"]


class IdentityOut(BaseModel):
    """One name under which a source knows the member."""

    source: str
    external_id: str


class ContactPointOut(BaseModel):
    """An address of the member."""

    channel: str
    address: str
    verified: bool


class ConsentOut(BaseModel):
    """What the member last said about a channel and a purpose."""

    channel: str
    purpose: str
    granted: bool
    stated_at: datetime
    wording_hash: str | None
    source: str


class TagOut(BaseModel):
    """A tag, who gave it, and when it falls off."""

    tag: str
    source: str
    given_at: datetime
    expires_at: datetime | None


class MemberOut(BaseModel):
    """A member with everything that is known."""

    member_id: UUID
    created_at: datetime
    display_name: str | None
    locale: str | None
    time_zone: str | None
    country: str | None
    birthday: date | None
    tier: str | None
    tier_changed_at: datetime | None
    spend_minor: int = Field(
        description="Paid and neither refunded nor cancelled, in the program's currency."
    )
    spend_currency: str
    orders_count: int
    last_order_at: datetime | None
    revision: int
    erased_at: datetime | None = Field(
        None, description="When the member was erased; nothing personal is left then."
    )
    merged_ids: list[UUID] = Field(description="Members that are aliases of this one.")
    identities: list[IdentityOut]
    contact_points: list[ContactPointOut]
    consents: list[ConsentOut]
    tags: list[TagOut]
    groups: list[str]
    attributes: dict[str, Any] = Field(description="What the program's own schema knows of the member.")


class MemberPage(MemberOut):
    """A member with everything that a person would want to see at once."""

    recent_orders: list[OrderOut] = Field(description="The latest orders with their lines, at most five.")


class ConsentIn(StrictModel):
    """What a member said about being written to."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "member_id": "0197b1c8-0000-7000-8000-000000000001",
                "channel": "email",
                "purpose": "marketing",
                "granted": False,
                "actor": "support:kim",
            }
        }
    )

    member_id: UUID
    channel: Code
    purpose: Literal["marketing", "service"]
    granted: bool
    actor: ShortText = Field(description="Who wrote it down: a person, a form, a shop.")
    source: Code = Field("api", description="Where it was said.")
    stated_at: Instant | None = Field(None, description="When it was said; now if left out.")
    wording_hash: ShortText | None = None
