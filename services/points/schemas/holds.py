"""Holds and transfers."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from services.points.schemas.fields import PositivePoints
from shared.schemas import Moment, Reason, ShortText, StrictModel


class HoldIn(StrictModel):
    """Points to be promised to a purchase."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "member_id": "0197b1c8-0000-7000-8000-000000000001",
                "points": 500,
                "reason": "Cart 8123",
                "hold_id": "019aa8f2-5d68-7047-9823-98678d7b8701",
            }
        }
    )

    member_id: UUID
    points: PositivePoints
    reason: ShortText = "Checkout"
    order_id: UUID | None = Field(None, description="The order that they are for, if it is known.")
    expires_at: Moment | None = Field(
        None, description="When they are released unless captured before; absent for the program's default."
    )
    hold_id: UUID | None = Field(None, description="An id of the caller's: asked again, it is the same hold.")


class CaptureIn(StrictModel):
    """What of a hold is to be spent."""

    model_config = ConfigDict(json_schema_extra={"example": {"points": 300, "reason": "Order 8123 was paid"}})

    points: PositivePoints | None = Field(None, description="Absent for all; the rest is released.")
    reason: ShortText | None = None


class CaptureOfIn(CaptureIn):
    """A hold to be captured, among others."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"hold_id": "019aa8f2-5d68-7047-9823-98678d7b8701", "points": 300}}
    )

    hold_id: UUID


class VoidOfIn(StrictModel):
    """A hold to be voided, among others."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"hold_id": "019aa8f2-5d68-7047-9823-98678d7b8701"}}
    )

    hold_id: UUID


class HoldOut(BaseModel):
    """A hold as it is now."""

    hold_id: UUID
    member_id: UUID
    points: int
    captured_points: int
    status: Literal["held", "captured", "voided", "expired"]
    order_id: UUID | None
    reason: str
    held_at: datetime
    expires_at: datetime


class HoldAnswer(HoldOut):
    """A hold as a command left it."""

    available_points: int = Field(description="What the member can spend after it.")


class MaturityIn(StrictModel):
    """Orders whose pending points can be spent from now on."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "order_ids": ["019aa8f2-6d68-7047-9823-98678d7b8702", "019aa8f2-6d68-7047-9823-98678d7b8703"]
            }
        }
    )

    order_ids: list[UUID] = Field(min_length=1, max_length=1000)


class MaturityOut(BaseModel):
    """What matured."""

    matured_points: int = Field(description="0 if the orders earned nothing that was still pending.")


class TransferIn(StrictModel):
    """Points that one member gives another."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "from_id": "0197b1c8-0000-7000-8000-000000000001",
                "to_id": "0197b1c8-0000-7000-8000-000000000005",
                "points": 250,
                "reason": "A present for her birthday",
            }
        }
    )

    from_id: UUID
    to_id: UUID
    points: PositivePoints
    reason: Reason
    transfer_id: UUID | None = Field(
        None, description="An id of the caller's: asked again, it is the same transfer."
    )


class TransferOut(BaseModel):
    """A transfer that went through."""

    transfer_id: UUID
    from_id: UUID
    to_id: UUID
    points: int
    available_points: int = Field(description="What the giver can spend after it.")
