"""Lotteries: odds, rounds and draws."""

from datetime import datetime
from typing import Literal, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, model_validator

from services.points.schemas.fields import MAX_PRIZES, MAX_WEIGHT, Nonce, PositivePoints
from shared.schemas import ShortText, StrictModel

MAX_LIFETIME_DAYS = 36_500
MAX_PRIZE_STOCK = 10**9


class PrizeIn(StrictModel):
    """One line of the odds. What wins nothing is a line too, so that the odds add up in the open."""

    name: ShortText
    kind: Literal["nothing", "points", "reward"]
    weight: int = Field(ge=1, le=MAX_WEIGHT, description="Its share is the weight over all weights.")
    stock: int | None = Field(
        None,
        ge=0,
        le=MAX_PRIZE_STOCK,
        description="How many there are under this version of the odds; absent for as many as are won.",
    )
    points: PositivePoints | None = None
    lifetime_days: int | None = Field(
        None, ge=1, le=MAX_LIFETIME_DAYS, description="Days until won points expire; absent for never."
    )
    reward_id: UUID | None = Field(
        None, description="A coupon, tier upgrade, goods or gift of the catalogue; the prize costs no points."
    )

    @model_validator(mode="after")
    def _is_what_its_kind_says(self) -> Self:
        if (self.points is not None) != (self.kind == "points"):
            raise ValueError("points belong to a prize of points")
        if (self.reward_id is not None) != (self.kind == "reward"):
            raise ValueError("reward_id belongs to a prize that is a reward")
        if self.lifetime_days is not None and self.kind != "points":
            raise ValueError("lifetime_days belongs to a prize of points")
        if self.stock is not None and self.kind == "nothing":
            raise ValueError("there is no end of nothing")
        return self


class OddsIn(StrictModel):
    """A new version of a lottery's odds."""

    prizes: list[PrizeIn] = Field(min_length=1, max_length=MAX_PRIZES)

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "prizes": [
                        {"name": "Nothing", "kind": "nothing", "weight": 950},
                        {"name": "100 points", "kind": "points", "points": 100, "weight": 50},
                    ]
                }
            ]
        }
    )


class PrizeOut(BaseModel):
    """One line of the odds."""

    number: int
    name: str
    kind: Literal["nothing", "points", "reward"]
    weight: int
    stock: int | None = Field(description="How many there were at first; none for as many as are won.")
    points: int | None
    lifetime_days: int | None
    reward_id: UUID | None


class PrizeLeft(PrizeOut):
    """One line of the odds, and what is left of it."""

    left_units: int | None


class OddsOut(BaseModel):
    """A version of the odds."""

    version: int
    digest: str = Field(description="SHA-256 over the odds, published before the first draw under them.")
    effective_at: datetime = Field(description="Rounds that begin from then on are drawn under it.")
    total_weight: int
    prizes: list[PrizeLeft]


class RoundOut(BaseModel):
    """A round: one secret seed, committed to before it begins and revealed when it is over."""

    lottery_id: UUID
    number: int
    commitment: str = Field(description="SHA-256 of the seed, in hexadecimal.")
    committed_at: datetime
    odds_version: int
    starts_at: datetime
    ends_at: datetime
    seed: str | None = Field(description="The seed in hexadecimal; not before the round is over.")


class LotteryOut(BaseModel):
    """A lottery as it is now."""

    lottery_id: UUID
    name: str
    cost_points: int
    round_hours: int
    odds: list[OddsOut] = Field(description="All versions, the newest first.")
    rounds: list[RoundOut] = Field(description="The round of now and those to come.")


class DrawIn(StrictModel):
    """A draw that a member pays for."""

    member_id: UUID
    lottery_id: UUID
    client_nonce: Nonce

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "member_id": "019aa8f2-f23f-7ae5-9b9b-f3b2f981c5c4",
                    "lottery_id": "019aa8f2-0e7b-7441-9f08-7d24d178eed7",
                    "client_nonce": "c2f1a9e07b",
                }
            ]
        }
    )


class DrawOut(BaseModel):
    """A draw with all that decided it."""

    draw_id: UUID
    lottery_id: UUID
    member_id: UUID
    round_number: int
    commitment: str
    odds_version: int
    odds_digest: str
    client_nonce: str
    draw_number: int = Field(description="Counts the member's draws of the round from 1, without gaps.")
    ticket: int = Field(description="A number below the total weight of the odds.")
    prize_number: int
    stock_before: int | None = Field(
        description="What was left of the prize that the ticket hit; none if it has no end."
    )
    outcome: Literal["won", "nothing", "exhausted"]
    cost_points: int
    drawn_at: datetime
    receipt: str = Field(description="SHA-256 of the record; keep it to notice if the record changes.")
    redemption_id: UUID | None = Field(description="What granted the reward that it won.")


class DrawShown(DrawOut):
    """A draw with everything needed to verify it."""

    round_ends_at: datetime
    seed: str | None = Field(description="The round's seed in hexadecimal; not before the round is over.")
    prizes: list[PrizeOut] = Field(description="The odds that it was drawn under.")


class DrawAnswer(DrawOut):
    """A draw that has just been made."""

    prize_name: str
    points_won: int
    available_points: int = Field(description="What the member has left, with what was won.")


class DrawRehearsed(BaseModel):
    """A draw that could be made."""

    cost_points: int
    available_points: int = Field(description="What the member would have left.")
