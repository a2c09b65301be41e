"""The tier table as a rule: what reaches a level, which days count, and how long a level holds."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.members.domain import Figures, Ladder, Level, Period, Policy, Window
from tests.members.test_standing import LADDER, LEVELS, NEW_YORK, YEAR

# The table.


@given(st.integers(-10, 400_000))
def test_the_tier_earned_is_the_highest_whose_spend_is_reached(spend_minor: int) -> None:
    reached = [each for each in LEVELS if (each.min_spend_minor or 0) <= spend_minor]
    assert LADDER.earned(Figures(spend_minor)) == (reached[-1] if reached else None)


def test_any_of_the_thresholds_reaches_a_level() -> None:
    ladder = Ladder(1, [Level("gold", 1, 1_000, min_orders=3, min_points=500), Level("given", 2)])
    for figures in (Figures(1_000), Figures(orders=3), Figures(points=500)):
        level = ladder.earned(figures)
        assert level is not None
        assert level.name == "gold"
    assert ladder.earned(Figures(999, 2, 499)) is None


@pytest.mark.parametrize("levels", [[(0, 0), (0, 10)], [(1, 0), (0, 10)], [(0, 5), (1, 5)]])
def test_a_ladder_that_does_not_rise_is_none(levels: list[tuple[int, int]]) -> None:
    with pytest.raises(ValueError, match=r"rise|same rank"):
        Ladder(1, [Level(f"l{index}", *level) for index, level in enumerate(levels)])


def test_a_floor_that_is_no_level_is_refused() -> None:
    with pytest.raises(ValueError, match="floor"):
        Ladder(1, LEVELS, Policy(floor="diamond"))


# Windows and periods, by the calendar of the program's zone.


@pytest.mark.parametrize(
    ("window", "today", "first"),
    [
        (Window("rolling_days", 1), date(2026, 3, 1), date(2026, 3, 1)),
        (Window("rolling_days", 30), date(2026, 3, 1), date(2026, 1, 31)),
        (Window("rolling_months", 1), date(2026, 3, 31), date(2026, 3, 1)),
        (Window("rolling_months", 12), date(2028, 2, 29), date(2027, 3, 1)),
        (Window("rolling_months", 12), date(2027, 2, 28), date(2026, 3, 1)),
        (Window("calendar_year"), date(2026, 12, 31), date(2026, 1, 1)),
        (Window(), date(2026, 12, 31), None),
    ],
)
def test_the_first_day_of_a_window(window: Window, today: date, first: date | None) -> None:
    assert window.first_day(today) == first


@given(
    st.sampled_from(["rolling_days", "rolling_months", "calendar_year"]),
    st.integers(1, 40),
    st.dates(date(2020, 1, 1), date(2032, 12, 31)),
)
def test_a_day_counts_until_it_leaves_the_window(kind: str, count: int, day: date) -> None:
    window = Window(kind, count)
    leaves = window.leaves_on(day)
    assert leaves is not None
    first_then, first_before = window.first_day(leaves), window.first_day(leaves - timedelta(days=1))
    assert first_then is not None
    assert first_before is not None
    assert first_before <= day < first_then


@pytest.mark.parametrize(
    ("period", "today", "ends"),
    [
        (Period("months", 12), date(2028, 2, 29), date(2029, 3, 1)),
        (Period("months", 48), date(2028, 2, 29), date(2032, 2, 29)),
        (Period("months", 1), date(2026, 1, 31), date(2026, 3, 1)),
        (Period("days", 10), date(2026, 2, 20), date(2026, 3, 2)),
        (Period("calendar_year", 0), date(2026, 5, 5), date(2027, 1, 1)),
        (Period("calendar_year", 1), date(2026, 5, 5), date(2028, 1, 1)),
        (Period(), date(2026, 5, 5), None),
    ],
)
def test_the_end_of_a_period(period: Period, today: date, ends: date | None) -> None:
    assert period.ends_on(today) == ends


@pytest.mark.parametrize(
    ("day", "hours"), [(date(2026, 3, 8), 23), (date(2026, 11, 1), 25), (date(2026, 6, 1), 24)]
)
def test_a_day_of_23_or_25_hours_is_one_day_of_a_window(day: date, hours: int) -> None:
    ladder = Ladder(1, LEVELS, YEAR, NEW_YORK)
    begins, ends = ladder.start_of(day), ladder.start_of(day + timedelta(days=1))
    assert ends - begins == timedelta(hours=hours)
    assert {ladder.day_of(begins), ladder.day_of(ends - timedelta(microseconds=1))} == {day}


@given(
    st.sampled_from(["rolling_days", "rolling_months"]),
    st.integers(1, 30),
    st.dates(date(2020, 1, 1), date(2032, 12, 31)),
)
def test_what_earned_a_tier_once_does_not_prolong_it(kind: str, count: int, day: date) -> None:
    """Also from 31 January and 29 February: a period as long as the window leaves its first day out."""
    window, period = Window(kind, count), Period(kind.removeprefix("rolling_"), count)
    ends_on = period.ends_on(day)
    assert ends_on is not None
    first = window.first_day_of_period(ends_on)
    assert first is not None
    assert first > day
