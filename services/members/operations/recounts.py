"""Back-tests of earning rules: which tiers members would hold. Nobody's tier is changed by it."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from services.members.domain.recounts import Held, tiers_if
from services.members.operations.standings import facts_of
from services.members.repository import people, program, standing
from services.members.settings import settings
from shared.events import TierMove, TrialRecounted, TrialTiersJudged
from shared.outbox import emit

__all__ = ["judge_recounts"]


async def judge_recounts(session: AsyncSession, parts: Sequence[TrialRecounted]) -> None:
    """Answer each part with how many of its members would move, by the table that holds now."""
    rules = await program.rules(session, settings().program_time_zone)
    answers = []
    for part in parts:
        # A table that asks for no points moves nobody, whatever is earned.
        moves = await _moves(session, part, rules) if rules.ladder.counts_points else Counter()
        answers.append(
            TrialTiersJudged(
                back_test_id=part.back_test_id,
                part=part.part,
                tier_version=rules.ladder.version,
                moves=[
                    TierMove(from_tier=held.before, to_tier=held.after, is_up=held.is_up, members=count)
                    for held, count in moves.most_common()
                ],
                judged_at=rules.now,
            )
        )
    await emit(session, answers)


async def _moves(session: AsyncSession, part: TrialRecounted, rules: program.Rules) -> Counter[Held]:
    known = await people.persons(session, [recount.member_id for recount in part.members])
    changes: dict[UUID, list[tuple[datetime, int]]] = defaultdict(list)
    for recount in part.members:
        if (member := known.get(recount.member_id)) is not None:
            changes[member.person_id] += [(change.at, change.points) for change in recount.changes]
    persons = [known[person_id] for person_id in changes if known[person_id].erased_at is None]
    held = await standing.terms(session, [person.id for person in persons if person.has_tier_terms])
    for person in persons:
        person.terms = held.get(person.id, person.terms)
    facts = await facts_of(session, persons, rules.ladder, rules.now)
    found = (
        tiers_if(person, rules.ladder, facts[person.id], changes[person.id], rules.now) for person in persons
    )
    return Counter(each for each in found if each is not None)
