"""When a birthday is celebrated: once per calendar year, whatever happens to the date."""

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal

__all__ = ["MIN_DAYS_BETWEEN", "Celebrated", "LeapDay", "celebration_day", "next_celebration"]

LeapDay = Literal["02-28", "03-01"]
"""The day, MM-DD, on which people born on 29 February celebrate in other years."""

# Two birthdays of one date are at least 365 days apart. Anything much closer is a date that was moved over
# New Year, from late December to early January, to be celebrated twice within days.
MIN_DAYS_BETWEEN = 300


@dataclass(frozen=True, slots=True)
class Celebrated:
    """The last celebration: its birthday year, and the local day it was on; None if there was none."""

    year: int | None = None
    on: date | None = None

    def allows(self, year: int, day: date) -> bool:
        """Say whether a celebration of that year on that day is another one."""
        if self.year is not None and year <= self.year:
            return False
        return self.on is None or day - self.on >= timedelta(days=MIN_DAYS_BETWEEN)


def celebration_day(born_on: date, year: int, leap_day: LeapDay) -> date:
    """The day on which somebody born on that date celebrates in a year."""
    if (born_on.month, born_on.day) == (2, 29):
        try:
            return date(year, 2, 29)
        except ValueError:
            return date(year, int(leap_day[:2]), int(leap_day[3:]))
    return born_on.replace(year=year)


def next_celebration(
    born_on: date, celebrated: Celebrated, *, after: date, leap_day: LeapDay
) -> tuple[int, date]:
    """The first celebration later than a day: its birthday year and its day.

    A birthday that is said on the day itself is for next year: whoever learns of the gift does not get it by
    moving the date to today. The day of birth is no birthday.
    """
    year = max(after.year, born_on.year + 1)
    while True:
        day = celebration_day(born_on, year, leap_day)
        if day > after and celebrated.allows(year, day):
            return year, day
        year += 1
