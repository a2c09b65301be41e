"""Redemptions, how goods get to the member, standing choices and what they did to an order."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from shared.schemas import ExternalId, StrictModel

Status = Literal["pending", "granted", "declined", "cancelled"]
Step = Literal["requested", "packed", "shipped", "delivered", "cancelled"]


class RedemptionIn(StrictModel):
    """Points to be spent on a reward."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "member_id": "0197b1c8-0000-7000-8000-000000000001",
                "reward_id": "019aa8f2-0e7b-7441-9f08-7d24d178eed7",
            }
        }
    )

    member_id: UUID
    reward_id: UUID
    order_id: UUID | None = Field(None, description="The order that it is for; free shipping needs one.")


class RedemptionOut(BaseModel):
    """A redemption."""

    redemption_id: UUID
    member_id: UUID
    reward_id: UUID
    order_id: UUID | None
    points: int
    status: Status = Field(
        description="`pending` until the service that delivers has confirmed; `declined` and `cancelled` have"
        " their points back."
    )
    redeemed_at: datetime


class RedemptionShown(RedemptionOut):
    """A redemption and what has become of it."""

    fulfilment: Step | None = Field(description="How far goods have got; none if nothing is packed.")
    tracking: str | None
    draw_id: UUID | None = Field(description="The draw that won it; then it cost nothing.")
    reason: str | None = Field(description="Why it was declined or cancelled.")
    changed_at: datetime | None


class RedemptionAnswer(RedemptionOut):
    """A redemption that went through just now."""

    available_points: int = Field(description="What the member has left.")


class FulfilmentIn(StrictModel):
    """A step of goods on their way; steps may be passed over, and there is no way back."""

    redemption_id: UUID
    step: Literal["packed", "shipped", "delivered", "cancelled"]
    tracking: ExternalId | None = Field(None, description="The parcel, as whoever carries it names it.")

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "redemption_id": "019aa8f2-4095-7206-9d93-d10290b97c25",
                    "step": "shipped",
                    "tracking": "1Z999AA10123456784",
                }
            ]
        }
    )


class FreeShippingChoice(StrictModel):
    """The reward to apply to every order that has postage."""

    reward_id: UUID


class ChoicesIn(StrictModel):
    """What the member wants applied by itself; what is null is off."""

    free_shipping: FreeShippingChoice | None

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"free_shipping": {"reward_id": "019aa8f2-0e7b-7441-9f08-7d24d178eed7"}}]
        }
    )


class ChosenShipping(BaseModel):
    """The reward applied to every order that has postage."""

    reward_id: UUID
    chosen_at: datetime = Field(description="Orders placed before that are left alone.")


class ChoicesOut(BaseModel):
    """What the member wants applied by itself."""

    member_id: UUID
    free_shipping: ChosenShipping | None


class BenefitOut(BaseModel):
    """What became of free shipping for an order."""

    status: Literal["applied", "refused", "cancelled"]
    reason: str | None = Field(description="Why it was refused, as a refusal code.")
    redemption_id: UUID | None
    decided_at: datetime


class OrderBenefits(BaseModel):
    """What points did for an order."""

    order_id: UUID
    free_shipping: BenefitOut | None = Field(description="None if nobody chose it and nobody asked for it.")
    redemptions: list[RedemptionShown]
