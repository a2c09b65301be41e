"""Time: instants in UTC, and wall clocks that skip and repeat."""

from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.clock import (
    AmbiguousTime,
    Clock,
    FixedClock,
    NonexistentTime,
    SystemClock,
    UnknownZone,
    add_months,
    as_utc,
    day_bounds,
    local_to_instant,
    utc_now,
    zone,
)

PACIFIC = zone("America/Los_Angeles")


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[misc,arg-type]  # Seven integers at most, by hand.


def wall(*parts: int) -> datetime:
    return datetime(*parts)  # type: ignore[arg-type]  # noqa: DTZ001  # A wall-clock time has no zone.


def test_a_fixed_clock_moves_only_when_told() -> None:
    clock = FixedClock(datetime(2026, 1, 1, 1, tzinfo=timezone(timedelta(hours=1))))
    assert clock.now() == utc(2026, 1, 1)
    assert clock.now().tzinfo is UTC
    assert clock.advance(timedelta(days=1)) == clock.now() == utc(2026, 1, 2)
    clock.set(utc(2025, 1, 1))
    assert clock.now() == utc(2025, 1, 1)


def test_the_system_clock_is_a_clock_in_utc() -> None:
    clock: Clock = SystemClock()
    before = utc_now()
    assert before <= clock.now() <= utc_now()
    assert clock.now().utcoffset() == timedelta(0)


def test_a_naive_time_is_no_instant() -> None:
    with pytest.raises(ValueError, match="not an instant"):
        as_utc(wall(2026, 1, 1))
    with pytest.raises(ValueError, match="already has a zone"):
        local_to_instant(utc(2026, 1, 1), PACIFIC)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "America",
        "Mars/Base",
        "../etc/passwd",
        "/etc/localtime",
        "localtime",
        "right/UTC",
        "a\0b",
        "x" * 999,
    ],
)
def test_what_is_no_zone_is_refused(name: str) -> None:
    with pytest.raises(UnknownZone):
        zone(name)


def test_a_wall_time_becomes_the_instant() -> None:
    assert local_to_instant(wall(2026, 1, 15, 12), PACIFIC) == utc(2026, 1, 15, 20)
    assert local_to_instant(wall(2026, 7, 15, 12), PACIFIC) == utc(2026, 7, 15, 19)
    assert local_to_instant(wall(2026, 7, 15, 12), PACIFIC, fold=1) == utc(2026, 7, 15, 19)


@pytest.mark.parametrize("fold", [None, 0, 1])
def test_a_skipped_time_does_not_exist(fold: int | None) -> None:
    with pytest.raises(NonexistentTime, match="America/Los_Angeles"):
        local_to_instant(wall(2026, 3, 8, 2, 30), PACIFIC, fold)


def test_a_repeated_time_must_be_told_apart() -> None:
    with pytest.raises(AmbiguousTime, match="fold"):
        local_to_instant(wall(2026, 11, 1, 1, 30), PACIFIC)
    assert local_to_instant(wall(2026, 11, 1, 1, 30), PACIFIC, fold=0) == utc(2026, 11, 1, 8, 30)
    assert local_to_instant(wall(2026, 11, 1, 1, 30), PACIFIC, fold=1) == utc(2026, 11, 1, 9, 30)


@pytest.mark.parametrize(
    ("day", "name", "hours"),
    [
        (date(2026, 3, 8), "America/Los_Angeles", 23),
        (date(2026, 11, 1), "America/Los_Angeles", 25),
        (date(2026, 6, 1), "America/Los_Angeles", 24),
        (date(2018, 11, 4), "America/Sao_Paulo", 23),  # The clock skipped midnight itself.
        (date(2025, 11, 2), "America/Havana", 25),  # Midnight came twice.
        (date(2011, 12, 30), "Pacific/Apia", 0),  # The date line moved over Samoa: there was no such day.
    ],
)
def test_days_are_as_long_as_the_zone_makes_them(day: date, name: str, hours: int) -> None:
    start, end = day_bounds(day, zone(name))
    assert end - start == timedelta(hours=hours)


def test_a_day_without_midnight_begins_after_the_gap() -> None:
    start, _ = day_bounds(date(2018, 11, 4), zone("America/Sao_Paulo"))
    assert start.astimezone(zone("America/Sao_Paulo")).isoformat() == "2018-11-04T01:00:00-02:00"


@given(
    st.dates(date(1971, 1, 1), date(2037, 12, 30)),
    st.sampled_from(["America/Los_Angeles", "Africa/Cairo", "Asia/Beirut", "Pacific/Apia", "Asia/Shanghai"]),
)
def test_days_tile_time_and_hold_only_their_own_date(day: date, name: str) -> None:
    local = zone(name)
    start, end = day_bounds(day, local)
    assert end == day_bounds(day + timedelta(days=1), local)[0]
    if start < end:
        assert start.astimezone(local).date() == (end - timedelta(seconds=1)).astimezone(local).date() == day
        assert (start - timedelta(seconds=1)).astimezone(local).date() < day


@given(st.datetimes(datetime(1975, 1, 1), datetime(2037, 1, 1)), st.integers(0, 1))  # noqa: DTZ001  # Wall times.
def test_the_instant_shows_the_wall_time_again(wall_time: datetime, fold: int) -> None:
    try:
        instant = local_to_instant(wall_time, PACIFIC, fold)
    except NonexistentTime:
        return
    assert instant.astimezone(PACIFIC).replace(tzinfo=None, fold=0) == wall_time


@pytest.mark.parametrize(
    ("day", "months", "result"),
    [
        (date(2026, 1, 31), 1, date(2026, 2, 28)),
        (date(2028, 1, 31), 1, date(2028, 2, 29)),
        (date(2028, 2, 29), 12, date(2029, 2, 28)),
        (date(2026, 11, 30), 3, date(2027, 2, 28)),
        (date(2026, 3, 31), -1, date(2026, 2, 28)),
        (date(2026, 1, 15), -13, date(2024, 12, 15)),
        (date(2026, 5, 31), 0, date(2026, 5, 31)),
    ],
)
def test_months_end_where_the_month_ends(day: date, months: int, result: date) -> None:
    assert add_months(day, months) == result


def test_months_keep_the_time_and_stay_in_the_calendar() -> None:
    assert add_months(utc(2026, 1, 31, 12, 30), 1) == utc(2026, 2, 28, 12, 30)
    with pytest.raises(ValueError, match="outside the calendar"):
        add_months(date(9999, 12, 1), 1)
