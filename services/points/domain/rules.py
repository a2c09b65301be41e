"""Versions of the earning rules: which one an order earns by, and the simple form of one.

A version says either so many points for each whole unit of the currency, or has a rule set. It never changes
once it is in force, so that a refund is judged by what granted, whatever has become of it since.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from services.points.domain.accounts import MAX_ENTRY_POINTS, PointsOutOfRange
from services.points.domain.expiry import expiry_of
from services.points.domain.rule_sets import RuleSet, WhenSpent
from shared.money import exponent


@dataclass(frozen=True, slots=True)
class EarningRule:
    """One version of the earning rules, in force from `effective_at` until the next one or its end.

    In its simple form it gives `points_per_unit` points for each whole unit of the order's currency, in a lot
    that lives `lot_lifetime_days` days of 24 hours from the payment, or for ever if that is None.
    """

    version: int
    points_per_unit: int
    lot_lifetime_days: int | None
    effective_at: datetime
    ended_at: datetime | None = None
    rule_set: RuleSet | None = None

    def points_for(self, total_minor: int, currency: str) -> int:
        """Return what the simple form gives; raises `PointsOutOfRange` and `UnknownCurrency`."""
        points: int = total_minor // 10 ** exponent(currency) * self.points_per_unit
        if points > MAX_ENTRY_POINTS:
            raise PointsOutOfRange(f"{points} points are more than one entry may hold")
        return points

    def expiry_of(self, paid_at: datetime) -> datetime | None:
        """Return when a lot earned at `paid_at` expires; raises OverflowError beyond the year 9999."""
        if self.rule_set is not None:
            return expiry_of(self.rule_set.expiry, paid_at, self.rule_set.zone)
        if self.lot_lifetime_days is None:
            return None
        return paid_at + timedelta(days=self.lot_lifetime_days)

    def lot_expiry_of(self, paid_at: datetime) -> datetime | None:
        """Return the date of the lot itself: none if activity puts off that of the whole account."""
        slides = self.rule_set is not None and self.rule_set.expiry.slides
        return None if slides else self.expiry_of(paid_at)

    @property
    def plain_lifetime(self) -> timedelta | None:
        """How long each lot lives, if that is the same for all that expire and no matter of the calendar."""
        if self.rule_set is None:
            days = self.lot_lifetime_days
        else:
            expiry = self.rule_set.expiry
            days = expiry.days if expiry.mode == "rolling" and not expiry.day_end else None
        return None if days is None else timedelta(days=days)

    @property
    def debt_policy(self) -> WhenSpent:
        """What becomes of points to be taken back that the member no longer has."""
        return "debt" if self.rule_set is None else self.rule_set.when_spent

    def maturity_of(self, paid_at: datetime) -> datetime | None:
        """Return when points earned at `paid_at` can be spent; None if at once."""
        if self.rule_set is None or not self.rule_set.matures_after_days:
            return None
        return paid_at + timedelta(days=self.rule_set.matures_after_days)


class RuleBook:
    """All versions that are or were in force, looked up by the moment of the payment.

    The version is a function of the order alone, not of when it is heard of: a late or repeated event earns
    under the same version as a punctual one. A version that was ended early leaves the time after its end to
    the one before it.
    """

    def __init__(self, rules: Iterable[EarningRule]) -> None:
        self._rules = sorted(rules, key=lambda rule: (rule.effective_at, rule.version))
        self._effective = [rule.effective_at for rule in self._rules]
        self._by_version = {rule.version: rule for rule in self._rules}

    def __iter__(self) -> Iterator[EarningRule]:
        return iter(self._rules)

    def at(self, instant: datetime) -> EarningRule:
        """Return the version in force at `instant`; before the first one, the first."""
        for index in range(bisect_right(self._effective, instant) - 1, -1, -1):
            rule = self._rules[index]
            if rule.ended_at is None or instant < rule.ended_at:
                return rule
        return self._rules[0]

    def version(self, number: int) -> EarningRule:
        """Return a version by its number."""
        return self._by_version[number]
