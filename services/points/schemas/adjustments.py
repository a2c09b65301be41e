"""Points moved by hand, and points brought along from elsewhere."""

from datetime import datetime
from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, model_validator

from services.points.domain import MAX_ENTRY_POINTS
from services.points.schemas.fields import PositivePoints
from shared.schemas import ExternalId, Instant, Moment, Reason, ShortText, StrictModel

AdjustmentStatus = Literal["posted", "pending_approval", "approved", "rejected", "lapsed"]


class AdjustmentIn(StrictModel):
    """Points for a member, or from them."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "member_id": "0197b1c8-0000-7000-8000-000000000001",
                "points": 250,
                "reason": "Parcel arrived late",
            }
        }
    )

    member_id: UUID
    points: Annotated[
        int,
        Field(
            ge=-MAX_ENTRY_POINTS,
            le=MAX_ENTRY_POINTS,
            description="What the member gets; negative to take it.",
            examples=[250],
        ),
    ]
    reason: Reason = Field(
        description="Why. It stays in the ledger for ever and the member may read it: no personal data.",
        examples=["Parcel arrived late"],
    )
    expires_at: Moment | None = Field(
        None, description="When given points expire; null for never, absent for the program's usual time."
    )
    allow_debt: bool = Field(False, description="Take more than there is; what is missing becomes debt.")

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if self.points == 0:
            raise ValueError("points must not be 0")
        if self.points > 0 and self.allow_debt:
            raise ValueError("allow_debt is for taking points")
        if self.points < 0 and self.expires_at is not None:
            raise ValueError("expires_at is for giving points")
        return self


class DecisionIn(StrictModel):
    """Why a proposal is approved or rejected."""

    model_config = ConfigDict(json_schema_extra={"example": {"reason": "Agreed with the shop"}})

    reason: ShortText | None = None


class AdjustmentOut(BaseModel):
    """Points that were moved by hand, or a proposal to."""

    adjustment_id: UUID
    member_id: UUID
    points: int
    reason: str
    expires_at: datetime | None
    allow_debt: bool
    status: AdjustmentStatus = Field(
        description="`posted` at once; or `pending_approval` by another key until it is `approved`, "
        "`rejected` or `lapsed`."
    )
    actor: str = Field(description="The key that asked for it.")
    requested_at: datetime
    lapses_at: datetime | None = Field(description="Until when a proposal can be decided.")
    decided_by: str | None
    decided_at: datetime | None
    decision_reason: str | None
    entry_id: UUID | None = Field(description="The entry that moved the points; null as long as none did.")


class AdjustmentAnswer(AdjustmentOut):
    """An adjustment just made or decided."""

    available_points: int | None = Field(description="What the member can spend now; null if nothing moved.")


class OpeningIn(StrictModel):
    """Points that a member brings along from another system; (source, row_id) names them for ever."""

    source: ExternalId = Field(description="The system that they come from.")
    row_id: ExternalId = Field(description="The row or lot in that system.")
    member_id: UUID
    points: PositivePoints
    earned_at: Instant = Field(description="When they were earned there.")
    expires_at: Moment | None = Field(None, description="When they expire; absent or null for never.")
    reason: ShortText = "Opening balance"

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "source": "old-crm",
                    "row_id": "4711",
                    "member_id": "0198f6a2-7c1e-7b6e-9d0a-3f0c5b1e2d4f",
                    "points": 500,
                    "earned_at": "2025-11-02T09:30:00Z",
                    "expires_at": "2026-11-02T09:30:00Z",
                }
            ]
        }
    )

    @model_validator(mode="after")
    def _expires_after_it_was_earned(self) -> Self:
        if self.expires_at is not None and self.expires_at <= self.earned_at:
            raise ValueError("expires_at lies after earned_at")
        return self


class OpeningOut(BaseModel):
    """What became of a row that was brought along."""

    source: str
    row_id: str
    member_id: UUID
    entry_id: UUID = Field(description="The entry that opened the lot.")
    status: Literal["accepted", "unchanged"] = Field(description="`unchanged` if it was brought in before.")
