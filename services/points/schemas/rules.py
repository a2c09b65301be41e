"""Earning rules."""

from datetime import datetime

from pydantic import BaseModel, Field

from shared.schemas import Moment, StrictModel


class EarningRuleIn(StrictModel):
    """A new version of the earning rule."""

    points_per_unit: int = Field(
        ge=0, le=1_000_000, description="Points for each whole unit of the order's currency.", examples=[1]
    )
    lot_lifetime_days: int | None = Field(
        365, ge=1, le=36_500, description="Days from the payment until the points expire; null for never."
    )
    effective_at: Moment | None = Field(
        None, description="Orders paid from then on earn by it; absent for now."
    )


class EarningRuleOut(BaseModel):
    """A version of the earning rule."""

    version: int
    points_per_unit: int
    lot_lifetime_days: int | None
    effective_at: datetime
    created_by: str
    created_at: datetime


class EarningRules(BaseModel):
    """The earning rule: the version in force, and all of them."""

    current: EarningRuleOut
    versions: list[EarningRuleOut]
