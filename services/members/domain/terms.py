"""On which terms a member holds a tier: since when it counts, until when it holds, and who locked it."""

from dataclasses import dataclass
from datetime import date, datetime

__all__ = ["PLAIN", "Lock", "Terms"]


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

    def clear(self) -> None:
        """Make the terms plain again, but for a lock."""
        self.counts_from = self.ends_at = self.falls_at = self.falls_reason = None
        self.is_given = False

    def copy(self) -> "Terms":
        """Return terms of their own that say the same."""
        return Terms(
            self.counts_from, self.ends_at, self.falls_at, self.falls_reason, self.is_given, self.lock
        )

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
