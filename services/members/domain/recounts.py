"""Tiers if points had been others: what a trial of earning rules would make of whoever qualifies by them."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from datetime import date, datetime
from typing import NamedTuple

from services.members.domain.people import Member
from services.members.domain.standing import judge
from services.members.domain.tiers import NOTHING, Facts, Ladder

__all__ = ["Held", "tiers_if"]


class Held(NamedTuple):
    """The tier that a member holds, and the one that they would hold."""

    before: str | None
    after: str | None
    is_up: bool


def tiers_if(
    member: Member, ladder: Ladder, facts: Facts, changes: Iterable[tuple[datetime, int]], now: datetime
) -> Held | None:
    """Return the tiers of a member as of now and if points earned had been others; None if they are the same.

    A tier that would have no ground goes at once, whatever grace a refund would leave it: it would never have
    been reached. What is locked, bought, or kept by the floor stays. `member` is judged and must be a copy.
    """
    judge(member, ladder, facts, now=now, at=now, reason="period_end")
    before, rank = member.tier, member.tier_rank
    policy = replace(ladder.policy, refund_grace_days=0)
    strict = Ladder(ladder.version, ladder.levels, policy, ladder.zone)
    judge(member, strict, _changed(facts, ladder, changes), now=now, at=now, reason="points")
    return None if member.tier_rank == rank else Held(before, member.tier, member.tier_rank > rank)


def _changed(facts: Facts, ladder: Ladder, changes: Iterable[tuple[datetime, int]]) -> Facts:
    """Return facts with points added on the days on which orders were paid."""
    added: Counter[date] = Counter()
    for at, points in changes:
        added[ladder.day_of(at)] += points
    days = dict(facts.days)
    for day, points in added.items():
        figures = days.get(day, NOTHING)
        days[day] = figures._replace(points=figures.points + points)
    return Facts(facts.total._replace(points=facts.total.points + added.total()), days)
