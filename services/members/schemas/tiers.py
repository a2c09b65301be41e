"""The tier table with its window, its period and how members fall; and the rules of the lifecycle."""

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, RootModel, Strict, model_validator

from services.members.domain import STAGES, Ladder, Level, LifecycleRules, Period, Policy, Window
from services.members.schemas.vocabulary import MAX_ORDER_MINOR, Code
from shared.schemas import MAX_BIGINT, ShortText, StrictModel

__all__ = [
    "LifecycleIn",
    "LifecycleOut",
    "TierIn",
    "TierProgramIn",
    "TiersIn",
    "TiersOut",
    "TiersReplaced",
    "WouldMoveOut",
]

MAX_TIERS = 20
MAX_DAYS = 3_660
# A number and nothing that could be taken for one.
Ratio = Annotated[float, Strict()]
Stage = Literal["identification", "development", "stability", "decline", "recovered", "lost"]


class BenefitsIn(StrictModel):
    """What a tier is good for. Who gives a benefit reads it from here or from the events of the tier."""

    points_multiplier_percent: int = Field(100, ge=100, le=10_000, description="What points earned become.")
    free_shipping: bool = False
    exclusive_coupons: list[Code] = Field(
        default_factory=list, max_length=50, description="Promotions that only this tier may use."
    )
    birthday_gift: ShortText | None = Field(None, description="What is given on a birthday.")
    priority: int = Field(0, ge=0, le=100, description="The higher the sooner somebody is served.")


class TierIn(StrictModel):
    """One tier. Any of its thresholds reaches it; without one it is only bought or given."""

    name: Code
    rank: int = Field(ge=0, le=1000, description="The higher the better.")
    min_spend_minor: int | None = Field(
        None, ge=0, le=MAX_ORDER_MINOR * 1000, description="Spend that reaches it, in the program's currency."
    )
    min_orders: int | None = Field(None, ge=0, le=10**9, description="Orders that reach it.")
    min_points: int | None = Field(
        None, ge=0, le=MAX_BIGINT, description="Points earned that reach it, whatever became of them."
    )
    benefits: BenefitsIn = Field(default_factory=BenefitsIn)

    def level(self) -> Level:
        """The tier as the rules know it."""
        benefits = self.benefits.model_dump(exclude_unset=True)
        return Level(self.name, self.rank, self.min_spend_minor, benefits, self.min_orders, self.min_points)


class WindowIn(StrictModel):
    """In which time what a member does counts."""

    kind: Literal["since_joining", "rolling_days", "rolling_months", "calendar_year"] = "since_joining"
    count: int = Field(0, ge=0, le=MAX_DAYS, description="Days or months of a rolling window.")

    @model_validator(mode="after")
    def _has_a_length(self) -> "WindowIn":
        if (self.count > 0) != self.kind.startswith("rolling"):
            raise ValueError("a rolling window has a count, the others have none")
        if self.kind == "rolling_months" and self.count > 120:
            raise ValueError("is longer than 120 months")
        return self


class PeriodIn(StrictModel):
    """How long a tier holds before it is judged whether it is prolonged."""

    kind: Literal["none", "days", "months", "calendar_year"] = "none"
    count: int = Field(
        0, ge=0, le=MAX_DAYS, description="Days or months; for calendar_year how many years after this one."
    )

    @model_validator(mode="after")
    def _has_a_length(self) -> "PeriodIn":
        if (self.kind == "none" and self.count) or (self.kind in ("days", "months") and not self.count):
            raise ValueError("days and months have a count, none has not")
        if self.kind != "days" and self.count > 120:
            raise ValueError("is longer than 120")
        return self


class TierProgramIn(StrictModel):
    """The whole tier table with its rules."""

    tiers: list[TierIn] = Field(min_length=1, max_length=MAX_TIERS)
    window: WindowIn = Field(default_factory=WindowIn)
    period: PeriodIn = Field(default_factory=PeriodIn)
    downgrade: Literal["to_earned", "one_level", "none"] = Field(
        "to_earned", description="What happens at the end of a period in which too little was earned."
    )
    grace_days: int = Field(
        0, ge=0, le=366, description="Days after the end of the period in which earning still prolongs."
    )
    refund_grace_days: int | None = Field(
        0,
        ge=0,
        le=366,
        description="Days between a refund that undoes a tier and its loss, announced; 0 is at once, null"
        " never takes a tier back.",
    )
    floor: Code | None = Field(None, description="The tier below which nobody falls who once reached it.")

    @model_validator(mode="after")
    def _is_a_ladder(self) -> "TierProgramIn":
        Ladder(0, self.levels(), self.policy())
        return self

    def levels(self) -> list[Level]:
        """The tiers as the rules know them."""
        return [tier.level() for tier in self.tiers]

    def policy(self) -> Policy:
        """The rules beside the tiers."""
        return Policy(
            Window(self.window.kind, self.window.count),
            Period(self.period.kind, self.period.count),
            self.downgrade,
            self.grace_days,
            self.refund_grace_days,
            self.floor,
        )


