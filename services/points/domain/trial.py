"""A trial of a rule set on orders that have earned: what it would have granted, beside what was granted."""

from dataclasses import dataclass, field
from datetime import datetime
from heapq import nlargest
from typing import Final, NamedTuple
from uuid import UUID

from services.points.domain.accounts import PointsOutOfRange
from services.points.domain.caps import Window, capped, windows_of
from services.points.domain.earning import judge
from services.points.domain.expiry import expiry_of
from services.points.domain.facts import MemberFacts, PaidOrder
from services.points.domain.rule_sets import PROGRAM, RuleSet
from shared.money import UnknownCurrency

# Who gains and who loses most, this many of each.
MOST: Final = 10


class Earned(NamedTuple):
    """An order that earned: what was granted for it, and until when that lives."""

    order: PaidOrder
    member: MemberFacts
    points: int
    expires_at: datetime | None


@dataclass(slots=True)
class Trial:
    """What has been found so far, account by account; it can be laid aside after any of them.

    `live` points are those that would not have expired by now: what the program would owe for them.
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

    def try_account(self, rules: RuleSet, member_id: UUID, orders: list[Earned], now: datetime) -> None:
        """Judge all orders of an account, in the order in which they came."""
        used = self._budgets()
        before, after = self.granted_points, self.draft_points
        for earned in orders:
            self._try_order(rules, member_id, earned, used, now)
        self._keep(used)
        self.accounts += 1
        change = (self.draft_points - after) - (self.granted_points - before)
        if change > 0:
            self.members_gaining += 1
            self.winners = nlargest(MOST, [*self.winners, (change, member_id)])
        elif change < 0:
            self.members_losing += 1
            self.losers = nlargest(MOST, [*self.losers, (change, member_id)], key=lambda item: -item[0])

    def _try_order(
        self, rules: RuleSet, member_id: UUID, earned: Earned, used: dict[Window, int], now: datetime
    ) -> None:
        order = earned.order
        self.orders += 1
        self.orders_without_lines += not order.lines
        self.granted_points += earned.points
        if earned.expires_at is None or earned.expires_at > now:
            self.granted_live_points += earned.points
        try:
            given = judge(rules, order, earned.member).parts.total
            expires_at = expiry_of(rules.expiry, order.paid_at, rules.zone)
        except (PointsOutOfRange, UnknownCurrency, OverflowError):
            self.orders_refused += 1
            return
        points, cuts = capped(rules, member_id, order.paid_at, given, used)
        for window in windows_of(rules, member_id, order.paid_at):
            used[window] = used.get(window, 0) + points
        self.draft_points += points
        if expires_at is None or expires_at > now:
            self.draft_live_points += points
        self.orders_changed += points != earned.points
        if cuts:
            self.capped_orders += 1
            self.capped_points += given - points

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
