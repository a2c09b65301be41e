"""What a member still has to do for the next tier, and until when what was done counts."""

from dataclasses import dataclass
from datetime import date, datetime

from services.members.domain.tiers import Facts, Figures, Ladder, Level

__all__ = ["Progress", "progress"]


@dataclass(frozen=True, slots=True)
class Progress:
    """The way to the next tier that can be earned; without one, `level` is None and nothing is missing.

    Any one of what is missing would do; None is not asked for. `counts_until` is when the first of what now
    counts stops counting, so that more would be missing; None is never.
    """

    figures: Figures
    counts_until: datetime | None
    level: Level | None = None
    missing_spend_minor: int | None = None
    missing_orders: int | None = None
    missing_points: int | None = None


def progress(ladder: Ladder, rank: int, facts: Facts, now: datetime) -> Progress:
    """Compare what counts as of an instant with the next tier above a rank."""
    window, today = ladder.policy.window, ladder.day_of(now)
    first = window.first_day(today)
    figures = facts.between(first)
    until = None if first is None else window.leaves_on(_first_that_counts(facts, first, today))
    counts_until = None if until is None else ladder.start_of(until)
    level = ladder.above(rank)
    if level is None:
        return Progress(figures, counts_until)
    spend, orders, points = (
        None if threshold is None else max(0, threshold - figure)
        for threshold, figure in zip(level.thresholds, figures, strict=True)
    )
    return Progress(figures, counts_until, level, spend, orders, points)


def _first_that_counts(facts: Facts, first: date, today: date) -> date:
    return min((day for day, figures in facts.days.items() if day >= first and any(figures)), default=today)
