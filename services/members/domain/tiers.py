"""The tier table: levels, what reaches them, in which window, for how long, and how a member falls.

Windows and periods are counted in whole local days of the program's zone, so that a day of 23 or 25 hours is
one day like any other.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from shared.clock import add_months, day_bounds

__all__ = [
    "NOTHING",
    "Facts",
    "Figures",
    "Ladder",
    "Level",
    "Period",
    "Policy",
    "Window",
]

ONE_DAY = timedelta(days=1)
MULTIPLIER = "points_multiplier_percent"


class Figures(NamedTuple):
    """What a member did in some span of time, by what tiers can qualify by."""

    # Paid and neither refunded nor called off, in minor units of the program's currency.
    spend_minor: int = 0
    # Paid orders that were neither called off nor refunded whole.
    orders: int = 0
    # Points earned, less what was clawed back; spending and expiry do not matter.
    points: int = 0


NOTHING = Figures()


@dataclass(frozen=True, slots=True)
class Facts:
    """What a member did in all, and by local day for the days that a judgement may look at."""

    total: Figures = NOTHING
    days: Mapping[date, Figures] = field(default_factory=dict)

    def between(self, first: date | None, end: date | None = None) -> Figures:
        """Add up the days from `first` on and before `end`; without a first day it is everything."""
        if first is None:
            return self.total
        counted = [each for day, each in self.days.items() if day >= first and (end is None or day < end)]
        if not counted:
            return NOTHING
        return Figures(*map(sum, zip(*counted, strict=True)))


@dataclass(frozen=True, slots=True)
class Level:
    """A tier. It is reached by any of its thresholds; one without a threshold is only given or bought."""

    name: str
    rank: int
    min_spend_minor: int | None = None
    benefits: Mapping[str, Any] = field(default_factory=dict)
    min_orders: int | None = None
    min_points: int | None = None

    @property
    def thresholds(self) -> tuple[int | None, int | None, int | None]:
        """The thresholds in the order of the fields of `Figures`."""
        return self.min_spend_minor, self.min_orders, self.min_points

    def reached_by(self, figures: Figures) -> bool:
        """Say whether any of the configured thresholds is reached."""
        spend, orders, points = self.min_spend_minor, self.min_orders, self.min_points
        return (
            (spend is not None and figures.spend_minor >= spend)
            or (orders is not None and figures.orders >= orders)
            or (points is not None and figures.points >= points)
        )


@dataclass(frozen=True, slots=True)
class Window:
    """In which time what a member does counts: `count` days or months up to today, this year, or all."""

    kind: str = "since_joining"
    count: int = 0

    def first_day(self, today: date) -> date | None:
        """Return the first local day that counts today; None if all of them do."""
        match self.kind:
            case "rolling_days":
                return today - timedelta(days=self.count - 1)
            case "rolling_months":
                return add_months(today, -self.count) + ONE_DAY
            case "calendar_year":
                return today.replace(month=1, day=1)
        return None

    def first_day_of_period(self, end_day: date) -> date | None:
        """Return the first local day that counts for a period that is over when `end_day` begins.

        A rolling window leaves out the day on which a tier was reached that has held for as long as the
        window is: what earned it once does not prolong it.
        """
        return self.first_day(end_day - ONE_DAY if self.kind == "calendar_year" else end_day)

    def leaves_on(self, day: date) -> date | None:
        """Return the first local day on which what was done on `day` counts no more."""
        match self.kind:
            case "rolling_days":
                return day + timedelta(days=self.count)
            case "rolling_months":
                # The month's end bends the rule by up to three days, so the day is looked for.
                leaves = add_months(day, self.count) - timedelta(days=4)
                while (first := self.first_day(leaves)) is not None and first <= day:
                    leaves += ONE_DAY
                return leaves
            case "calendar_year":
                return date(day.year + 1, 1, 1)
        return None


@dataclass(frozen=True, slots=True)
class Period:
    """How long a tier holds once it is reached or prolonged: days, months, or whole calendar years.

    With `calendar_year` and a count of 0 it holds until the end of the same year, with 1 until the end of
    the next one.
    """

    kind: str = "none"
    count: int = 0

    def ends_on(self, today: date) -> date | None:
        """Return the first local day on which a tier that begins today holds no more; None is never."""
        match self.kind:
            case "days":
                return today + timedelta(days=self.count)
            case "months":
                ends_on = add_months(today, self.count)
                # From 31 January it holds through February, from 29 February through the next one.
                return ends_on if ends_on.day == today.day else ends_on + ONE_DAY
            case "calendar_year":
                return date(today.year + self.count + 1, 1, 1)
        return None


@dataclass(frozen=True, slots=True)
class Policy:
    """The rules of one tier table beside its levels."""

    window: Window = Window()
    period: Period = Period()
    # What happens at the end of a period in which too little was earned.
    downgrade: str = "to_earned"
    # Days after the end of the period in which earning still prolongs the tier.
    grace_days: int = 0
    # Days between a refund that undoes a tier and its loss; 0 is at once, None never takes a tier back.
    refund_grace_days: int | None = 0
    # The level below which nobody falls who once reached it.
    floor: str | None = None
    # Since which version of the table each level is called as it is and makes of points what it does.
    defined_in: Mapping[str, int] = field(default_factory=dict)


class Ladder:
    """One version of the tier table. Ranks rise, and with them every threshold that levels ask for."""

    def __init__(
        self, version: int, levels: Sequence[Level], policy: Policy | None = None, zone: tzinfo = UTC
    ) -> None:
        self.version = version
        self.levels = sorted(levels, key=lambda level: level.rank)
        self.policy = policy or Policy()
        self.zone = zone
        self._by_name = {level.name: level for level in levels}
        self._from_the_top = self.levels[::-1]
        _check(self.levels, self._by_name, self.policy)
        self.counts_points = any(level.min_points is not None for level in levels)
        # Everything that members ever did counts: a judgement needs no look into the past.
        self.counts_everything = self.policy.window.kind == "since_joining"
        floor = self.named(self.policy.floor)
        self.floor_rank = -1 if floor is None else floor.rank

    def earned(self, figures: Figures) -> Level | None:
        """The highest level that the figures reach, None below the first."""
        for level in self._from_the_top:
            if level.reached_by(figures):
                return level
        return None

    def named(self, name: str | None) -> Level | None:
        """The level of that name, if the table has it."""
        return None if name is None else self._by_name.get(name)

    def below(self, level: Level) -> Level | None:
        """The next lower level, None below the first."""
        position = self.levels.index(level)
        return self.levels[position - 1] if position else None

    def above(self, rank: int) -> Level | None:
        """The next higher level that can be earned, None above the last."""
        return next((each for each in self.levels if each.rank > rank and any_threshold(each)), None)

    def multiplier_percent(self, name: str | None) -> int | None:
        """What a level makes of points earned; None if it leaves them as they are."""
        level = self.named(name)
        return None if level is None else level.benefits.get(MULTIPLIER)

    def following(self, levels: Sequence[Level], policy: Policy | None = None) -> "Ladder":
        """Return the next version of the table; the policy stays if there is no other."""
        version = self.version + 1
        defined_in = {
            level.name: self.policy.defined_in.get(level.name, 0)
            if (before := self.named(level.name)) is not None
            and (before.benefits.get(MULTIPLIER) or 100) == (level.benefits.get(MULTIPLIER) or 100)
            else version
            for level in levels
        }
        return Ladder(version, levels, replace(policy or self.policy, defined_in=defined_in), self.zone)

    def is_free(self, level: Level) -> bool:
        """Say whether the level asks for nothing, so that nobody can lose it."""
        return level.reached_by(NOTHING)

    def day_of(self, instant: datetime) -> date:
        """The local day of an instant in the program's zone."""
        return instant.astimezone(self.zone).date()

    def start_of(self, day: date) -> datetime:
        """The instant at which a local day begins in the program's zone."""
        zone = self.zone if isinstance(self.zone, ZoneInfo) else ZoneInfo("UTC")
        return day_bounds(day, zone)[0]


def any_threshold(level: Level) -> bool:
    """Say whether the level can be earned at all."""
    return any(threshold is not None for threshold in level.thresholds)


def _check(levels: Sequence[Level], by_name: Mapping[str, Level], policy: Policy) -> None:
    if len({level.rank for level in levels}) != len(levels) or len(by_name) != len(levels):
        raise ValueError("two levels have the same rank or name")
    for asked in zip(*(level.thresholds for level in levels), strict=True):
        told = [threshold for threshold in asked if threshold is not None]
        if told != sorted(set(told)):
            raise ValueError("every threshold must rise with the rank")
    if policy.floor is not None and policy.floor not in by_name:
        raise ValueError("the floor is no level of the table")
