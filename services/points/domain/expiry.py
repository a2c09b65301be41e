"""When points expire: policies, and the instant at which a lot under one of them is gone.

A lot is gone *at* its instant: it can be spent up to the moment before. Rules about calendars are reckoned on
the wall clock of the program's zone, so that a day of 23 or 25 hours is a day, and only then made an instant.
"""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Final, Literal
from zoneinfo import ZoneInfo

from shared.clock import add_months, day_bounds

Mode = Literal["none", "rolling", "end_of", "fixed", "sliding"]
Period = Literal["month", "quarter", "year"]

# A century: more is a mistyped figure, and far from the end of the calendar from today.
MAX_DAYS: Final = 36_525
MAX_MONTHS: Final = 1_200

_MONTHS_IN: Final = {"month": 1, "quarter": 3, "year": 12}
_LENGTH: Final = re.compile(r"([0-9]{1,5})([dm])")
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_DAY_END: Final = "day_end"


class InvalidExpiryPolicy(ValueError):
    """The text is not an expiry policy."""


@dataclass(frozen=True, slots=True)
class ExpiryPolicy:
    """How long points live. Written as text, in the order of the fields:

    - `none`: for ever.
    - `rolling:365d`, `rolling:12m`: so long from when they were earned. Days are of 24 hours and months keep
      the local time of day (31 January and a month is the last of February), unless `:day_end` follows:
      then the points live to the end of the local day that the length leads to.
    - `end_of:month`, `end_of:quarter`, `end_of:year`: to the end of the local period in which they were
      earned; `end_of:year:12m` to the end of the one twelve months later.
    - `fixed:2027-12-31`: to the end of that local day, whenever they were earned.
    - `sliding:180d`, `sliding:6m`, with or without `:day_end`: as rolling, but from the member's latest
      activity, so that every earning and spending puts off the expiry of all of them.
    """

    mode: Mode
    days: int | None = None
    months: int | None = None
    period: Period | None = None
    on: date | None = None
    day_end: bool = False

    def __post_init__(self) -> None:
        if not self._is_sound():
            raise InvalidExpiryPolicy(f"{self.serialise()} is not an expiry policy")

    def _is_sound(self) -> bool:
        if not (0 < (self.days or 1) <= MAX_DAYS and 0 < (self.months or 1) <= MAX_MONTHS):
            return False
        has_days, has_months = self.days is not None, self.months is not None
        if 0 in (self.days, self.months):
            return False
        match self.mode:
            case "rolling" | "sliding":
                return has_days != has_months and self.period is None and self.on is None
            case "end_of":
                return self.period is not None and not has_days and self.on is None and not self.day_end
            case "fixed":
                return self.on is not None and self._is_bare(but="on")
        return self._is_bare(but="")

    def _is_bare(self, *, but: str) -> bool:
        extras = {"days": self.days, "months": self.months, "period": self.period, "on": self.on}
        return not self.day_end and all(value is None for name, value in extras.items() if name != but)

    @classmethod
    def parse(cls, written: str) -> "ExpiryPolicy":
        """Read a policy; raises `InvalidExpiryPolicy`."""
        mode, *parts = written.split(":")
        match mode, parts:
            case "none", []:
                return cls("none")
            case (("rolling" | "sliding"), [length]) if (read := _read_length(length)) is not None:
                return cls(mode, days=read[0], months=read[1])
            case (("rolling" | "sliding"), [length, "day_end"]) if (read := _read_length(length)) is not None:
                return cls(mode, days=read[0], months=read[1], day_end=True)
            case "end_of", [("month" | "quarter" | "year") as period]:
                return cls("end_of", period=period)
            case "end_of", [("month" | "quarter" | "year") as period, length] if (
                read := _read_length(length)
            ) is not None:
                return cls("end_of", days=read[0], months=read[1], period=period)
            case "fixed", [day] if _DATE.fullmatch(day):
                return cls("fixed", on=_read_date(day))
        raise InvalidExpiryPolicy(f"{written[:64]!r} is not an expiry policy")

    def serialise(self) -> str:
        """Write the policy as `parse` reads it."""
        parts: list[str] = [self.mode]
        if self.period is not None:
            parts.append(self.period)
        if self.days is not None:
            parts.append(f"{self.days}d")
        if self.months is not None:
            parts.append(f"{self.months}m")
        if self.on is not None:
            parts.append(self.on.isoformat())
        if self.day_end:
            parts.append(_DAY_END)
        return ":".join(parts)

    @property
    def slides(self) -> bool:
        """Whether activity puts the expiry off; the deadline is then the account's, not the lot's."""
        return self.mode == "sliding"


def expiry_of(policy: ExpiryPolicy, earned_at: datetime, zone: ZoneInfo) -> datetime | None:
    """Return the UTC instant at which points earned at `earned_at` are gone, or None if never.

    For a sliding policy `earned_at` is the latest activity. Raises OverflowError beyond the year 9999.
    """
    try:
        match policy.mode:
            case "none":
                return None
            case "rolling" | "sliding":
                return _after(policy, earned_at, zone)
            case "end_of":
                return _end_of_period(policy, earned_at.astimezone(zone).date().replace(day=1), zone)
            case "fixed":
                assert policy.on is not None, "a fixed policy has its date"
                return day_bounds(policy.on, zone)[1]
    except ValueError as error:
        raise OverflowError(str(error)) from error


def _after(policy: ExpiryPolicy, since: datetime, zone: ZoneInfo) -> datetime:
    if policy.day_end:
        day = since.astimezone(zone).date()
        later = day + timedelta(days=policy.days) if policy.days else add_months(day, policy.months or 0)
        return day_bounds(later, zone)[1]
    if policy.days:
        return since.astimezone(UTC) + timedelta(days=policy.days)
    # A local time that the clock skips or shows twice is read with the offset before the change (PEP 495).
    local = add_months(since.astimezone(zone).replace(tzinfo=None), policy.months or 0)
    return local.replace(tzinfo=zone).astimezone(UTC)


# Everything that is earned in a month ends at one instant, and the calendar of a zone is slow to ask.
@lru_cache(maxsize=1024)
def _end_of_period(policy: ExpiryPolicy, month: date, zone: ZoneInfo) -> datetime:
    assert policy.period is not None, "this policy has its period"
    day = add_months(month, policy.months or 0)
    length = _MONTHS_IN[policy.period]
    first = day.replace(month=(day.month - 1) // length * length + 1)
    return day_bounds(add_months(first, length), zone)[0]


def _read_length(text: str) -> tuple[int | None, int | None] | None:
    """Read `90d` or `3m` as (days, months)."""
    found = _LENGTH.fullmatch(text)
    if found is None:
        return None
    number = int(found[1])
    return (number, None) if found[2] == "d" else (None, number)


def _read_date(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise InvalidExpiryPolicy(f"{text!r} is not a date") from error
