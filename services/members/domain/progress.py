"""Where a member stands in the tiers: what is missing to the next one, by when, and what keeps this one."""

from dataclasses import dataclass
from datetime import date, datetime

from services.members.domain.people import Member
from services.members.domain.terms import Lock
from services.members.domain.tiers import Facts, Figures, Ladder, Level

__all__ = ["Missing", "Progress", "missing_to", "progress_of"]


@dataclass(frozen=True, slots=True)
class Missing:
    """How much more reaches a level; any one of the amounts is enough, None is not asked for."""

    spend_minor: int | None
    orders: int | None
    points: int | None


@dataclass(frozen=True, slots=True)
class Progress:
    """A member's place in the tiers as of an instant."""

    as_of: datetime
    tier: Level | None
    since: datetime | None
    # What counts today.
    figures: Figures
    next_tier: Level | None
    missing: Missing | None
    # Until when what counts today still does: from then on more is missing. None is for ever.
    missing_by: datetime | None
    ends_at: datetime | None
    # What prolongs the tier at its end; nothing is missing if it has been earned already.
    prolonged_if: Missing | None
    falls_at: datetime | None
    falls_reason: str | None
    is_given: bool
    lock: Lock | None


def missing_to(level: Level, figures: Figures) -> Missing:
    """How much more reaches a level; each amount is at least 0."""
    asked = [
        None if threshold is None else max(0, threshold - done)
        for threshold, done in zip(level.thresholds, figures, strict=True)
    ]
    return Missing(*asked)


def progress_of(member: Member, ladder: Ladder, facts: Facts, now: datetime) -> Progress:
    """Tell a member's place as of `now`; the member must have been judged as of the same instant."""
    terms, window = member.terms, ladder.policy.window
    today = ladder.day_of(now)
    first = window.first_day(today)
    figures = facts.between(first)
    tier, following = ladder.named(member.tier), ladder.above(member.tier_rank)
    prolonged_if = None
    # What a period was when the tier was locked is of no account: at the end of the lock a new one begins.
    ends_at = terms.ends_at if terms.lock is None else None
    if ends_at is not None and tier is not None:
        period = facts.between(window.first_day_of_period(ladder.day_of(ends_at)))
        prolonged_if = missing_to(tier, period)
    return Progress(
        as_of=now,
        tier=tier,
        since=member.tier_changed_at,
        figures=figures,
        next_tier=following,
        missing=None if following is None else missing_to(following, figures),
        missing_by=_counts_until(ladder, facts, first),
        ends_at=ends_at,
        prolonged_if=prolonged_if,
        falls_at=terms.falls_at,
        falls_reason=terms.falls_reason,
        is_given=terms.is_given,
        lock=terms.lock,
    )


def _counts_until(ladder: Ladder, facts: Facts, first: date | None) -> datetime | None:
    """When the first of the days that count today counts no more."""
    counted = [] if first is None else [day for day in facts.days if day >= first]
    leaves_on = ladder.policy.window.leaves_on(min(counted)) if counted else None
    return None if leaves_on is None else ladder.start_of(leaves_on)
