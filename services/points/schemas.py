"""Request and response models of the points API."""

from datetime import datetime, timedelta
from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, model_validator

from services.points.domain import MAX_ENTRY_POINTS
from shared.schemas import CurrencyCode, ExternalId, MinorUnits, Moment, ShortText, StrictModel

MAX_STOCK = 10**12
MAX_PER_MEMBER = 1_000_000
# Campaigns are planned months ahead; a date beyond this is a mistyped year.
FURTHEST = timedelta(days=36_525)

PositivePoints = Annotated[int, Field(ge=1, le=MAX_ENTRY_POINTS, description="Whole points.", examples=[500])]
Stock = Annotated[int, Field(ge=0, le=MAX_STOCK, description="What is left; absent for no limit.")]
PerMember = Annotated[
    int,
    Field(ge=1, le=MAX_PER_MEMBER, description="How often one member may redeem it; absent for no limit."),
]


class Expiration(BaseModel):
    """Points that expire together."""

    expires_at: datetime
    points: int


class Lifetime(BaseModel):
    """What has happened to the member's points so far."""

    earned: int
    spent: int
    expired: int
    clawed_back: int


class PointsShown(BaseModel):
    """A member's points, judged now."""

    member_id: UUID
    available_points: int = Field(description="What can be spent now; never counts points past their date.")
    pending_points: int = Field(description="Earned, but not to be spent yet.")
    held_points: int = Field(description="Promised to a purchase that is under way.")
    debt_points: int = Field(description="Taken back after they were spent; the next earnings repay it.")
    lifetime: Lifetime
    expirations: list[Expiration] = Field(description="All dates on which points expire, the soonest first.")


class EntryOut(BaseModel):
    """One entry of a member's account."""

    entry_id: UUID
    sequence: int = Field(description="Counts the entries of the account from 1, without gaps.")
    kind: Literal["earn", "claw_back", "redeem", "expire"]
    contra: str = Field(description="The account on the other side of the transfer.")
    points: int = Field(description="What the member got; negative if they gave.")
    order_id: UUID | None
    refund_id: str | None
    redemption_id: UUID | None
    rule_version: int | None
    basis_minor: int | None = Field(description="The amount that the points were reckoned from.")
    currency: str | None
    actor: str
    reason: str
    occurred_at: datetime
    recorded_at: datetime


class CouponTerms(StrictModel):
    """What a coupon reward grants."""

    promotion_id: ExternalId


class RewardIn(StrictModel):
    """A reward for the catalogue."""

    name: ShortText
    kind: Literal["coupon"]
    cost_points: PositivePoints
    coupon: CouponTerms
    stock: Stock | None = None
    per_member_limit: PerMember | None = None
    starts_at: Moment | None = None
    ends_at: Moment | None = None
    cost_minor: MinorUnits | None = Field(None, description="What one costs the seller.")
    cost_currency: CurrencyCode | None = None

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "5 dollars off",
                    "kind": "coupon",
                    "cost_points": 500,
                    "coupon": {"promotion_id": "5-off"},
                    "stock": 1000,
                    "per_member_limit": 2,
                }
            ]
        }
    )

    @model_validator(mode="after")
    def _has_whole_cost(self) -> Self:
        if (self.cost_minor is None) != (self.cost_currency is None):
            raise ValueError("cost_minor and cost_currency go together")
        return self


class RewardPatch(StrictModel):
    """What can change of a reward; what is absent stays."""

    name: ShortText | None = None
    stock: Stock | None = None
    per_member_limit: PerMember | None = None
    starts_at: Moment | None = None
    ends_at: Moment | None = None

    @model_validator(mode="after")
    def _keeps_its_name(self) -> Self:
        if "name" in self.model_fields_set and self.name is None:
            raise ValueError("a reward has a name")
        return self


class RewardOut(BaseModel):
    """A reward of the catalogue."""

    reward_id: UUID
    name: str
    kind: str
    cost_points: int
    coupon: CouponTerms
    stock: int | None
    per_member_limit: int | None
    starts_at: datetime | None
    ends_at: datetime | None
    retired_at: datetime | None
    cost_minor: int | None
    cost_currency: str | None


class RedemptionIn(StrictModel):
    """Points to be spent on a reward."""

    member_id: UUID
    reward_id: UUID
    order_id: UUID | None = None


class RedemptionOut(BaseModel):
    """A redemption that went through."""

    redemption_id: UUID
    member_id: UUID
    reward_id: UUID
    order_id: UUID | None
    points: int
    status: Literal["granted"]
    redeemed_at: datetime


class RedemptionAnswer(RedemptionOut):
    """A redemption that went through just now."""

    available_points: int = Field(description="What the member has left.")


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


class Summary(BaseModel):
    """The ledger as a whole, with the figures that prove that it adds up."""

    earned_points: int
    expired_points: int
    spent_points: int
    clawed_back_points: int
    available_points: int
    pending_points: int
    held_points: int
    debt_points: int
    accounts: int
    lots_open: int
    entries: int
    redemptions: int
    parked_refunds: int = Field(description="Refunds that wait for their order to be paid.")
    due_lots: int = Field(description="Lots past their date that the expiry job has not reached yet.")
    entries_sum: int = Field(
        description="Members' balances plus contra balances: zero, or points came from nowhere."
    )
    lot_mismatches: int = Field(
        description="Accounts and lots that disagree with the entries and moves about them: zero."
    )
