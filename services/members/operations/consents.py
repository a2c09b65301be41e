"""What members agree to."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from services.members.domain import ConsentState, Member, Statement, consents_of, heard
from services.members.operations.changes import Changes
from services.members.repository import consents as repository
from services.members.repository.consents import Key
from shared.clock import utc_now
from shared.events import MemberConsentChanged
from shared.problems import Refusal

__all__ = ["ConsentRecorded", "hear_statements", "record_consents"]


@dataclass(frozen=True, slots=True)
class ConsentRecorded:
    """What holds after a statement; `changed` is false if nothing does that did not before."""

    statement: Statement
    granted: bool
    changed: bool


async def record_consents(
    session: AsyncSession, statements: Sequence[Statement]
) -> list[ConsentRecorded | Refusal]:
    """Record what members said. One result per statement, in their order."""
    changes = await Changes.begin(session)
    await changes.lock({statement.member_id for statement in statements})
    refusals = [changes.refusal_of(statement.member_id) for statement in statements]
    known = [said for said, refusal in zip(statements, refusals, strict=True) if refusal is None]
    recorded = iter(await hear_statements(changes, known))
    await changes.save()
    return [next(recorded) if refusal is None else refusal for refusal in refusals]


async def hear_statements(changes: Changes, statements: Sequence[Statement]) -> list[ConsentRecorded]:
    """Log statements about locked members, keep those that hold, and say what changed.

    Several statements of one batch about the same thing are heard in the order of their time, so that the
    batch says what the same statements one by one would say.
    """
    if not statements:
        return []
    persons = {changes.person(item.member_id).id: changes.person(item.member_id) for item in statements}
    states = await repository.consent_states(
        changes.session, [member_id for person in persons.values() for member_id in person.person_ids]
    )
    several = {person_id: person for person_id, person in persons.items() if person.merged}
    before = {person_id: consents_of(person, states) for person_id, person in several.items()}
    hearing = _Hearing(changes, states)
    recorded: dict[int, ConsentRecorded] = {}
    for index in sorted(range(len(statements)), key=lambda index: (statements[index].stated_at, index)):
        recorded[index] = hearing.hear(statements[index])
    await repository.log_consents(changes.session, hearing.news)
    await repository.save_consents(changes.session, list(hearing.holding.values()), hearing.effective_at)
    after = {person_id: consents_of(person, states) for person_id, person in several.items()}
    for person_id, held in after.items():
        changes.events += [
            MemberConsentChanged(
                member_id=person_id,
                channel=channel,
                purpose=purpose,
                granted=state.granted,
                source=hearing.source_of(several[person_id], channel, purpose),
                changed_at=state.since,
            )
            for (channel, purpose), state in held.items()
            if (known := before[person_id].get((channel, purpose))) is None or known.granted != state.granted
        ]
    return [recorded[index] for index in range(len(statements))]


class _Hearing:
    """Statements of a batch being heard, one after the other."""

    def __init__(self, changes: Changes, states: dict[Key, ConsentState]) -> None:
        self.changes = changes
        self.states = states
        self.now = utc_now()
        self.news: list[Statement] = []
        self.holding: dict[Key, Statement] = {}
        self.effective_at: dict[Key, datetime] = {}

    def hear(self, statement: Statement) -> ConsentRecorded:
        """Hear one statement; a no that a person of several ids says is heard under all of them.

        Nobody can tell which of the two people said it, should they turn out to be two after all.
        """
        person = self.changes.person(statement.member_id)
        recorded = self._hear(statement, is_alone=not person.merged)
        if not statement.granted and person.merged_at is not None and statement.stated_at > person.merged_at:
            for member_id in person.person_ids:
                if member_id != statement.member_id:
                    self._hear(statement._replace(member_id=member_id), is_alone=False)
        return recorded

    def _hear(self, statement: Statement, *, is_alone: bool) -> ConsentRecorded:
        key = statement.subject
        before = self.states.get(key)
        if before is not None and (before.granted, before.stated_at) == (
            statement.granted,
            statement.stated_at,
        ):
            # Every order of a customer repeats what was said once; the log has it already.
            return ConsentRecorded(statement, statement.granted, False)
        self.news.append(statement)
        holds, differs = heard(before, statement)
        if holds:
            effective_at = self._effective_at(statement, before)
            self.states[key] = ConsentState(statement.granted, statement.stated_at, effective_at)
            self.holding[key] = statement
            if effective_at is not None:
                self.effective_at[key] = effective_at
        if differs:
            self.changes.members[statement.member_id].has_new_profile = True
        if holds and differs and is_alone:
            self.changes.events.append(self._changed(statement))
        return ConsentRecorded(statement, self.states[key].granted, holds and differs)

    def _effective_at(self, statement: Statement, before: ConsentState | None) -> datetime | None:
        """A word from before a merge or an unmerge that comes late holds from now on, not from then."""
        merged_at = self.changes.person(statement.member_id).merged_at
        known = before.effective_at if before is not None else None
        is_late = any(at is not None and statement.stated_at <= at for at in (merged_at, known))
        return self.now if is_late else None

    def _changed(self, statement: Statement) -> MemberConsentChanged:
        return MemberConsentChanged(
            member_id=statement.member_id,
            channel=statement.channel,
            purpose=statement.purpose,
            granted=statement.granted,
            wording_hash=statement.wording_hash,
            source=statement.source,
            changed_at=self.states[statement.subject].since,
        )

    def source_of(self, person: Member, channel: str, purpose: str) -> str:
        """Where the last word on a subject was said that changed what holds for a person."""
        said = [self.holding.get((member_id, channel, purpose)) for member_id in person.person_ids]
        return max((item for item in said if item is not None), key=lambda item: item.stated_at).source
