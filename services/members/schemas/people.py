"""Members as they read, and what may be said about them one by one."""

from datetime import date, datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from services.members.schemas.examples import MEMBER_PAGE
from services.members.schemas.results import OrderOut
from services.members.schemas.standing import MissingOut, StageOut
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


class CountedOut(BaseModel):
    """What was done in the time that counts for tiers now."""

    spend_minor: int
    orders: int
    points: int = Field(description="Points earned, less what was clawed back; 0 if no tier asks for points.")


class StandingOut(BaseModel):
    """On which terms a member holds its tier, and what is missing to the next one: any one of it would do."""

    tier: str | None
    since: datetime | None
    ends_at: datetime | None = Field(
        description="When the tier's period ends; null is never, or as long as it is locked."
    )
    falls_at: datetime | None = Field(description="When the tier is lost unless enough is earned until then.")
    falls_reason: str | None
    is_given: bool = Field(description="Bought, or kept by a rule: no refund takes it before its end.")
    is_locked: bool
    locked_until: datetime | None = Field(description="Null while it is locked is until somebody unlocks it.")
    counted: CountedOut
    counts_until: datetime | None = Field(
        description="When the first of what counts now stops counting; null is never."
    )
    next_tier: str | None = Field(
        description="The next tier that can be earned; null if this is the highest."
    )
    missing_spend_minor: int | None = Field(description="Null if the next tier does not ask for spend.")
    missing_orders: int | None
    missing_points: int | None
    prolonged_if: MissingOut | None = Field(
        description="What is still missing to keep the tier beyond its end: any one at 0 is enough."
    )


class MemberPage(MemberOut):
    """A member with everything that a person would want to see at once."""

    model_config = ConfigDict(json_schema_extra={"example": MEMBER_PAGE})

    stage: str = Field(description="Of the lifecycle, such as `development` or `decline`.")
    stage_since: datetime | None
    standing: StandingOut
    lifecycle: StageOut
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
