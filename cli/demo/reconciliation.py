"""Do the books balance? Every figure of the services beside one that was come by in another way."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cli.demo.afternoon import Afternoon
from cli.demo.books import Books
from cli.demo.client import Backlog
from cli.demo.purchases import Purchases, tiers
from cli.mail_sink import deliveries

__all__ = ["Check", "Mail", "imported_checks", "judged_in_one_instant", "ledger_checks", "whole_checks"]


@dataclass(frozen=True)
class Check:
    """One figure twice."""

    name: str
    expected: Any
    actual: Any

    @property
    def holds(self) -> bool:
        """Whether both are the same."""
        return bool(self.expected == self.actual)


@dataclass(frozen=True)
class Mail:
    """What arrived at the sink."""

    delivered: int
    messages: int
    strangers: int

    @classmethod
    def at(cls, sink: Path) -> "Mail":
        """Count mails, different Message-IDs, and recipients who are no customers of the demo."""
        noted = list(deliveries(sink))
        strangers = sum(not note.to.endswith("@example.test") for note in noted)
        return cls(len(noted), len({(note.message_id, note.to) for note in noted}), strangers)


def judged_in_one_instant(
    books: Books, read: Callable[[], Mapping[str, Any]]
) -> tuple[Mapping[str, Any], datetime]:
    """(the services' figures, a moment of which they are).

    Points expire at noon; figures read across that moment are read again.
    """
    while True:
        before = datetime.now(UTC)
        figures = read()
        expired = [books.points_expired(moment) for moment in (before, datetime.now(UTC))]
        if expired[0] == expired[1] and figures["points"]["due_lots"] == 0:
            return figures, before


def imported_checks(purchases: Purchases, now: datetime, figures: Mapping[str, Any]) -> list[Check]:
    """After the import: the services against the input file."""
    expired = purchases.points_expired(now)
    members, points, analytics = figures["members"], figures["points"], figures["analytics"]
    revenue = {"USD": purchases.revenue_minor}
    return [
        Check("orders in members", purchases.orders, members["orders"]["total"]),
        Check("orders in analytics", purchases.orders, analytics["orders"]),
        Check("members in members", purchases.members, members["members"]),
        Check("members in analytics", purchases.members, analytics["members"]),
        Check("revenue in members, cents", revenue, members["revenue_minor"]),
        Check("revenue in analytics, cents", revenue, analytics["revenue_minor"]),
        Check("points earned in points", purchases.points_earned, points["earned_points"]),
        Check("points earned in analytics", purchases.points_earned, analytics["points"]["earned"]),
        Check("points expired in points", expired, points["expired_points"]),
        Check("points expired in analytics", expired, analytics["points"]["expired"]),
        Check("members by tier", tiers(purchases.spend()), _without_zeros(members["tiers"])),
    ]


def whole_checks(
    books: Books,
    afternoon: Afternoon,
    now: datetime,
    figures: Mapping[str, Any],
    mail: Mail,
    backlog: Backlog,
) -> list[Check]:
    """At the end: what was played against the demo's own books, and each service's books in themselves."""
    members, analytics = figures["members"], figures["analytics"]
    revenue, refunded = {"USD": books.revenue_minor}, {"USD": books.refunded_minor}
    return [
        Check("revenue with the afternoon, cents", revenue, members["revenue_minor"]),
        Check("the same in analytics", revenue, analytics["revenue_minor"]),
        Check("refunds in members, cents", refunded, members["refunded_minor"]),
        Check("refunds in analytics, cents", refunded, analytics["refunded_minor"]),
        Check("members by tier in the end", books.tiers(), _without_zeros(members["tiers"])),
        *ledger_checks(books, now, figures["points"]),
        Check("points spent in analytics", books.points_spent, analytics["points"]["spent"]),
        *_campaign_checks(afternoon, figures["campaigns"]),
        Check("one mail per tier upgrade", members["tier_upgrades"], mail.messages),
        Check("no mail twice, none to strangers", (mail.messages, 0), (mail.delivered, mail.strangers)),
        Check("outboxes, lag and other work left", "nothing", str(backlog)),
        Check("dead letters", 0, backlog.dead_letters),
    ]


def ledger_checks(books: Books, now: datetime, points: Mapping[str, Any], when: str = "") -> list[Check]:
    """The ledger against the demo's own books, both as of `now`."""
    return [
        Check(f"points earned{when}", books.points_earned, points["earned_points"]),
        Check(f"points expired{when}", books.points_expired(now), points["expired_points"]),
        Check(f"points spent{when}", books.points_spent, points["spent_points"]),
        Check(f"points taken back{when}", books.points_clawed_back, points["clawed_back_points"]),
        Check(
            f"points left{when}", books.points_left(now), points["available_points"] - points["debt_points"]
        ),
        Check(f"sum of all entries{when}", 0, points["entries_sum"]),
        Check(f"lots unlike balances{when}", 0, points["lot_mismatches"]),
    ]


def _campaign_checks(afternoon: Afternoon, campaigns: Mapping[str, Any]) -> list[Check]:
    payments = campaigns["payments"]
    groups = (afternoon.groups_formed, afternoon.groups_failed)
    return [
        Check(
            "groups formed and failed", groups, (campaigns["groups"]["formed"], campaigns["groups"]["failed"])
        ),
        Check(
            "payments = confirmed + refunded",
            len(afternoon.orders),
            payments["confirmed"] + payments["refunded"],
        ),
        Check("money undecided, cents", 0, campaigns["undecided_minor"]),
        Check("refunds asked and answered", len(afternoon.refunded), campaigns["refunds_answered"]),
        Check("refunds asked", len(afternoon.refunded), campaigns["refunds_requested"]),
        Check("coupons issued", 1, campaigns["coupons_issued"]),
    ]


def _without_zeros(counts: Mapping[str, int]) -> dict[str, int]:
    return {name: count for name, count in counts.items() if count}
