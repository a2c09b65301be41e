"""Where a member stands in the tiers and in the lifecycle, as it reads, and locks."""

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from services.members.schemas.vocabulary import Code
from shared.schemas import Moment, Reason, ShortText, StrictModel

__all__ = ["LockIn", "MemberStandingOut", "StageChangeOut", "StageOut", "TierChangeOut", "TierStandingOut"]


class FiguresOut(BaseModel):
    """What counts in a window."""

    spend_minor: int
    orders: int
    points: int


class MissingOut(BaseModel):
    """How much more it takes; any one of them is enough, null is not asked for."""

    spend_minor: int | None
    orders: int | None
    points: int | None


class LockOut(BaseModel):
    """A tier that somebody fixed by hand."""

    tier: str
    until: datetime | None
    actor: str
    reason: str
    locked_at: datetime


class TierStandingOut(BaseModel):
    """A member's place in the tiers, judged as of `as_of`."""

    as_of: datetime
    tier: str | None
    benefits: dict[str, Any]
    since: datetime | None
    counted: FiguresOut = Field(description="What counts in the window as of now.")
    next_tier: str | None
    missing: MissingOut | None = Field(description="What is missing to the next tier.")
    missing_by: datetime | None = Field(
        description="When the oldest of what counts now leaves the window, so that more is missing."
    )
    ends_at: datetime | None = Field(
        description="When the tier's period ends; null if it has none, or as long as it is locked."
    )
    prolonged_if: MissingOut | None = Field(
        description="What has to be earned until then to keep the tier; nothing is missing at 0."
    )
    falls_at: datetime | None = Field(description="When the tier is lost; announced by member.tier_at_risk.")
    falls_reason: str | None
    is_given: bool = Field(description="Bought, or kept by a rule: no refund takes it before its end.")
    lock: LockOut | None


class StageOut(BaseModel):
    """A member's lifecycle stage, judged as of `as_of`."""

    as_of: datetime
    stage: str
    since: datetime | None
    purchases: int
    last_purchase_at: datetime | None
    expected_interval_days: float | None = Field(
        description="Days between purchases to expect of this member: the own rhythm, shrunk to the shop's."
    )
    recency_ratio: float | None = Field(
        description="The time since the last purchase as a multiple of that interval."
    )
    next_stage: str | None = Field(description="What comes if the member does not buy; null if nothing does.")
    next_at: datetime | None
    strategy: str | None


class MemberStandingOut(BaseModel):
    """A person's place in the tiers and in the lifecycle."""

    member_id: UUID
    tier: TierStandingOut
    stage: StageOut


class TierChangeOut(BaseModel):
    """Something that befell a tier, or that somebody did to it."""

    kind: str = Field(
        description="upgraded, downgraded, prolonged, at_risk, retained, redefined, locked or unlocked.",
        examples=["upgraded"],
    )
    from_tier: str | None
    to_tier: str | None
    at: datetime = Field(description="When by its own time.")
    until: datetime | None
    reason: str
    actor: str | None = Field(description="Who had it so, if it was a person.")
    spend_minor: int | None
    orders: int | None
    points: int | None
    tier_version: int
    recorded_at: datetime


class StageChangeOut(BaseModel):
    """A stage that was said of a member."""

    from_stage: str
    to_stage: str
    at: datetime = Field(description="Since when, by the orders' own times.")
    reason: str = Field(description="purchase, recency, history or rules.")
    purchases: int
    recency_days: int
    expected_interval_days: int
    strategy: str | None
    rules_version: int
    recorded_at: datetime


class LockIn(StrictModel):
    """Hold a member in a tier."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {"tier": "gold", "until": "2027-01-01T00:00:00Z", "reason": "made up for a lost order"}
        }
    )

    tier: Code
    until: Moment | None = Field(None, description="Until when; until it is unlocked if left out.")
    reason: Reason
    actor: ShortText | None = Field(None, description="Who wants it so; the caller's key if left out.")
