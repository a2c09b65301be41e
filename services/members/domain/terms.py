"""On which terms a member holds a tier: since when it counts, until when it holds, and who locked it."""

from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import NamedTuple

__all__ = ["PLAIN", "Gift", "Lock", "Terms"]


class Gift(NamedTuple):
    """A tier that holds until `ends_at` whatever is earned; None is for ever."""

    tier: str | None
    ends_at: datetime | None

    def holds(self, at: datetime) -> bool:
        """Say whether it still holds at an instant."""
        return self.ends_at is None or self.ends_at > at


@dataclass(frozen=True, slots=True)
class Lock:
    """A tier that somebody fixed by hand: nothing moves it before `until`; None is until it is unlocked."""

    tier: str
    until: datetime | None
    actor: str
    reason: str
    locked_at: datetime

    def holds(self, now: datetime) -> bool:
        """Say whether the lock still holds."""
        return self.until is None or now < self.until


@dataclass(slots=True)
class Terms:
    """The terms of a tier. Most members hold theirs on plain ones: for ever, by all they ever did."""

    # The first local day whose facts justify the tier; None is the beginning.
    counts_from: date | None = None
    # When the period ends; None is never.
    ends_at: datetime | None = None
    # When the tier is lost if nothing is earned until then, and what put it at risk.
    falls_at: datetime | None = None
    falls_reason: str | None = None
    # Bought, or kept by a rule: not judged by what was earned before the period ends.
    is_given: bool = False
    lock: Lock | None = None
    # What was paid for, on record: it is due until its end, even if something better has been held since.
    bought: tuple[Gift, ...] = ()

    def clear(self) -> None:
        """Make the terms plain again, but for a lock and what was paid for."""
        self.counts_from = self.ends_at = self.falls_at = self.falls_reason = None
        self.is_given = False

    def copy(self) -> "Terms":
        """Return terms of their own that say the same."""
        return replace(self)

    def gifts(self, tier: str | None, at: datetime) -> list[Gift]:
        """Return what holds at an instant whatever is earned; `tier` is what is held on these terms."""
        held = [Gift(tier, self.ends_at)] if self.is_given else []
        return [gift for gift in (*held, *self.bought) if gift.holds(at)]

    @property
    def is_plain(self) -> bool:
        """Say whether the tier is held for ever, by all that the member ever did."""
        return not (self.ends_at or self.counts_from or self.is_given or self.falls_at or self.lock)

    @property
    def look_at(self) -> datetime | None:
        """When time alone may change the tier next; None if it never does."""
        if self.lock is not None:
            return self.lock.until
        if self.falls_reason == "period_end":
            return self.falls_at
        return min(
            (instant for instant in (self.ends_at, self.falls_at) if instant is not None), default=None
        )


PLAIN = Terms()
