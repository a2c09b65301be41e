"""What the program owes its members."""

from datetime import datetime

from pydantic import BaseModel, Field

Month = Field(description="A month of the program's zone, as YYYY-MM.", examples=["2026-12"])
Values = Field(
    description="What the outstanding points are worth, in minor units by currency; empty unless the "
    "settings say what a point is worth."
)


class ExpiryMonthOut(BaseModel):
    """Points that expire in one month."""

    month: str | None = Field(description="As YYYY-MM; null for points that never expire.")
    outstanding_points: int = Field(description="All that members have, with what is held and pending.")
    held_points: int
    pending_points: int
    values_minor: dict[str, int] = Values


class CohortOut(BaseModel):
    """What became of the points that were issued in one month."""

    month: str = Month
    issued_points: int = Field(description="Points that went into lots; what repaid debt at once did not.")
    expired_points: int
    outstanding_points: int
    breakage: float | None = Field(
        description="Expired of issued so far, from 0 to 1, rounded to four places; null if none were issued."
    )


class LiabilityOut(BaseModel):
    """What the program owes its members, by month of expiry, and what is never spent, by month of issue."""

    as_of: datetime
    zone: str = Field(description="The zone whose months these are.")
    outstanding_points: int
    held_points: int
    pending_points: int
    debt_points: int = Field(description="What members owe; not taken off the outstanding points.")
    values_minor: dict[str, int] = Values
    months: list[ExpiryMonthOut]
    cohorts: list[CohortOut]
