"""Explanations of a balance and of what an order earned."""

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, Field


class StepOut(BaseModel):
    """An entry, in the order in which they were made."""

    sequence: int
    entry_id: UUID
    kind: str
    points: int
    balance_points: int = Field(description="The sum of all entries up to this one, or of those about it.")
    about_id: UUID
    reference: str
    rule_version: int | None
    actor: str
    occurred_at: datetime
    recorded_at: datetime
    because: list[str] = Field(description="Why, in sentences.")


class LotOut(BaseModel):
    """Points that expire together, in the order in which spending takes them."""

    lot_id: UUID
    order_id: UUID | None
    points: int
    remaining_points: int
    held_points: int
    pending: bool
    earned_at: datetime
    expires_at: datetime | None
    matures_at: datetime | None


class HoldShown(BaseModel):
    """Points promised to a purchase that is under way."""

    hold_id: UUID
    order_id: UUID | None
    points: int
    reason: str
    held_at: datetime
    expires_at: datetime


class TierShown(BaseModel):
    """The tier as points know it."""

    tier: str | None
    points_multiplier_percent: int | None
    changed_at: datetime


class RefundShown(BaseModel):
    """A refund of the order."""

    refund_id: str
    amount_minor: int
    currency: str
    complete: bool
    refunded_at: datetime
    applied_at: datetime | None = Field(description="Absent while it waits for the order to be paid.")
    clawed_back_points: int


class OrderExplained(BaseModel):
    """What an order earned and kept, and why."""

    order_id: UUID
    earned_points: int
    kept_points: int = Field(description="Earned less what was taken back; what expired or was spent counts.")
    rule_version: int | None
    rule_name: str | None
    because: list[str]
    rules: dict[str, Any] | None = Field(description="What the rule set made of it, part by part.")
    refunds: list[RefundShown]
    steps: list[StepOut]


class PointsExplained(BaseModel):
    """How a member's balance came about; with `order_id` what that order has to do with it."""

    member_id: UUID
    available_points: int
    pending_points: int
    held_points: int
    debt_points: int
    tier: TierShown | None
    earlier_points: int = Field(description="The sum of the entries before the first step shown.")
    steps: list[StepOut]
    lots: list[LotOut]
    holds: list[HoldShown]
    order: OrderExplained | None = None
