"""The lifecycle stage of a member, from when the member bought and how long ago that is.

Recency means something only beside the member's own rhythm, so a stage is judged by the ratio of the time
since the last purchase to the interval to expect of this member:

    expected = (k · typical + (last - first)) / (k + n - 1)

n purchases have n - 1 intervals that add up to last - first; k is how many intervals of the shop's typical
length stand beside them. It is the posterior mean of an exponential interval whose rate has a Gamma prior,
as in the NBD model of repeat buying (A. S. C. Ehrenberg, "The Pattern of Consumer Purchases", Applied
Statistics 8, 1959): a member with one order is judged by the shop, one with many by its own habit.

Everything is computed in the time of the orders, as a fold over their instants in order. So late and
shuffled orders come to the same stage as of the same clock, and a judgement that is made late is the same
judgement. Between two purchases a stage only ever moves from active to decline to lost, except that a
purchase is answered when the minimum dwell of the stage before is over.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple

__all__ = [
    "STAGES",
    "LifecycleRules",
    "Rhythm",
    "advance",
    "expected_interval",
    "fold",
    "next_change",
    "purchased",
    "recency_ratio",
]

IDENTIFICATION, DEVELOPMENT, STABILITY = "identification", "development", "stability"
DECLINE, RECOVERED, LOST = "decline", "recovered", "lost"
STAGES = (IDENTIFICATION, DEVELOPMENT, STABILITY, DECLINE, RECOVERED, LOST)

DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class LifecycleRules:
    """The thresholds of the stages; one version holds for everybody."""

    version: int = 0
    # The interval between purchases that is usual in the shop, in days, and how many intervals it weighs.
    typical_interval_days: float = 60.0
    typical_interval_weight: float = 2.0
    # Purchases from which on a member is in development, and in stability.
    development_purchases: int = 2
    stability_purchases: int = 4
    # A member declines from this ratio of recency to expected interval on, and is lost from that one on.
    decline_ratio: float = 2.0
    lost_ratio: float = 4.0
    # A purchase leads out of decline only while the ratio is below (1 - hysteresis) · decline_ratio.
    hysteresis: float = 0.2
    # A stage lasts at least this long, so that journeys do not start and stop within days.
    dwell_days: float = 7.0
    # Stage -> name of the strategy that journeys act on.
    strategies: Mapping[str, str] = field(default_factory=dict)

    @property
    def dwell(self) -> timedelta:
        """The least time that a stage lasts."""
        return timedelta(days=self.dwell_days)

    @property
    def return_ratio(self) -> float:
        """The ratio below which a purchase leads out of decline."""
        return self.decline_ratio * (1 - self.hysteresis)


class Rhythm(NamedTuple):
    """The purchases of a member so far, and the stage that they and the time since led to."""

    purchases: int
    first: datetime
    last: datetime
    stage: str
    since: datetime


def expected_interval(rhythm: Rhythm, rules: LifecycleRules) -> timedelta:
    """The interval between purchases to expect of a member."""
    weight, typical = rules.typical_interval_weight, timedelta(days=rules.typical_interval_days)
    return (weight * typical + (rhythm.last - rhythm.first)) / (weight + rhythm.purchases - 1)


def recency_ratio(rhythm: Rhythm, rules: LifecycleRules, now: datetime) -> float:
    """The time since the last purchase as a multiple of the expected interval."""
    return (now - rhythm.last) / expected_interval(rhythm, rules)


def fold(purchases: Iterable[datetime], rules: LifecycleRules, now: datetime) -> Rhythm | None:
    """The rhythm of purchases in the order of their time, as of `now`; None without any purchase."""
    rhythm: Rhythm | None = None
    for bought_at in sorted(purchases):
        rhythm = purchased(rhythm, bought_at, rules)
    return None if rhythm is None else advance(rhythm, rules, now)


def purchased(rhythm: Rhythm | None, bought_at: datetime, rules: LifecycleRules) -> Rhythm:
    """Add a purchase that is not earlier than the last one, nor than the last change of stage."""
    if rhythm is None:
        return Rhythm(1, bought_at, bought_at, IDENTIFICATION, bought_at)
    before = advance(rhythm, rules, bought_at)
    return Rhythm(before.purchases + 1, before.first, bought_at, before.stage, before.since)


def advance(rhythm: Rhythm, rules: LifecycleRules, now: datetime) -> Rhythm:
    """Carry a rhythm on to `now`. In steps or at once comes to the same."""
    while (change := next_change(rhythm, rules)) is not None and change[0] <= now:
        rhythm = rhythm._replace(since=change[0], stage=change[1])
    return rhythm


def next_change(rhythm: Rhythm, rules: LifecycleRules) -> tuple[datetime, str] | None:
    """When time alone changes the stage next, and to which; None if only a purchase can."""
    free_at = rhythm.since + rules.dwell
    expected = expected_interval(rhythm, rules)
    declines_at = max(free_at, rhythm.last + rules.decline_ratio * expected)
    if rhythm.stage in (DECLINE, LOST):
        returns_at = max(free_at, rhythm.last)
        if rhythm.last >= rhythm.since and returns_at - rhythm.last < rules.return_ratio * expected:
            return returns_at, RECOVERED
        if rhythm.stage == LOST:
            return None
        return max(free_at, rhythm.last + rules.lost_ratio * expected), LOST
    grown = _grown(rhythm, rules)
    grows_at = max(free_at, rhythm.last)
    if grown != rhythm.stage and grows_at < declines_at:
        return grows_at, grown
    return declines_at, DECLINE


def _grown(rhythm: Rhythm, rules: LifecycleRules) -> str:
    """The stage that a member who buys in rhythm has by the number of purchases."""
    if rhythm.stage == RECOVERED and rhythm.last <= rhythm.since:
        # One purchase brought the member back; the next one shows whether there is a rhythm again.
        return RECOVERED
    if rhythm.purchases >= rules.stability_purchases:
        return STABILITY
    return DEVELOPMENT if rhythm.purchases >= rules.development_purchases else IDENTIFICATION
