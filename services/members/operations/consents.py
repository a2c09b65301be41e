"""What members agree to."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from services.members.domain import ConsentState, Statement, heard
from services.members.operations.changes import Changes
from services.members.repository import people
from services.members.settings import settings
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
    changes = await Changes.begin(session, settings().program_currency)
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
    states = await people.consent_states(changes.session, {item.member_id for item in statements})
    holding: dict[tuple[UUID, str, str], Statement] = {}
    news: list[Statement] = []
    recorded: dict[int, ConsentRecorded] = {}
    in_time = sorted(range(len(statements)), key=lambda index: (statements[index].stated_at, index))
    for index in in_time:
        statement = statements[index]
        before = states.get(statement.subject)
        if before == ConsentState(statement.granted, statement.stated_at):
            # Every order of a customer repeats what was said once; the log has it already.
            recorded[index] = ConsentRecorded(statement, statement.granted, False)
            continue
        news.append(statement)
        holds, differs = heard(before, statement)
        if holds:
            states[statement.subject] = ConsentState(statement.granted, statement.stated_at)
            holding[statement.subject] = statement
        if differs:
            changes.members[statement.member_id].has_new_profile = True
        if holds and differs:
            changes.events.append(_changed(statement))
        recorded[index] = ConsentRecorded(statement, states[statement.subject].granted, holds and differs)
    await people.log_consents(changes.session, news)
    await people.save_consents(changes.session, list(holding.values()))
    return [recorded[index] for index in range(len(statements))]


def _changed(statement: Statement) -> MemberConsentChanged:
    return MemberConsentChanged(
        member_id=statement.member_id,
        channel=statement.channel,
        purpose=statement.purpose,
        granted=statement.granted,
        wording_hash=statement.wording_hash,
        source=statement.source,
        changed_at=statement.stated_at,
    )
