"""From events to messages: triggers that match, the gate's verdict, and rows that can exist only once."""

import functools
import json
from collections.abc import Iterable, Sequence
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from services.messaging.channels import NEEDS_ADDRESS, metrics
from services.messaging.domain import ContactFacts, State, Verdict, gate
from services.messaging.operations import facts
from services.messaging.operations.outcomes import announce
from services.messaging.repository import messages, planning, templates
from services.messaging.repository.messages import Move, Standing
from services.messaging.repository.planning import Planned
from services.messaging.repository.templates import TriggerRow
from services.messaging.settings import settings
from shared import aliases
from shared.conditions import Condition, evaluate, parse
from shared.events import Envelope, Event
from shared.ids import derived_id

__all__ = ["message_id_of", "plan", "replan"]

Wanted = dict[UUID, tuple[TriggerRow, UUID, Envelope[Event], str]]
"""What is to be planned, by the id of the message: trigger, member, event, occurrence."""

PRIORITIES = {"service": 0, "marketing": 1}


def message_id_of(trigger: str, member_id: UUID, occurrence: str) -> UUID:
    """The id of a message, which follows from its cause: the same cause can have one message only."""
    return derived_id("message", trigger, str(member_id), occurrence)


@functools.lru_cache(maxsize=1024)
def _condition(event_type: str, written: str) -> Condition:
    return parse(json.loads(written), facts.event_fields(event_type))


def _matches(trigger: TriggerRow, event: Envelope[Event]) -> bool:
    if trigger.event != event.type or (trigger.enabled_from and event.time < trigger.enabled_from):
        return False
    if trigger.condition is None:
        return True
    condition = _condition(trigger.event, json.dumps(trigger.condition, sort_keys=True))
    return evaluate(condition, facts.condition_facts(event.data), now=event.time)


async def plan(session: AsyncSession, events: Sequence[Envelope[Event]]) -> int:
    """Plan the messages that events trigger and judge each; return how many are new."""
    triggers = await templates.triggers_of(session, {event.type for event in events})
    wanted: Wanted = {}
    for event in events:
        for trigger in triggers:
            if _matches(trigger, event):
                occurrence = facts.occurrence_of(event.data, event.id, trigger.occurrence)
                for member_id in facts.recipients(event.data):
                    identity = message_id_of(trigger.name, member_id, occurrence)
                    wanted.setdefault(identity, (trigger, member_id, event, occurrence))
    wanted = await _one_per_person(session, wanted)
    if not wanted:
        return 0
    judged = await messages.facts_of(
        session,
        [(member_id, trigger.channel, trigger.purpose) for trigger, member_id, _, _ in wanted.values()],
        needs_address=[NEEDS_ADDRESS[trigger.channel] for trigger, _, _, _ in wanted.values()],
    )
    planned = [
        _planned(identity, trigger, member_id, event, occurrence, contact)
        for (identity, (trigger, member_id, event, occurrence)), contact in zip(
            wanted.items(), judged, strict=True
        )
    ]
    new = await planning.insert_planned(session, planned)
    await _announce_planned(session, [row for row in planned if row.id in new])
    return len(new)


async def _one_per_person(session: AsyncSession, wanted: Wanted) -> Wanted:
    """Leave out what the same person gets, or got, for the same occasion under another id."""
    persons = await aliases.ids_of_persons(session, {member_id for _, member_id, _, _ in wanted.values()})
    if not persons:
        return wanted
    twins = {
        identity: [
            message_id_of(trigger.name, other, occurrence)
            for other in persons.get(member_id, ())
            if other != member_id
        ]
        for identity, (trigger, member_id, _, occurrence) in wanted.items()
    }
    taken = await planning.known_ids(session, [twin for each in twins.values() for twin in each])
    kept: Wanted = {}
    for identity, planned in wanted.items():
        if not any(twin in taken or twin in kept for twin in twins[identity]):
            kept[identity] = planned
    return kept


def _planned(
    identity: UUID,
    trigger: TriggerRow,
    member_id: UUID,
    event: Envelope[Event],
    occurrence: str,
    contact: ContactFacts,
) -> Planned:
    verdict = gate(trigger.purpose, contact)
    held = verdict.state is State.HELD
    return Planned(
        id=identity,
        trigger=trigger.name,
        member_id=member_id,
        # Of an erased member the ledger keeps no more than it would have kept at the erasure.
        occurrence="" if contact.erased else occurrence,
        channel=trigger.channel,
        purpose=trigger.purpose,
        priority=PRIORITIES[trigger.purpose],
        template=trigger.template,
        template_version=trigger.version,
        webhook_id=trigger.webhook_id,
        event_type=event.type,
        facts="{}" if contact.erased else facts.facts_json(event.data),
        state=verdict.state.value,
        reason=verdict.reason,
        wait_seconds=settings().profile_wait_seconds if held else 0.0,
    )


async def _announce_planned(session: AsyncSession, planned: Iterable[Planned]) -> None:
    dropped = []
    for row in planned:
        metrics.PLANNED.labels(row.channel, row.state).inc()
        if row.state == State.DROPPED:
            dropped.append(
                (
                    Standing(
                        row.id,
                        row.member_id,
                        row.channel,
                        row.purpose,
                        row.template,
                        row.template_version,
                        row.trigger,
                        0,
                        0,
                        row.reason,
                    ),
                    State.DROPPED,
                )
            )
    await announce(session, dropped)


async def replan(session: AsyncSession, *, members: set[UUID] | None = None, limit: int = 1000) -> int:
    """Judge held messages again: those of `members`, or any whose profile is here or whose time is up.

    Returns how many moved on. A message whose profile did not come in time is dropped.
    """
    if members is None:
        taken = await planning.take_held(session, limit=limit)
    elif members:
        taken = await planning.take_held_of(session, members)
    else:
        return 0
    moves = []
    for message, contact, overdue in taken:
        verdict = _judge_again(message, contact, overdue)
        if verdict.state is not State.HELD:
            moves.append(Move(message.id, message.epoch, verdict.state.value, verdict.reason, "planning"))
    moved = await messages.move(session, moves, [State.HELD])
    states = {move.id: State(move.state) for move in moves}
    await announce(session, [(message, states[message.id]) for message in moved])
    return len(moved)


def _judge_again(message: Standing, contact: ContactFacts, overdue: bool) -> Verdict:
    needs_address = NEEDS_ADDRESS[message.channel]
    known = ContactFacts(
        contact.known,
        contact.erased,
        needs_address,
        contact.address,
        contact.suppression,
        contact.consent,
    )
    verdict = gate(message.purpose, known)
    if verdict.state is State.HELD and overdue:
        return Verdict(State.DROPPED, "profile_never_came")
    return verdict
