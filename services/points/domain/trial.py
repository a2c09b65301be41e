"""A trial of a rule set on orders that have earned: what it would have granted, beside what was granted."""

from dataclasses import dataclass, field, replace
from datetime import datetime
from heapq import nlargest
from typing import Final, NamedTuple
from uuid import UUID

from services.points.domain.accounts import PointsOutOfRange
from services.points.domain.caps import Window, capped, windows_of
from services.points.domain.earning import Judgement, judge
from services.points.domain.expiry import expiry_of
from services.points.domain.facts import MemberFacts
from services.points.domain.orders import EarnedOrder, Grant, OrderFacts, kept_points
from services.points.domain.rule_sets import PROGRAM, RuleSet
from services.points.domain.rules import EarningRule
from shared.money import UnknownCurrency

# Who gains and who loses most, this many of each.
MOST: Final = 10


class Earned(NamedTuple):
    """An order that earned: what was granted for it, until when that lives, and what was refunded of it."""

    order: OrderFacts
    member: MemberFacts
    points: int
    expires_at: datetime | None
    refunded: EarnedOrder | None = None

    @property
    def kept(self) -> int:
        """What refunds left of the points."""
        return self.points if self.refunded is None else self.points - self.refunded.clawed_back_points


class Change(NamedTuple):
    """An order that would have left its member more points, or fewer, after its refunds."""

    paid_at: datetime
    points: int


@dataclass(slots=True)
class Trial:
    """What has been found so far, account by account; it can be laid aside after any of them.

    `live` points are those that refunds left and that would not have expired by now: what the program would
    owe for them. `tier_parts` is how many parts of what changes were handed to who judges tiers; it is None
    in trials from before that was asked.
    """

    accounts: int = 0
    orders: int = 0
    orders_without_lines: int = 0
    orders_changed: int = 0
    orders_refused: int = 0
    granted_points: int = 0
    draft_points: int = 0
    granted_live_points: int = 0
    draft_live_points: int = 0
    capped_orders: int = 0
    capped_points: int = 0
    members_gaining: int = 0
    members_losing: int = 0
    winners: list[tuple[int, UUID]] = field(default_factory=list)
    losers: list[tuple[int, UUID]] = field(default_factory=list)
    # What of the program's own windows is used: rows of (period, first day, points).
    budgets: list[tuple[str, str, int]] = field(default_factory=list)
    tier_parts: int | None = None

    def try_account(
        self, rules: RuleSet, member_id: UUID, orders: list[Earned], now: datetime
    ) -> list[Change]:
        """Judge all orders of an account, in the order in which they came; return those that change."""
        used = self._budgets()
        before, after = self.granted_points, self.draft_points
        changes = []
        for earned in orders:
            change = self._try_order(rules, member_id, earned, used, now)
            if change:
                changes.append(Change(earned.order.paid_at, change))
        self._keep(used)
        self.accounts += 1
        change = (self.draft_points - after) - (self.granted_points - before)
        if change > 0:
            self.members_gaining += 1
            self.winners = nlargest(MOST, [*self.winners, (change, member_id)])
        elif change < 0:
            self.members_losing += 1
            self.losers = nlargest(MOST, [*self.losers, (change, member_id)], key=lambda item: -item[0])
        return changes

    def _try_order(
        self, rules: RuleSet, member_id: UUID, earned: Earned, used: dict[Window, int], now: datetime
    ) -> int:
        """Return how many points more the member would have of the order after its refunds."""
        order = earned.order
        self.orders += 1
        self.orders_without_lines += not order.lines
        self.granted_points += earned.points
        if earned.expires_at is None or earned.expires_at > now:
            self.granted_live_points += earned.kept
        try:
            judged = judge(rules, order, earned.member)
            expires_at = expiry_of(rules.expiry, order.paid_at, rules.zone)
        except (PointsOutOfRange, UnknownCurrency, OverflowError):
            self.orders_refused += 1
            return 0
        given = judged.parts.total
        windows = windows_of(rules, member_id, order.paid_at)
        points, cuts = capped(rules, given, windows, used)
        for window in windows:
            used[window] = used.get(window, 0) + points
        kept = _kept(rules, earned, judged, points)
        self.draft_points += points
        if expires_at is None or expires_at > now:
            self.draft_live_points += kept
        self.orders_changed += points != earned.points
        if cuts:
            self.capped_orders += 1
            self.capped_points += given - points
        return kept - earned.kept

    def _budgets(self) -> dict[Window, int]:
        return {
            Window(PROGRAM, period, datetime.fromisoformat(day).date()): points
            for period, day, points in self.budgets
        }

    def _keep(self, used: dict[Window, int]) -> None:
        self.budgets = [
            (window.period, window.starts_on.isoformat(), points)
            for window, points in used.items()
            if window.subject_id == PROGRAM
        ]


def _kept(rules: RuleSet, earned: Earned, judged: Judgement, points: int) -> int:
    """Return what the order's refunds would have left of the points that the rules give."""
    if earned.refunded is None:
        return points
    grant = Grant(earned.order, earned.member, judged.parts.cut_to(points), judged.bonuses)
    order = replace(earned.refunded, granted_points=points, grant=grant)
    return kept_points(order, EarningRule(0, 0, None, earned.order.paid_at, rule_set=rules))
