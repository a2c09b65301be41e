"""Fields that several models share."""

from datetime import timedelta
from typing import Annotated

from pydantic import Field

from services.points.domain import MAX_ENTRY_POINTS

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
