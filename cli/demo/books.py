"""The bookkeeper of the demo: what must come of it all, reckoned order by order and by other means."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from cli.demo.purchases import POINTS_LIVE, Purchases, tier, tiers

__all__ = ["Books"]


@dataclass
class _Lot:
    expires_at: datetime
    points: int


@dataclass
class _Order:
    customer: str
    cents: int
    lot: _Lot
    refunded_cents: int = 0


@dataclass
class Books:
    """Spend and points of every customer, as orders, refunds, redemptions and merges change them.

    Simple on purpose: one order after the other, a list of lots per customer. `now` is always the moment of
    the change; lots that have passed their date by then pay nothing and give nothing back.
    """

    revenue_minor: int = 0
    refunded_minor: int = 0
    points_earned: int = 0
    points_spent: int = 0
    points_clawed_back: int = 0
    spend: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    bought_tiers: dict[str, str] = field(default_factory=dict)
    _orders: dict[str, _Order] = field(default_factory=dict)
    _lots: dict[str, list[_Lot]] = field(default_factory=lambda: defaultdict(list))
    _pays: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, purchases: Purchases) -> "Books":
        """Open books with the purchase history, whose orders are named by their row."""
        books = cls()
        for number, row in enumerate(purchases.rows, start=1):
            books.paid(row.customer, str(number), row.cents, row.paid_at)
        return books

    def paid(self, customer: str, order: str, cents: int, at: datetime) -> None:
        """An order was paid: one point per whole dollar, for 365 days."""
        lot = _Lot(at + POINTS_LIVE, cents // 100)
        self._orders[order] = _Order(customer, cents, lot)
        self._lots[customer].append(lot)
        self.spend[customer] += cents
        self.revenue_minor += cents
        self.points_earned += lot.points

    def refunded(self, order: str, cents: int, now: datetime) -> None:
        """Money of an order went back, and with it the points that the rest of the order does not earn."""
        found = self._orders[order]
        kept = found.cents - found.refunded_cents
        found.refunded_cents += cents
        self.spend[found.customer] -= cents
        self.refunded_minor += cents
        if found.lot.expires_at > now:
            points = kept // 100 - (kept - cents) // 100
            found.lot.points -= points
            self.points_clawed_back += points

    def spent(self, customer: str, points: int, now: datetime) -> None:
        """Points bought something: the lots that expire first pay first."""
        self.points_spent += points
        for lot in sorted(self._own(customer), key=lambda lot: lot.expires_at):
            if lot.expires_at > now:
                taken = min(points, lot.points)
                lot.points -= taken
                points -= taken
        if points:
            raise ValueError(f"customer {customer} had {points} points too few")

    def merged(self, survivor: str, merged: str) -> None:
        """Two customers are one person from now on."""
        self._pays[merged] = survivor
        self.spend[survivor] += self.spend[merged]

    def tier_bought(self, customer: str, tier: str) -> None:
        """A tier was paid for with points, above the one that the spend earns."""
        self.bought_tiers[customer] = tier

    def tiers(self) -> dict[str, int]:
        """How many persons each tier has."""
        counts = Counter(tiers({each: cents for each, cents in self.spend.items() if each not in self._pays}))
        for customer, bought in self.bought_tiers.items():
            counts[tier(self.spend[customer])] -= 1
            counts[bought] += 1
        return {name: count for name, count in counts.items() if count}

    def points_left(self, now: datetime, customer: str | None = None) -> int:
        """Points that can be spent, of one person or of all."""
        return sum(lot.points for lot in self._own(customer) if lot.expires_at > now)

    def points_expired(self, now: datetime) -> int:
        """Points whose date has passed."""
        return sum(lot.points for lot in self._own(None) if lot.expires_at <= now)

    def _own(self, customer: str | None) -> Iterable[_Lot]:
        for owner, lots in self._lots.items():
            if customer is None or self._pays.get(owner, owner) == self._pays.get(customer, customer):
                yield from lots
