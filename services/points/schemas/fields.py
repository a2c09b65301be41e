"""Fields that several models share."""

from typing import Annotated

from pydantic import Field

from services.points.domain import MAX_ENTRY_POINTS

MAX_STOCK = 10**12

MAX_PER_MEMBER = 1_000_000

PositivePoints = Annotated[int, Field(ge=1, le=MAX_ENTRY_POINTS, description="Whole points.", examples=[500])]

Stock = Annotated[int, Field(ge=0, le=MAX_STOCK, description="What is left; absent for no limit.")]

PerMember = Annotated[
    int,
    Field(ge=1, le=MAX_PER_MEMBER, description="How often one member may redeem it; absent for no limit."),
]

# Beyond the few that anybody can read; the odds of a draw are part of its record.
MAX_PRIZES = 100

MAX_TIERS = 50

# A round of a month at most: until it is over nobody can verify its draws.
MAX_ROUND_HOURS = 744

# A year to change one's mind is a mistyped figure.
MAX_CANCEL_HOURS = 8_784

# Ten million millionths of a percent: 100 prizes of this weight stay well below a bigint.
MAX_WEIGHT = 10**12

Nonce = Annotated[
    str,
    Field(
        min_length=1,
        max_length=64,
        pattern=r"^[A-Za-z0-9_-]+$",
        description="Anything that the member's side makes up for this draw; the program cannot foresee it.",
        examples=["c2f1a9e07b"],
    ),
]
