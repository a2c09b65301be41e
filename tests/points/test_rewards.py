"""The rules of rewards: calendar periods, gates, and what may still be undone."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from services.points.domain.rewards import FULFILMENT_STEPS, may_advance, may_cancel, period_start
from tests.points.ledger import coupon

BERLIN = ZoneInfo("Europe/Berlin")
HOUR = timedelta(hours=1)


def test_a_day_begins_at_local_midnight() -> None:
    midnight = datetime(2026, 6, 14, 22, tzinfo=UTC)
    assert period_start("day", midnight - timedelta(microseconds=1), BERLIN) == midnight - 24 * HOUR
    assert period_start("day", midnight, BERLIN) == midnight
    assert period_start("day", midnight + 23 * HOUR, BERLIN) == midnight


@pytest.mark.parametrize(
    ("noon", "hours"),
    [(datetime(2026, 3, 29, 12, tzinfo=BERLIN), 23), (datetime(2026, 10, 25, 12, tzinfo=BERLIN), 25)],
)
def test_a_day_on_which_the_clock_changes_is_one_day(noon: datetime, hours: int) -> None:
    start = period_start("day", noon, BERLIN)
    assert period_start("day", start + hours * HOUR - timedelta(seconds=1), BERLIN) == start
    assert period_start("day", start + hours * HOUR, BERLIN) == start + hours * HOUR


def test_weeks_begin_on_monday_and_months_on_the_first() -> None:
    sunday = datetime(2026, 3, 1, 12, tzinfo=BERLIN)
    assert period_start("week", sunday, BERLIN) == datetime(2026, 2, 23, tzinfo=BERLIN)
    assert period_start("month", sunday, BERLIN) == datetime(2026, 3, 1, tzinfo=BERLIN)


def test_tiers_and_postage() -> None:
    reward = coupon()
    assert reward.is_for(None)
    reward.tiers = ["silver", "gold"]
    assert [reward.is_for(tier) for tier in (None, "bronze", "gold")] == [False, False, True]
    assert reward.covers(10**9, "JPY")
    reward.max_shipping_minor, reward.max_shipping_currency = 500, "USD"
    assert [reward.covers(500, "USD"), reward.covers(501, "USD"), reward.covers(1, "EUR")] == [
        True,
        False,
        False,
    ]


def test_goods_go_forwards_only_and_are_called_off_before_they_leave() -> None:
    allowed = {
        (step, to)
        for step in (*FULFILMENT_STEPS, "cancelled")
        for to in (*FULFILMENT_STEPS, "cancelled")
        if may_advance(step, to)
    }
    assert allowed == {
        ("requested", "packed"),
        ("requested", "shipped"),
        ("requested", "delivered"),
        ("requested", "cancelled"),
        ("packed", "shipped"),
        ("packed", "delivered"),
        ("packed", "cancelled"),
        ("shipped", "delivered"),
    }


def test_members_change_their_mind_in_time_and_before_it_is_packed() -> None:
    reward, at = coupon(), datetime(2026, 6, 1, tzinfo=UTC)
    assert may_cancel(reward, "requested", at, at + timedelta(days=900))
    reward.cancel_hours = 24
    assert may_cancel(reward, "requested", at, at + 24 * HOUR - timedelta(seconds=1))
    assert not may_cancel(reward, "requested", at, at + 24 * HOUR)
    assert not may_cancel(reward, "packed", at, at)
    assert not may_cancel(reward, None, at, at)
