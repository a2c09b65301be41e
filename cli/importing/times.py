"""Instants out of wall-clock times: marketplaces write what their own clocks show, without saying which."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from datetime import time as wall_time
from functools import lru_cache
from zoneinfo import ZoneInfo

from shared.clock import AmbiguousTime, NonexistentTime, local_to_instant

__all__ = ["AMBIGUOUS", "NONEXISTENT", "local_reader"]

AMBIGUOUS = ("earlier", "later", "refuse")
"""What a time means that the clock shows twice when summer time ends; the first is the default."""
NONEXISTENT = ("forward", "refuse")
"""What a time means that the clock skips when summer time begins: as if it had not been put forward yet."""


def local_reader(
    formats: Sequence[str],
    zone: ZoneInfo,
    *,
    at: wall_time,
    abbreviations: Mapping[str, str],
    ambiguous: str,
    nonexistent: str,
    shift: timedelta,
) -> Callable[[str], datetime]:
    """A function that reads wall-clock times in one of `formats` (of strptime) as instants in UTC.

    A format without a time means `at`. A word at the end that `abbreviations` knows ("PST" = "-08:00") says
    the offset itself. The function raises ValueError.
    """

    @lru_cache(65_536)
    def read(text: str) -> datetime:
        rest, _, last = text.rpartition(" ")
        offset = abbreviations.get(last)
        wall = _wall(rest if offset is not None else text, formats, at) + shift
        if offset is not None:
            return datetime.fromisoformat(f"{wall.isoformat()}{offset}").astimezone(UTC)
        try:
            return local_to_instant(wall, zone)
        except AmbiguousTime:
            if ambiguous == "refuse":
                raise
            return local_to_instant(wall, zone, fold=0 if ambiguous == "earlier" else 1)
        except NonexistentTime:
            if nonexistent == "refuse":
                raise
            # PEP 495: with fold 0 the offset before the gap holds, which lands after it.
            return wall.replace(tzinfo=zone, fold=0).astimezone(UTC)

    return read


def _wall(text: str, formats: Sequence[str], at: wall_time) -> datetime:
    for layout in formats:
        try:
            found = datetime.strptime(text, layout)  # noqa: DTZ007 - a wall-clock time has no zone
        except ValueError:
            continue
        return found if "%H" in layout or "%I" in layout else datetime.combine(found.date(), at)
    example = datetime(2026, 3, 9, 17, 5).strftime(formats[0])  # noqa: DTZ001 - only shows the layout
    raise ValueError(f"{text!r} is not a time like {example}")
