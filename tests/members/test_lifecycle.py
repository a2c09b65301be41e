"""The lifecycle stage as a rule: recency beside the member's own rhythm."""

import random
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from services.members.domain import LifecycleRules, Rhythm
from services.members.domain.lifecycle import (
    STAGES,
    advance,
    expected_interval,
    fold,
    next_change,
    purchased,
    recency_ratio,
)

START = datetime(2025, 1, 1, tzinfo=UTC)
RULES = LifecycleRules(typical_interval_days=30)
# How far a member is from being a regular who buys in rhythm.
DISTANCE = {"stability": 0, "development": 0, "recovered": 0, "identification": 0, "decline": 1, "lost": 2}

days = st.lists(st.integers(0, 700), min_size=1, max_size=15)
rules = st.builds(
    LifecycleRules,
    typical_interval_days=st.sampled_from([7.0, 30.0, 90.0]),
    decline_ratio=st.sampled_from([1.5, 2.0, 3.0]),
    lost_ratio=st.sampled_from([4.0, 6.0]),
    dwell_days=st.sampled_from([0.0, 7.0, 30.0]),
    hysteresis=st.sampled_from([0.0, 0.2, 0.5]),
)


def day(offset: float) -> datetime:
    return START + timedelta(days=offset)


def stage(offsets: list[float], now: float, rules: LifecycleRules = RULES) -> str:
    rhythm = fold([day(offset) for offset in offsets], rules, day(now))
    assert rhythm is not None
    return rhythm.stage


def path(offsets: list[int], now: float, rules: LifecycleRules) -> list[tuple[datetime, str]]:
    """Every change of stage on the way, as (when, to what)."""
    changes: list[tuple[datetime, str]] = []
    rhythm: Rhythm | None = None
    for until in [*sorted(day(offset) for offset in offsets), day(now)]:
        if rhythm is not None:
            while (change := next_change(rhythm, rules)) is not None and change[0] <= until:
                changes.append(change)
                rhythm = advance(rhythm, rules, change[0])
        if until != day(now) or len(changes) < 0:
            rhythm = purchased(rhythm, until, rules)
    return changes


def test_a_member_goes_from_the_first_order_to_a_rhythm() -> None:
    assert stage([0], 1) == "identification"
    assert stage([0, 30], 31) == "development"
    assert stage([0, 30, 60, 90], 91) == "stability"


def test_a_member_who_stays_away_declines_and_is_lost() -> None:
    monthly: list[float] = [0, 30, 60, 90]
    assert stage(monthly, 149) == "stability"
    assert stage(monthly, 151) == "decline"
    assert stage(monthly, 211) == "lost"


def test_a_member_who_comes_back_is_recovered_and_then_has_a_rhythm_again() -> None:
    away: list[float] = [0, 30, 60, 90, 170]
    assert stage(away, 171) == "recovered"
    assert stage([*away, 190], 191) == "stability"
    assert stage([0, 30, 60, 90, 400], 401) == "recovered"


def test_recency_is_judged_by_the_members_own_rhythm() -> None:
    weekly, yearly = [7.0 * week for week in range(30)], [0.0, 365.0, 730.0, 1_095.0, 1_460.0]
    assert stage(weekly, weekly[-1] + 60) == "lost"
    assert stage(yearly, yearly[-1] + 60) == "stability"


def test_with_one_order_the_shop_is_all_there_is_to_judge_by() -> None:
    one = Rhythm(1, START, START, "identification", START)
    assert expected_interval(one, RULES) == timedelta(days=30)
    many = Rhythm(101, START, day(1_000), "stability", START)
    assert timedelta(days=10) < expected_interval(many, RULES) < timedelta(days=10.5)


def test_a_purchase_in_decline_is_answered_when_the_dwell_is_over() -> None:
    rhythm = fold([day(0), day(30), day(60), day(90)], RULES, day(151))
    assert rhythm is not None
    assert rhythm.stage == "decline"
    back = purchased(rhythm, day(152), RULES)
    assert advance(back, RULES, day(153)).stage == "decline"
    assert next_change(back, RULES) == (rhythm.since + timedelta(days=7), "recovered")


@given(days, rules, st.lists(st.integers(0, 1_500), min_size=2, max_size=2))
def test_more_recency_never_moves_towards_stability(
    offsets: list[int], rules: LifecycleRules, looks: list[int]
) -> None:
    """Between purchases a stage moves away only, once the dwell in which a purchase is answered is over."""
    earlier, later = sorted(look + max(offsets) + 31 for look in looks)
    assert DISTANCE[stage([*offsets], earlier, rules)] <= DISTANCE[stage([*offsets], later, rules)]


@given(days, rules)
def test_a_stage_lasts_its_dwell(offsets: list[int], rules: LifecycleRules) -> None:
    for (one, _), (other, _) in pairwise(path(offsets, 2_000, rules)):
        assert other - one >= rules.dwell


@given(days, rules)
def test_no_flapping_without_a_purchase(offsets: list[int], rules: LifecycleRules) -> None:
    """A stage is never left for another and come back to unless the member bought in between."""
    bought = sorted(day(offset) for offset in offsets)
    changes = path(offsets, 3_000, rules)
    for index, (left_at, to) in enumerate(changes):
        for back_at, again in changes[index + 1 :]:
            if again == to:
                assert any(left_at - rules.dwell <= at <= back_at for at in bought)


def test_a_recency_just_at_the_threshold_does_not_flap() -> None:
    """A buyer whose orders come just after the threshold is not sent back and forth within the dwell."""
    exact = [0, 60, 120, 180, 240, 300]
    changes = path(exact, 300, LifecycleRules(typical_interval_days=30, dwell_days=14))
    assert all(b - a >= timedelta(days=14) for (a, _), (b, _) in pairwise(changes))
    assert len(changes) <= 2 * len(exact)


@given(days, rules, st.integers(0, 2_000), st.integers(0, 2_000))
def test_in_steps_or_at_once_comes_to_the_same(
    offsets: list[int], rules: LifecycleRules, one: int, other: int
) -> None:
    first, second = sorted((one, other))
    now = max(offsets) + second
    at_once = fold([day(offset) for offset in offsets], rules, day(now))
    begun = fold([day(offset) for offset in offsets], rules, day(max(offsets) + first))
    assert begun is not None
    assert advance(begun, rules, day(now)) == at_once


@given(days, rules, st.integers(0, 2_000), st.randoms())
def test_shuffled_orders_come_to_the_same_stage(
    offsets: list[int], rules: LifecycleRules, after: int, chance: random.Random
) -> None:
    shuffled = offsets.copy()
    chance.shuffle(shuffled)
    now = day(max(offsets) + after)
    assert fold([day(offset) for offset in offsets], rules, now) == fold(
        [day(offset) for offset in shuffled], rules, now
    )


@given(days, rules, st.integers(0, 2_000))
def test_running_figures_say_what_all_orders_say(
    offsets: list[int], rules: LifecycleRules, after: int
) -> None:
    """Purchases added one by one, each advanced to its day, are the fold over all of them."""
    rhythm: Rhythm | None = None
    for offset in sorted(offsets):
        rhythm = advance(purchased(rhythm, day(offset), rules), rules, day(offset))
    assert rhythm is not None
    now = day(max(offsets) + after)
    assert advance(rhythm, rules, now) == fold([day(offset) for offset in offsets], rules, now)
    assert recency_ratio(rhythm, rules, now) >= 0
    assert rhythm.stage in STAGES
