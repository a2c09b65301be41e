"""Fields that models of several topics have."""

from datetime import datetime
from typing import Annotated

from pydantic import Field

__all__ = ["MAX_QUANTITY", "Quantity", "near"]

MAX_QUANTITY = 1_000_000


def near(wall: datetime) -> datetime:
    """Return the time if it lies where calendars can be reckoned with; raises ValueError if not."""
    # Further away, adding a zone's offset or 180 days would leave the calendar.
    if not 1970 <= wall.year <= 2200:
        raise ValueError("lies outside the years 1970 to 2200")
    return wall


Quantity = Annotated[int, Field(ge=1, le=MAX_QUANTITY, description="Units; more units are one seat.")]
