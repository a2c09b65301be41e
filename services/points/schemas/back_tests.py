"""Back-tests of earning rules."""

from datetime import datetime
from typing import Literal, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, model_validator

from services.points.schemas.rules import RuleSetTerms
from shared.schemas import Moment, StrictModel


class BackTestIn(StrictModel):
    """A version, a draft or a document to be tried on orders that have earned."""

    version: int | None = Field(None, ge=1, le=2**31 - 1, description="A version or draft.")
    terms: RuleSetTerms | None = Field(None, description="A rule set that is not kept; instead of a version.")
    paid_from: Moment
    paid_until: Moment = Field(description="Orders paid before it.")

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "terms": {"base": {"points": 2}, "caps": [{"per": "day", "points": 500}]},
                    "paid_from": "2026-01-01T00:00:00Z",
                    "paid_until": "2026-07-01T00:00:00Z",
                }
            ]
        }
    )

    @model_validator(mode="after")
    def _has_one_rule_set(self) -> Self:
        if (self.version is None) == (self.terms is None):
            raise ValueError("either version or terms")
        return self


class MemberChange(BaseModel):
    """A member, and how many points more (or less) the draft would have granted."""

    member_id: UUID
    points: int


class TierMoveOut(BaseModel):
    """How many members would hold one tier instead of another."""

    from_tier: str | None = Field(description="None: no tier.")
    to_tier: str | None
    members: int


class TierChangesOut(BaseModel):
    """Who would hold another tier as of now, by the tier table that holds now."""

    members_up: int
    members_down: int
    moves: list[TierMoveOut]


class BackTestOut(BaseModel):
    """A back-test as far as it has come. Points are those granted, before refunds."""

    back_test_id: UUID
    status: Literal["running", "judging_tiers", "done"] = Field(
        description="`judging_tiers`: points are known, and members says what becomes of tiers."
    )
    version: int | None
    paid_from: datetime
    paid_until: datetime
    created_by: str
    created_at: datetime
    finished_at: datetime | None
    members: int = Field(description="Members with orders in the window.")
    orders: int
    orders_changed: int = Field(description="Orders that would have earned more or less.")
    orders_refused: int = Field(description="Orders that the draft cannot judge.")
    orders_without_lines: int = Field(description="Orders whose lines are not known.")
    granted_points: int
    draft_points: int
    change_points: int
    granted_liability_points: int = Field(
        description="Of those granted, what refunds left and would not have expired by now."
    )
    draft_liability_points: int
    change_liability_points: int
    capped_orders: int
    capped_points: int = Field(description="What caps of the draft cut.")
    members_gaining: int
    members_losing: int
    tiers: TierChangesOut | None = Field(
        description="Whole once `done`; none in back-tests from before tiers were judged."
    )
    winners: list[MemberChange]
    losers: list[MemberChange]
