"""Time, defined once: instants are aware and in UTC; rules about wall clocks carry an IANA zone.

Deadlines are judged by the database (`DATABASE_NOW`), because every process has its own clock and a rule
needs one. A `Clock` is for what is not a deadline, and it is an argument so that tests can turn it.
"""

import calendar
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Final, Protocol, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

__all__ = [
    "DATABASE_NOW",
    "AmbiguousTime",
    "Clock",
    "FixedClock",
    "NonexistentTime",
    "SystemClock",
    "UnknownZone",
    "add_months",
    "as_utc",
    "day_bounds",
    "local_to_instant",
    "utc_now",
    "zone",
]

# SQL for "now" in deadlines. now() is the start of the transaction and grows stale while it waits for a lock.
DATABASE_NOW: Final = "clock_timestamp()"

# Files beside the zones on some machines: what they mean depends on the machine, or counts leap seconds.
_NOT_ZONES: Final = frozenset({"localtime", "posixrules", "posix", "right"})

_DateOrDatetime = TypeVar("_DateOrDatetime", date, datetime)


class UnknownZone(ValueError):
    """The name is not a zone of the IANA time zone database."""


class NonexistentTime(ValueError):
    """The wall clock never shows this time: it is skipped when the clock goes forward."""


class AmbiguousTime(ValueError):
    """The wall clock shows this time twice, because it goes back; say which by `fold`."""


class Clock(Protocol):
    """Something that knows what time it is."""

    def now(self) -> datetime:
        """The current instant, aware and in UTC."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """The current instant by the machine's clock, in UTC."""
        return utc_now()


class FixedClock:
    """A clock that stands still until it is turned; for tests and replays."""

    def __init__(self, now: datetime) -> None:
        self._now = as_utc(now)

    def now(self) -> datetime:
        """The instant that the clock was last set to."""
        return self._now

    def set(self, now: datetime) -> None:
        """Turn the clock to an instant, forwards or back."""
        self._now = as_utc(now)

    def advance(self, by: timedelta) -> datetime:
        """Turn the clock by a duration and return the new instant."""
        self._now += by
        return self._now


def utc_now() -> datetime:
    """The current instant by the machine's clock, in UTC."""
    return datetime.now(UTC)


def as_utc(instant: datetime) -> datetime:
    """The same instant in UTC; a naive datetime is no instant and raises `ValueError`."""
    if instant.utcoffset() is None:
        raise ValueError(f"{instant.isoformat()} has no UTC offset, so it is not an instant")
    return instant.astimezone(UTC)


@lru_cache(maxsize=1024)
def zone(name: str) -> ZoneInfo:
    """The IANA zone of that name; raises `UnknownZone`."""
    try:
        if name.partition("/")[0] in _NOT_ZONES:
            raise ZoneInfoNotFoundError(name)
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        # ZoneInfo answers a folder's name ("America") with an OSError and a path ("../x") with a ValueError.
        raise UnknownZone(f"{name[:64]!r} is not an IANA time zone") from error


def local_to_instant(wall: datetime, zone: ZoneInfo, fold: int | None = None) -> datetime:
    """The UTC instant at which clocks in `zone` show the naive time `wall`.

    `fold` says which of two when the clock goes back: 0 the first, 1 the second (PEP 495). Without it such a
    time raises `AmbiguousTime`. A time inside the gap when the clock goes forward always raises
    `NonexistentTime`: a guess would move somebody's deadline by an hour.
    """
    if wall.tzinfo is not None:
        raise ValueError(f"{wall.isoformat()} is not a wall-clock time: it already has a zone")
    first = wall.replace(tzinfo=zone, fold=0)
    second = wall.replace(tzinfo=zone, fold=1)
    offset_before, offset_after = _offset(first), _offset(second)
    if offset_before < offset_after:
        raise NonexistentTime(f"{wall.isoformat()} does not exist in {zone.key}: the clock skips it")
    if offset_before > offset_after and fold is None:
        raise AmbiguousTime(f"{wall.isoformat()} happens twice in {zone.key}: give fold 0 or 1")
    return (second if fold == 1 else first).astimezone(UTC)


def day_bounds(day: date, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """The local day as UTC instants, [start, end): 23, 24 or 25 hours long, and without gaps between days.

    Where the clock skips midnight, the day begins at the first instant after it. A date that a zone skipped
    as a whole (Samoa, 2011-12-30) is an empty interval.
    """
    return _start_of(day, zone), _start_of(day + timedelta(days=1), zone)


def add_months(value: _DateOrDatetime, months: int) -> _DateOrDatetime:
    """The same day of the month, `months` later (or earlier), or the month's last day if it is shorter.

    31 January and one month is 28 or 29 February. The wall-clock time is kept, so add to the local time and
    convert afterwards when the rule is about a zone. Raises `ValueError` outside the years 1 to 9999.
    """
    years, month_index = divmod(value.month - 1 + months, 12)
    year, month = value.year + years, month_index + 1
    if not 1 <= year <= 9999:
        raise ValueError(f"{value.isoformat()} and {months} months is outside the calendar")
    return value.replace(year=year, month=month, day=min(value.day, calendar.monthrange(year, month)[1]))


def _offset(local: datetime) -> timedelta:
    offset = local.utcoffset()
    assert offset is not None, "a datetime with a ZoneInfo has an offset"
    return offset


def _start_of(day: date, zone: ZoneInfo) -> datetime:
    midnight = datetime.combine(day, time.min)
    try:
        return local_to_instant(midnight, zone, fold=0)
    except NonexistentTime:
        return _end_of_gap(midnight, zone)


def _end_of_gap(wall: datetime, zone: ZoneInfo) -> datetime:
    """The instant of the transition that skips `wall`.

    In a gap, the offset after it gives an instant before the transition and the offset before it gives one
    that is not (PEP 495), so the transition lies between the two, and halving finds its second.
    """
    before = wall.replace(tzinfo=zone, fold=1).astimezone(UTC)
    after = wall.replace(tzinfo=zone, fold=0).astimezone(UTC)
    second = timedelta(seconds=1)
    while after - before > second:
        middle = before + (after - before) // second // 2 * second
        if middle.astimezone(zone).replace(tzinfo=None) >= wall:
            after = middle
        else:
            before = middle
    return after