TierList = Annotated[list[TierIn], Field(min_length=1, max_length=MAX_TIERS)]


class TiersIn(RootModel[TierList | TierProgramIn]):
    """The tiers alone, for the window and the rules that hold now; or the whole program."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "tiers": [
                    {"name": "bronze", "rank": 0, "min_spend_minor": 0},
                    {
                        "name": "gold",
                        "rank": 1,
                        "min_spend_minor": 50_000,
                        "min_orders": 10,
                        "benefits": {"free_shipping": True, "points_multiplier_percent": 150},
                    },
                ],
                "window": {"kind": "rolling_months", "count": 12},
                "period": {"kind": "months", "count": 12},
                "downgrade": "one_level",
                "grace_days": 30,
                "refund_grace_days": 14,
            }
        }
    )

    @model_validator(mode="after")
    def _rises(self) -> "TiersIn":
        Ladder(0, self.levels())
        return self

    def levels(self) -> list[Level]:
        """The tiers as the rules know them."""
        tiers = self.root.tiers if isinstance(self.root, TierProgramIn) else self.root
        return [tier.level() for tier in tiers]

    def policy(self) -> Policy | None:
        """The rules beside the tiers; None for those that hold now."""
        return self.root.policy() if isinstance(self.root, TierProgramIn) else None


class TierOut(BaseModel):
    """One tier."""

    name: str
    rank: int
    min_spend_minor: int | None
    min_orders: int | None
    min_points: int | None
    benefits: dict[str, Any]


class SpanOut(BaseModel):
    """A window or a period."""

    kind: str
    count: int


class TiersOut(BaseModel):
    """The tier table that holds."""

    version: int
    currency: str
    time_zone: str
    tiers: list[TierOut]
    window: SpanOut
    period: SpanOut
    downgrade: str
    grace_days: int
    refund_grace_days: int | None
    floor: str | None


class TierMoveOut(BaseModel):
    """How many members a table moves from one tier to another."""

    from_tier: str | None
    to_tier: str | None
    members: int


class TiersReplaced(TiersOut):
    """The new tier table, and whom it moves; they are moved within seconds."""

    members_up: int
    members_down: int
    moves: list[TierMoveOut]


class WouldMoveOut(BaseModel):
    """A member whom a tier table would move now."""

    member_id: UUID
    from_tier: str | None
    to_tier: str | None
    is_up: bool


class LifecycleIn(StrictModel):
    """The rules that lifecycle stages are judged by, and the strategy of each stage."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "typical_interval_days": 45,
                "strategies": {"decline": "win-back", "lost": "farewell"},
            }
        }
    )

    typical_interval_days: Ratio = Field(
        60.0, ge=0.1, le=3_660, description="The interval between purchases that is usual in the shop."
    )
    typical_interval_weight: Ratio = Field(
        2.0, ge=0.1, le=100, description="How many of a member's own intervals that one weighs."
    )
    development_purchases: int = Field(2, ge=2, le=1_000)
    stability_purchases: int = Field(4, ge=2, le=10_000)
    decline_ratio: Ratio = Field(
        2.0, ge=1, le=100, description="Recency as a multiple of the expected interval."
    )
    lost_ratio: Ratio = Field(4.0, ge=1, le=1_000)
    hysteresis: Ratio = Field(
        0.2, ge=0, lt=1, description="A purchase leads out of decline below (1 - hysteresis) · decline_ratio."
    )
    dwell_days: Ratio = Field(7.0, ge=0, le=366, description="The least time that a stage lasts.")
    strategies: dict[Stage, Code] = Field(
        default_factory=dict, description="Stage to the strategy that journeys act on."
    )

    @model_validator(mode="after")
    def _rises(self) -> "LifecycleIn":
        if self.lost_ratio <= self.decline_ratio:
            raise ValueError("lost_ratio must be above decline_ratio")
        if self.stability_purchases < self.development_purchases:
            raise ValueError("stability asks for at least as many purchases as development")
        return self

    def rules(self) -> LifecycleRules:
        """The rules as the judgement knows them, without a version yet."""
        return LifecycleRules(**self.model_dump())


class LifecycleOut(LifecycleIn):
    """The rules that hold."""

    version: int
    stages: tuple[str, ...] = STAGES
