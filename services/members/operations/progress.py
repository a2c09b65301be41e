"""Where members stand as of now: judged when they are read, whatever a job has got round to."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import RowMapping
from sqlalchemy.ext.asyncio import AsyncSession

from services.members.domain import LifecycleRules, Member, Progress, Rhythm, judge, progress_of
from services.members.domain.lifecycle import (
    IDENTIFICATION,
    advance,
    expected_interval,
    fold,
    next_change,
    recency_ratio,
)
from services.members.errors import MemberNotFound
from services.members.operations.rhythms import rhythm_of
from services.members.operations.standings import facts_of
from services.members.repository import aliases, people, program, stages, standing
from services.members.settings import settings

__all__ = ["Stage", "Standing", "read_stage_history", "read_standing", "read_tier_history", "standing_of"]


@dataclass(frozen=True, slots=True)
class Stage:
    """A member's lifecycle stage as of an instant, and what it was judged by."""

    as_of: datetime
    stage: str
    since: datetime | None
    purchases: int
    last_purchase_at: datetime | None
    expected_interval: timedelta | None
    # The time since the last purchase as a multiple of the expected interval.
    ratio: float | None
    # What comes next if the member does not buy, and when.
    next_stage: str | None
    next_at: datetime | None
    strategy: str | None


@dataclass(frozen=True, slots=True)
class Standing:
    """A person's place in the tiers and in the lifecycle, as of one instant."""

    member_id: UUID
    tier: Progress
    stage: Stage


async def read_standing(session: AsyncSession, member_id: UUID) -> Standing:
    """Return where the person behind a member stands as of now; raises MemberNotFound."""
    found = await people.persons(session, [member_id])
    if member_id not in found:
        raise MemberNotFound
    rules = await program.rules(session, settings().program_time_zone)
    return await standing_of(session, found[found[member_id].person_id], rules)


async def standing_of(session: AsyncSession, person: Member, rules: program.Rules) -> Standing:
    """Return where a person stands as of the rules' now; it was read with all its ids."""
    with_terms = [each for each in (person, *person.merged) if each.has_tier_terms]
    if with_terms:
        held = await standing.terms(session, [each.id for each in with_terms])
        for each in with_terms:
            each.terms = held.get(each.id, each.terms)
    facts = (await facts_of(session, [person], rules.ladder, rules.now))[person.id]
    # What time alone has done since the last judgement shows here before a job says it.
    judge(person, rules.ladder, facts, now=rules.now, at=rules.now, reason="period_end")
    tier = progress_of(person, rules.ladder, facts, rules.now)
    rhythm = await _rhythm(session, person, rules.lifecycle, rules.now)
    return Standing(person.id, tier, _stage(rhythm, rules.lifecycle, rules.now))


async def _rhythm(
    session: AsyncSession, person: Member, rules: LifecycleRules, now: datetime
) -> Rhythm | None:
    if person.stage_is_stale or person.merged:
        bought = await stages.purchases(session, [(person.id, person.person_ids)])
        return fold(bought.get(person.id, ()), rules, now)
    rhythm = rhythm_of(person)
    return None if rhythm is None else advance(rhythm, rules, now)


def _stage(rhythm: Rhythm | None, rules: LifecycleRules, now: datetime) -> Stage:
    if rhythm is None:
        strategy = rules.strategies.get(IDENTIFICATION)
        return Stage(now, IDENTIFICATION, None, 0, None, None, None, None, None, strategy)
    next_at, next_stage = next_change(rhythm, rules) or (None, None)
    return Stage(
        as_of=now,
        stage=rhythm.stage,
        since=rhythm.since,
        purchases=rhythm.purchases,
        last_purchase_at=rhythm.last,
        expected_interval=expected_interval(rhythm, rules),
        ratio=recency_ratio(rhythm, rules, now),
        next_stage=next_stage,
        next_at=next_at,
        strategy=rules.strategies.get(rhythm.stage),
    )


async def read_tier_history(
    session: AsyncSession, member_id: UUID, *, before: int | None, limit: int
) -> Sequence[RowMapping]:
    """Return what befell the tier of the person behind a member, the latest first; raises MemberNotFound."""
    return await standing.history_page(session, await _ids(session, member_id), before=before, limit=limit)


async def read_stage_history(
    session: AsyncSession, member_id: UUID, *, before: int | None, limit: int
) -> Sequence[RowMapping]:
    """Return the stages that were said of the person behind a member; raises MemberNotFound."""
    return await stages.history_page(session, await _ids(session, member_id), before=before, limit=limit)


async def _ids(session: AsyncSession, member_id: UUID) -> Collection[UUID]:
    ids = await aliases.ids_of_person(session, member_id)
    if not ids:
        raise MemberNotFound
    return ids
