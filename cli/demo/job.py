"""The main job, start to finish."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from cli.demo.afternoon import Afternoon, AfternoonPlayer
from cli.demo.books import Books
from cli.demo.client import Services
from cli.demo.loyalty import Loyalty, LoyaltyPlayer
from cli.demo.moved_clock import LATER, move_clock
from cli.demo.purchases import Purchases, dataset
from cli.demo.reconciliation import (
    Check,
    Mail,
    imported_checks,
    judged_in_one_instant,
    ledger_checks,
    whole_checks,
)
from cli.demo.returns import play_returns
from cli.importing import ImportPlan, import_file, load_mapping
from cli.platform.platform import Platform

__all__ = ["DemoFailed", "DemoResult", "Watcher", "play"]

BUYERS = 10


class DemoFailed(RuntimeError):
    """The demo could not be played to its end."""


class Watcher(Protocol):
    """Whoever is told how it goes."""

    def step(self, name: str) -> None:
        """A new phase begins."""

    def intake(self, done: int, of: int) -> None:
        """So many orders have been handed over."""

    def left(self, items: int) -> None:
        """So many records and messages are still on their way."""


@dataclass
class DemoResult:
    """What came of it."""

    bus: str
    phases: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    imported: dict[str, Any] = field(default_factory=dict)
    final: dict[str, Any] = field(default_factory=dict)
    returns: int = 0
    afternoon: Afternoon = field(default_factory=Afternoon)
    loyalty: Loyalty = field(default_factory=Loyalty)
    mail: Mail = field(default_factory=lambda: Mail(0, 0, 0))
    dead_letters: int = 0
    checks: list[Check] = field(default_factory=list)

    @property
    def reconciled(self) -> bool:
        """Whether every check holds."""
        return bool(self.checks) and all(check.holds for check in self.checks)

    def facts(self) -> dict[str, Any]:
        """The summary as `--json` prints it; orders to points_expired are those of the import alone."""
        members, points = self.imported["members"], self.imported["points"]
        campaigns = self.final["campaigns"]
        return {
            "orders": members["orders"]["total"],
            "members": members["members"],
            "revenue_minor": members["revenue_minor"].get("USD", 0),
            "points_earned": points["earned_points"],
            "points_expired": points["expired_points"],
            "tier_upgrades": self.final["members"]["tier_upgrades"],
            "emails_delivered": self.mail.delivered,
            "groups_formed": campaigns["groups"]["formed"],
            "groups_failed": campaigns["groups"]["failed"],
            "refunds_requested": campaigns["refunds_requested"],
            "refunds": self.returns + len(self.afternoon.refunded),
            "refunded_minor": self.final["members"]["refunded_minor"].get("USD", 0),
            "points_clawed_back": self.final["points"]["clawed_back_points"],
            "points_spent": self.final["points"]["spent_points"],
            "dead_letters": self.dead_letters,
            "seconds": round(self.seconds, 2),
            "reconciled": self.reconciled,
            "bus": self.bus,
            "afternoon": {
                "orders": len(self.afternoon.orders),
                "revenue_minor": self.afternoon.revenue_minor,
                "refunded_minor": sum(self.afternoon.refunded.values()),
                "points_redeemed": self.afternoon.points_redeemed,
                "coupons_issued": campaigns["coupons_issued"],
            },
            "loyalty": asdict(self.loyalty),
            "phases": {name: round(seconds, 2) for name, seconds in self.phases.items()},
            "checks": [
                {"name": check.name, "expected": check.expected, "actual": check.actual, "holds": check.holds}
                for check in self.checks
            ],
        }


def play(platform: Platform, watcher: Watcher, *, limit: int | None = None) -> DemoResult:
    """Start the platform, play the main job on it, and stop it.

    Raises DatasetMissing, DemoFailed and what the platform or the services raise.
    """
    file = dataset()
    purchases = Purchases(file, limit=limit)
    result = DemoResult(bus=platform.bus)
    try:
        with _timed(result, watcher, "start"):
            platform.start()
        services = Services(platform)
        try:
            _play(platform, services, purchases, file, watcher, result, limit)
        finally:
            services.close()
    finally:
        with _timed(result, watcher, "stop"):
            platform.stop()
    return result


def _play(
    platform: Platform,
    services: Services,
    purchases: Purchases,
    file: Path,
    watcher: Watcher,
    result: DemoResult,
    limit: int | None,
) -> None:
    began = time.monotonic()
    with _timed(result, watcher, "intake"):
        _import(platform, purchases, file, watcher, limit)
    with _timed(result, watcher, "drain"):
        result.seconds = services.drained(watcher.left) - began
    books = Books.of(purchases)
    figures, now = judged_in_one_instant(books, services.summaries)
    result.imported = dict(figures)
    result.checks = imported_checks(purchases, now, figures)
    with _timed(result, watcher, "returns"):
        result.returns = play_returns(services, purchases, books)
        services.drained()
    with _timed(result, watcher, "afternoon"):
        customers = list(dict.fromkeys(row.customer for row in purchases.rows))
        result.afternoon = AfternoonPlayer(services, customers[:BUYERS], books).play()
    with _timed(result, watcher, "loyalty"):
        result.loyalty = LoyaltyPlayer(services, customers[BUYERS:], books).play()
        services.drained()
    with _timed(result, watcher, "reconcile"):
        figures, now = judged_in_one_instant(books, services.summaries)
        backlog = services.backlog()
        result.final = dict(figures)
        result.mail = Mail.at(platform.home.mail)
        result.dead_letters = backlog.dead_letters
        result.checks += whole_checks(books, result.afternoon, now, figures, result.mail, backlog)
    with _timed(result, watcher, "month"):
        move_clock(platform)
        services.until("the points to expire", services.nothing_due)
        points = services.get("points", "/v1/summary")
        result.checks += ledger_checks(books, datetime.now(UTC) + LATER, points, " later")


def _import(
    platform: Platform, purchases: Purchases, file: Path, watcher: Watcher, limit: int | None
) -> None:
    plan = ImportPlan(
        file=file,
        mapping=load_mapping("cdnow"),
        url=platform.urls["members"],
        key=platform.key,
        rejects=platform.home.path / "rejects.csv",
        limit=limit,
        shift_days=purchases.shift_days,
    )
    done = 0

    def advance(rows: int) -> None:
        nonlocal done
        done += rows
        watcher.intake(done, purchases.orders)

    outcome = asyncio.run(import_file(plan, advance=advance))
    if outcome.accepted != purchases.orders:
        raise DemoFailed(f"{outcome.rejected} of {outcome.rows} orders were refused: {dict(outcome.codes)}")


@contextmanager
def _timed(result: DemoResult, watcher: Watcher, phase: str) -> Iterator[None]:
    watcher.step(phase)
    began = time.monotonic()
    try:
        yield
    finally:
        result.phases[phase] = time.monotonic() - began
