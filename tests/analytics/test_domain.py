"""The rules alone: whose day it is, how money is split over products, what cannot be true."""

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.analytics.domain import (
    MAX_AMOUNT,
    OrderLine,
    ShopDays,
    impossible_amount,
    impossible_time,
    line_revenues,
    refund_shares,
)
from shared.clock import day_bounds, zone

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
AMOUNTS = st.integers(0, 10**9)
PACIFIC = zone("America/Los_Angeles")


@pytest.mark.parametrize(
    ("day", "hours"), [(date(2026, 3, 8), 23), (date(2026, 11, 1), 25), (date(2026, 6, 1), 24)]
)
def test_a_local_day_has_as_many_hours_as_its_clocks_show(day: date, hours: int) -> None:
    days = ShopDays(zone("UTC"), {"amazon/us": PACIFIC})
    start, end = day_bounds(day, PACIFIC)
    inside = [start + timedelta(hours=hour) for hour in range(hours)]
    assert {days.day_of(instant, "amazon", "us") for instant in inside} == {day}
    assert days.day_of(end, "amazon", "us") == day + timedelta(days=1)
    assert days.day_of(start - timedelta(microseconds=1), "amazon", "us") == day - timedelta(days=1)


def test_shops_without_a_zone_have_the_default() -> None:
    days = ShopDays(zone("Asia/Shanghai"), {"amazon/us": PACIFIC})
    instant = datetime(2026, 6, 1, 17, tzinfo=UTC)
    assert days.day_of(instant) == days.day_of(instant, "ebay", "us") == date(2026, 6, 2)
    assert days.day_of(instant, "amazon", "us") == date(2026, 6, 1)


@given(AMOUNTS, AMOUNTS, st.lists(st.tuples(AMOUNTS, st.integers(1, 99)), max_size=9))
def test_lines_bring_what_was_paid_for_goods(total: int, shipping: int, lines: list[tuple[int, int]]) -> None:
    revenues = line_revenues(total, shipping, [amount for amount, _ in lines], [units for _, units in lines])
    assert len(revenues) == len(lines)
    assert all(revenue >= 0 for revenue in revenues)
    assert sum(revenues) == (max(0, total - shipping) if lines else 0)


ORDER_LINES = st.lists(
    st.builds(OrderLine, st.integers(1, 5), st.sampled_from(["a", "b", "c"]), AMOUNTS),
    max_size=5,
    unique_by=lambda line: line.line_no,
)
REFUNDED = st.lists(st.tuples(st.integers(1, 6), st.integers(0, 3), AMOUNTS), max_size=4)


@given(AMOUNTS, AMOUNTS, REFUNDED, ORDER_LINES, AMOUNTS)
def test_refund_shares_add_up_to_the_refund(
    amount: int, shipping: int, refunded: list[tuple[int, int, int]], lines: list[OrderLine], total: int
) -> None:
    shares = refund_shares(amount, shipping, refunded, lines, total)
    assert sum(shares.values()) == amount
    assert all(share > 0 for share in shares.values())
    assert set(shares) <= {line.product_id for line in lines} | {""}


def test_a_refund_without_lines_gives_back_each_part_of_the_order() -> None:
    lines = [OrderLine(1, "mug", 3000), OrderLine(2, "tea", 1000)]
    assert refund_shares(4500, 0, [], lines, 4500) == {"mug": 3000, "tea": 1000, "": 500}
    assert refund_shares(4000, 0, [], lines, 4000) == {"mug": 3000, "tea": 1000}
    assert refund_shares(450, 50, [], lines, 4500) == {"mug": 300, "tea": 100, "": 50}


def test_a_refund_with_lines_gives_back_those_and_the_rest_is_no_products() -> None:
    lines = [OrderLine(1, "mug", 3000), OrderLine(2, "tea", 1000)]
    assert refund_shares(1200, 0, [(2, 1, 1000)], lines, 4500) == {"tea": 1000, "": 200}
    # Lines that say more than the refund are believed in proportion only.
    assert refund_shares(100, 0, [(1, 1, 150), (2, 1, 50)], lines, 4500) == {"mug": 75, "tea": 25}


@pytest.mark.parametrize(
    ("at", "impossible"),
    [
        (datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC), True),
        (datetime(1970, 1, 1, tzinfo=UTC), False),
        (NOW + timedelta(days=1), False),
        (NOW + timedelta(days=1, microseconds=1), True),
    ],
)
def test_times_that_cannot_be(at: datetime, impossible: bool) -> None:
    assert impossible_time(at, NOW) is impossible


def test_amounts_that_no_sum_could_hold() -> None:
    assert not impossible_amount(MAX_AMOUNT)
    assert impossible_amount(MAX_AMOUNT + 1)
    assert impossible_amount(-MAX_AMOUNT - 1)
