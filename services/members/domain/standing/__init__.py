"""A member's place in the tiers, and how time, orders, refunds, gifts and locks move it.

Three figures decide. What was done in the window up to now can raise a member at once. What was done since
the beginning of the window in which the tier was reached justifies holding it: only a refund can bring that
below the level. And what was done in the window that ends with the period decides whether the tier is
prolonged. A judgement as of an instant is the same whenever it is made, so a late job changes nothing.
"""

from datetime import date, datetime

from services.members.domain.people import Member
from services.members.domain.standing.judgement import Judgement, Move
from services.members.domain.standing.undoing import restore_tier, tier_state
from services.members.domain.terms import Lock, Terms
from services.members.domain.tiers import Facts, Ladder

__all__ = ["Move", "buy", "days_to_look_at", "judge", "lock", "restore_tier", "tier_state", "unlock"]


def judge(
    member: Member, ladder: Ladder, facts: Facts, *, now: datetime, at: datetime, reason: str
) -> list[Move]:
    """Put a member into the tier that is due as of `now`; return what befell it, in order.

    `at` is when what changed the figures happened and `reason` what it was. A tier never changes before its
    last change, so a late order moves it at that instant.
    """
    return Judgement(member, ladder, facts, now, at, reason).run()


def buy(
    member: Member, ladder: Ladder, facts: Facts, *, now: datetime, level_name: str | None
) -> list[Move] | str:
    """Give a level that was paid for in points until its period ends; or say why not, changing nothing.

    The member must have been judged as of `now`. A bought tier is not judged by orders until its end.
    """
    level = ladder.named(level_name)
    if level is None:
        return "no_tier_named" if level_name is None else "unknown_tier"
    if member.terms.lock is not None:
        return "tier_locked"
    if level.rank <= member.tier_rank:
        return "not_higher"
    judgement = Judgement(member, ladder, facts, now, now, "purchase")
    judgement.give(level)
    return judgement.moves


def lock(member: Member, ladder: Ladder, facts: Facts, *, now: datetime, lock: Lock) -> list[Move]:
    """Hold a member in a level, whatever else happens, until the lock ends."""
    member.terms.lock = lock
    return judge(member, ladder, facts, now=now, at=now, reason="lock")


def unlock(member: Member, ladder: Ladder, facts: Facts, *, now: datetime) -> list[Move]:
    """End a member's lock; the tier goes at once to what is earned now."""
    held = member.terms.lock
    if held is None:
        return []
    member.terms.lock = Lock(held.tier, now, held.actor, held.reason, held.locked_at)
    return judge(member, ladder, facts, now=now, at=now, reason="lock_ended")


def days_to_look_at(ladder: Ladder, terms: Terms, now: datetime) -> date | None:
    """The first local day whose facts a judgement as of `now` may ask for; None if it asks for none."""
    window = ladder.policy.window
    firsts = [window.first_day(ladder.day_of(now)), terms.counts_from]
    if terms.ends_at is not None and terms.ends_at <= now:
        firsts.append(window.first_day_of_period(ladder.day_of(terms.ends_at)))
    return min((first for first in firsts if first is not None), default=None)
