"""What statements about messages share, and the one that changes their state.

Every change of state names the state and epoch it starts from."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from services.messaging.domain import ContactFacts
from services.messaging.repository.contacts import ADDRESS_HASH
from shared.aliases import PERSON

__all__ = [
    "CONTACT_COLUMNS",
    "CONTACT_JOINS",
    "STANDING_COLUMNS",
    "Move",
    "Standing",
    "contact_facts",
    "facts_of",
    "move",
    "standing_of",
]


@dataclass(frozen=True, slots=True)
class Standing:
    """A message of the ledger and what its events need to say."""

    id: UUID
    member_id: UUID
    channel: str
    purpose: str
    template: str
    template_version: int
    trigger: str
    epoch: int
    attempts: int
    reason: str


@dataclass(frozen=True, slots=True)
class Move:
    """A change of state: `wait_seconds` is until the next attempt if it goes back to the queue."""

    id: UUID
    epoch: int
    state: str
    reason: str
    stage: str
    wait_seconds: float = 0.0
    counted: bool = True


STANDING_COLUMNS = (
    "m.id, m.member_id, m.channel, m.purpose, m.template, m.template_version, m.trigger, m.epoch, m.attempts,"
    " m.reason"
)

# What the gate asks about a member, a channel and a purpose, for any relation `w` with those columns. The
# answer is the person's: an alias has the addresses and consents of whom it was merged into.
CONTACT_COLUMNS = """
    c.member_id IS NOT NULL AS known, c.erased_at IS NOT NULL AS erased, p.address, s.reason AS suppression,
    k.granted AS consent
"""

CONTACT_JOINS = f"""
    CROSS JOIN LATERAL {PERSON.format(start="w.member_id")} AS person
    LEFT JOIN contacts c ON c.member_id = person.person_id
    LEFT JOIN LATERAL (
        SELECT address FROM contact_points p
        WHERE p.member_id = person.person_id AND p.channel = w.channel
        ORDER BY p.verified DESC, p.position LIMIT 1) p ON true
    LEFT JOIN suppressions s ON s.channel = w.channel
        AND s.address_hash = {ADDRESS_HASH.format(address="p.address")}
        AND (s.expires_at IS NULL OR s.expires_at > clock_timestamp())
    LEFT JOIN consents k ON k.member_id = person.person_id AND k.channel = w.channel AND k.purpose = w.purpose
"""  # noqa: S608 - constants only

FACTS_OF = text(
    f"""
    SELECT w.position, {CONTACT_COLUMNS}
    FROM unnest(CAST(:members AS uuid[]), CAST(:channels AS text[]), CAST(:purposes AS text[]))
         WITH ORDINALITY AS w(member_id, channel, purpose, position)
    {CONTACT_JOINS}
    ORDER BY w.position
    """  # noqa: S608 - constants only
)

# The one place where a message that is not new changes its state for a reason worth keeping.
MOVE = text(
    f"""
    UPDATE messages m
    SET state = s.state, reason = s.reason,
        epoch = m.epoch + CASE WHEN s.state = 'queued' AND m.state <> 'held' THEN 1 ELSE 0 END,
        attempts = m.attempts - CASE WHEN s.counted THEN 0 ELSE 1 END,
        due_at = CASE WHEN s.state = 'queued'
                      THEN clock_timestamp() + make_interval(secs => s.wait_seconds) ELSE m.due_at END,
        lease_until = NULL,
        settled_at = CASE WHEN s.state IN ('queued', 'held') THEN NULL ELSE clock_timestamp() END,
        verdicts = CASE WHEN s.stage = '' OR jsonb_array_length(m.verdicts) >= :verdicts_max THEN m.verdicts
            ELSE m.verdicts || jsonb_build_object(
                'at', clock_timestamp(), 'stage', s.stage, 'state', s.state, 'reason', s.reason) END
    FROM unnest(CAST(:ids AS uuid[]), CAST(:epochs AS bigint[]), CAST(:states AS text[]),
                CAST(:reasons AS text[]), CAST(:stages AS text[]), CAST(:waits AS double precision[]),
                CAST(:counted AS boolean[]))
         AS s(id, epoch, state, reason, stage, wait_seconds, counted)
    WHERE m.id = s.id AND m.epoch = s.epoch AND m.state = ANY(CAST(:from_states AS text[]))
    RETURNING {STANDING_COLUMNS}
    """  # noqa: S608 - constants only
)

# A verdict per failed attempt is enough to tell the story; a message that fails for days tells no new one.
VERDICTS_MAX = 20


def standing_of(row: Any) -> Standing:
    """The message of a row with STANDING_COLUMNS."""
    return Standing(
        row.id,
        row.member_id,
        row.channel,
        row.purpose,
        row.template,
        row.template_version,
        row.trigger,
        row.epoch,
        row.attempts,
        row.reason,
    )


def contact_facts(row: Any, *, needs_address: bool) -> ContactFacts:
    """The gate's view of a row with CONTACT_COLUMNS."""
    return ContactFacts(row.known, row.erased, needs_address, row.address, row.suppression, row.consent)


async def facts_of(
    session: AsyncSession,
    wanted: Sequence[tuple[UUID, str, str]],
    *,
    needs_address: Sequence[bool],
) -> list[ContactFacts]:
    """What the gate needs to know about each (member, channel, purpose), in order."""
    rows = await session.execute(
        FACTS_OF,
        {
            "members": [member for member, _, _ in wanted],
            "channels": [channel for _, channel, _ in wanted],
            "purposes": [purpose for _, _, purpose in wanted],
        },
    )
    return [contact_facts(row, needs_address=needs) for row, needs in zip(rows, needs_address, strict=True)]


async def move(session: AsyncSession, moves: Sequence[Move], from_states: Sequence[str]) -> list[Standing]:
    """Change states where the message still stands in one of `from_states` and in its epoch.

    Returns the messages that moved, as they stand now.
    """
    if not moves:
        return []
    ordered = sorted(moves, key=lambda each: each.id)
    rows = await session.execute(
        MOVE,
        {
            "ids": [each.id for each in ordered],
            "epochs": [each.epoch for each in ordered],
            "states": [each.state for each in ordered],
            "reasons": [each.reason for each in ordered],
            "stages": [each.stage for each in ordered],
            "waits": [each.wait_seconds for each in ordered],
            "counted": [each.counted for each in ordered],
            "from_states": list(from_states),
            "verdicts_max": VERDICTS_MAX,
        },
    )
    return [standing_of(row) for row in rows]
