"""Earning rules: what an order earns, as a function of the order and the rule alone."""

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from services.points.domain.accounts import MAX_ENTRY_POINTS, PointsOutOfRange
from shared.money import whole_units


@dataclass(frozen=True, slots=True)
class EarningRule:
    """One version of the earning rule. A version never changes once it is in force.

    It gives `points_per_unit` points for each whole unit of the order's currency, in a lot that lives
    `lot_lifetime_days` days of 24 hours from the payment, or for ever if that is None.
    """

    version: int
    points_per_unit: int
    lot_lifetime_days: int | None
    effective_at: datetime

    def points_for(self, total_minor: int, currency: str) -> int:
        """Return what an order of this total earns; raises `PointsOutOfRange` and `UnknownCurrency`."""
        points = whole_units(total_minor, currency) * self.points_per_unit
        if points > MAX_ENTRY_POINTS:
            raise PointsOutOfRange(f"{points} points are more than one entry may hold")
        return points

    def expiry_of(self, paid_at: datetime) -> datetime | None:
        """Return when a lot earned at `paid_at` expires; raises OverflowError beyond the year 9999."""
        if self.lot_lifetime_days is None:
            return None
        return paid_at + timedelta(days=self.lot_lifetime_days)


class RuleBook:
    """All versions of the earning rule, looked up by the moment of the payment.

    The version is a function of the order alone, not of when it is heard of: a late or repeated event earns
    under the same version as a punctual one.
    """

    def __init__(self, rules: Iterable[EarningRule]) -> None:
        self._rules = sorted(rules, key=lambda rule: rule.version)
        self._effective = [rule.effective_at for rule in self._rules]
        self._by_version = {rule.version: rule for rule in self._rules}

    def at(self, instant: datetime) -> EarningRule:
        """Return the version in force at `instant`; before the first one, the first."""
        return self._rules[max(0, bisect_right(self._effective, instant) - 1)]

    def version(self, number: int) -> EarningRule:
        """Return a version by its number."""
        return self._by_version[number]
