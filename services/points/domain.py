"""The rules of the ledger: what an order earns, what a refund takes back, which lots pay first.

Everything here is a function of its arguments. Instants are aware and in UTC, points are whole numbers.
"""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from shared.money import whole_units

# One entry holds at most this; an account then takes more than nine thousand of the largest before a bigint
# overflows, and no genuine order comes near it.
MAX_ENTRY_POINTS: Final = 10**15

# What stands against the member in each kind of entry. Contra accounts are never rows: their balance is the
# negative sum of their entries, so that no row is faced by every posting.
CONTRA_OF_KIND: Final = {
    "earn": "issuance",
    "claw_back": "issuance",
    "redeem": "redemption",
    "expire": "expiry",
}


class PointsOutOfRange(ValueError):
    """More points than one entry may hold."""


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


@dataclass(slots=True)
class Account:
    """A member's account as one batch works on it, under its row lock.

    `open_points` are those in open lots; `earned_points` and the like are lifetime figures. It holds that
    open = earned - spent - expired - clawed back + debt.
    """

    member_id: UUID
    sequence: int
    open_points: int
    debt_points: int = 0
    earned_points: int = 0
    spent_points: int = 0
    expired_points: int = 0
    clawed_back_points: int = 0
    held_points: int = 0
    next_expiry_at: datetime | None = None

    @property
    def balance_points(self) -> int:
        """Points the member can spend now; negative by the debt."""
        return self.open_points - self.held_points - self.debt_points

    def repay(self, points: int) -> int:
        """Let newly earned points repay debt; return what is left to open a lot with."""
        repaid = min(points, self.debt_points)
        self.debt_points -= repaid
        return points - repaid


@dataclass(slots=True)
class Lot:
    """An open lot as one batch works on it."""

    id: UUID
    remaining_points: int


def take(lots: Iterable[Lot], points: int) -> tuple[list[tuple[UUID, int]], int]:
    """Take points from lots in the order given; return (lot, points) moves and what was missing."""
    moves: list[tuple[UUID, int]] = []
    for lot in lots:
        if points == 0:
            break
        taken = min(points, lot.remaining_points)
        if taken:
            lot.remaining_points -= taken
            points -= taken
            moves.append((lot.id, taken))
    return moves, points


@dataclass(slots=True)
class EarnedOrder:
    """An order that earned, with what has been refunded of it and taken back for it so far."""

    order_id: UUID
    member_id: UUID
    entry_id: UUID
    granted_points: int
    rule_version: int
    total_minor: int
    currency: str
    expired_points: int
    refunded_minor: int
    clawed_back_points: int
    complete: bool


def claw_back_due(order: EarnedOrder, rule: EarningRule) -> int:
    """Return what still has to be taken back, now that `order` is refunded as far as it says.

    The member keeps what the order would have earned on what was not refunded, under the version that
    granted. So the target depends on the refunds together and not on how they were split, and is everything
    once the order is refunded in full. Points of the order that have expired were taken back already.
    """
    kept_minor = 0 if order.complete else max(0, order.total_minor - order.refunded_minor)
    target = order.granted_points - rule.points_for(kept_minor, order.currency)
    return max(0, target - order.expired_points - order.clawed_back_points)


@dataclass(slots=True)
class Reward:
    """A reward of the catalogue; `stock` is what is left of it, None if that is no matter."""

    id: UUID
    name: str
    kind: str
    cost_points: int
    reference: str | None
    stock: int | None
    per_member_limit: int | None
    starts_at: datetime | None
    ends_at: datetime | None
    retired_at: datetime | None
    cost_minor: int | None
    cost_currency: str | None

    def is_available(self, now: datetime) -> bool:
        """Say whether it can be redeemed at `now`: from its start on, until before its end."""
        if self.retired_at is not None:
            return False
        if self.starts_at is not None and now < self.starts_at:
            return False
        return self.ends_at is None or now < self.ends_at


def spending_order(lots: Sequence[Lot], first: UUID) -> list[Lot]:
    """Put one lot before the others, which keep their order: a clawback begins with its own order's lot."""
    return sorted(lots, key=lambda lot: lot.id != first)
