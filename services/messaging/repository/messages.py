"""Statements about the message ledger. Every change of state names the state and epoch it starts from."""

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
    "STANDING_COLUMNS",
    "Claimed",
    "Move",
    "Planned",
    "Standing",
    "claim_due",
    "facts_of",
    "insert_planned",
    "known_ids",
    "mark_submitted",
    "move",
    "renew_leases",
    "standing_of",
    "take_doubles",
    "take_held",
    "take_held_of",
]


@dataclass(frozen=True, slots=True)
class Planned:
    """A new row of the ledger with the gate's verdict."""

    id: UUID
    trigger: str
    member_id: UUID
    occurrence: str
    channel: str
    purpose: str
    priority: int
    template: str
    template_version: int
    webhook_id: UUID | None
    event_type: str
    facts: str
    state: str
    reason: str
    wait_seconds: float


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
class Claimed:
    """A message to be sent now, with what it takes to judge and to render it."""

    standing: Standing
    webhook_id: UUID | None
    event_type: str
    facts: dict[str, Any]
    contact: ContactFacts
    member: dict[str, Any]


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

KNOWN_IDS = text("SELECT id FROM messages WHERE id = ANY(CAST(:ids AS uuid[]))")

INSERT_PLANNED = text(
    """
    INSERT INTO messages (id, trigger, member_id, occurrence, channel, purpose, priority, template,
                          template_version, webhook_id, event_type, facts, state, reason, verdicts,
                          planned_at, due_at, settled_at)
    SELECT p.id, p.trigger, p.member_id, p.occurrence, p.channel, p.purpose, p.priority, p.template,
           p.template_version, p.webhook_id, p.event_type, CAST(p.facts AS jsonb), p.state, p.reason,
           jsonb_build_array(jsonb_build_object(
               'at', t.now, 'stage', 'planning', 'state', p.state, 'reason', p.reason)),
           t.now, t.now + make_interval(secs => p.wait_seconds),
           CASE WHEN p.state = 'dropped' THEN t.now END
    FROM (SELECT clock_timestamp() AS now) AS t,
         unnest(CAST(:ids AS uuid[]), CAST(:triggers AS text[]), CAST(:members AS uuid[]),
                CAST(:occurrences AS text[]), CAST(:channels AS text[]), CAST(:purposes AS text[]),
                CAST(:priorities AS smallint[]), CAST(:templates AS text[]), CAST(:versions AS integer[]),
                CAST(:webhooks AS uuid[]), CAST(:event_types AS text[]), CAST(:facts AS text[]),
                CAST(:states AS text[]), CAST(:reasons AS text[]), CAST(:waits AS double precision[]))
         AS p(id, trigger, member_id, occurrence, channel, purpose, priority, template, template_version,
              webhook_id, event_type, facts, state, reason, wait_seconds)
    ORDER BY p.id
    ON CONFLICT (id) DO NOTHING
    RETURNING id
    """
)

TAKE_HELD = text(
    f"""
    WITH taken AS (
        SELECT id FROM messages m
        WHERE m.state = 'held' AND (m.due_at <= clock_timestamp()
              OR EXISTS (SELECT FROM contacts c WHERE c.member_id = m.member_id))
        ORDER BY m.id LIMIT :limit FOR UPDATE SKIP LOCKED)
    SELECT {STANDING_COLUMNS}, m.due_at <= clock_timestamp() AS overdue, {CONTACT_COLUMNS}
    FROM taken JOIN messages m ON m.id = taken.id
    JOIN LATERAL (SELECT m.member_id, m.channel, m.purpose) AS w ON true
    {CONTACT_JOINS}
    ORDER BY m.id
    """  # noqa: S608 - constants only
)
TAKE_HELD_OF = text(
    f"""
    WITH taken AS (
        SELECT id FROM messages m
        WHERE m.state = 'held' AND m.member_id = ANY(CAST(:members AS uuid[]))
        ORDER BY m.id FOR UPDATE)
    SELECT {STANDING_COLUMNS}, false AS overdue, {CONTACT_COLUMNS}
    FROM taken JOIN messages m ON m.id = taken.id
    JOIN LATERAL (SELECT m.member_id, m.channel, m.purpose) AS w ON true
    {CONTACT_JOINS}
    ORDER BY m.id
    """  # noqa: S608 - constants only
)

# Of what several ids of one person would get for one occasion, what is on its way or was sent stays, else the
# one that was planned first; the rest of what is not begun is too much.
TAKE_DOUBLES = text(
    f"""
    SELECT {STANDING_COLUMNS} FROM messages m
    WHERE m.member_id = ANY(CAST(:members AS uuid[])) AND m.state IN ('queued', 'held') AND EXISTS (
        SELECT FROM messages o
        CROSS JOIN LATERAL {PERSON.format(start="o.member_id")} AS theirs
        CROSS JOIN LATERAL {PERSON.format(start="m.member_id")} AS ours
        WHERE o.member_id = ANY(CAST(:members AS uuid[])) AND o.member_id <> m.member_id
          AND (o.trigger, o.occurrence) = (m.trigger, m.occurrence) AND theirs.person_id = ours.person_id
          AND o.state NOT IN ('dropped', 'failed')
          AND (o.state NOT IN ('queued', 'held') OR (o.planned_at, o.id) < (m.planned_at, m.id)))
    ORDER BY m.id FOR UPDATE OF m
    """  # noqa: S608 - constants only
)

CLAIM_DUE = text(
    f"""
    WITH due AS (
        SELECT id FROM messages
        WHERE state = 'queued' AND channel = :channel AND due_at <= clock_timestamp()
        ORDER BY priority, due_at LIMIT :limit FOR UPDATE SKIP LOCKED),
    w AS (
        UPDATE messages m
        SET state = 'claimed', lease_until = clock_timestamp() + make_interval(secs => :lease_seconds)
        FROM due WHERE m.id = due.id
        RETURNING {STANDING_COLUMNS}, m.webhook_id, m.event_type, m.facts, m.priority, m.due_at)
    SELECT w.*, {CONTACT_COLUMNS}, c.display_name, c.locale, c.country, c.time_zone, c.tier, c.tags
    FROM w {CONTACT_JOINS}
    ORDER BY w.priority, w.due_at
    """  # noqa: S608 - constants only
)

RENEW_LEASES = text(
    """
    UPDATE messages m SET lease_until = clock_timestamp() + make_interval(secs => :lease_seconds)
    FROM (SELECT id FROM messages WHERE id = ANY(CAST(:ids AS uuid[])) ORDER BY id FOR UPDATE) AS mine
    WHERE m.id = mine.id AND m.state IN ('claimed', 'submitted') AND m.lease_until > clock_timestamp()
    """
)

MARK_SUBMITTED = text(
    """
    UPDATE messages m
    SET state = 'submitted', attempts = m.attempts + 1, submitted_at = clock_timestamp(),
        lease_until = clock_timestamp() + make_interval(secs => :lease_seconds)
    FROM unnest(CAST(:ids AS uuid[]), CAST(:epochs AS bigint[])) AS s(id, epoch)
    WHERE m.id = s.id AND m.epoch = s.epoch AND m.state = 'claimed' AND m.lease_until > clock_timestamp()
    RETURNING m.id
    """
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


async def known_ids(session: AsyncSession, ids: Sequence[UUID]) -> set[UUID]:
    """Which messages are in the ledger already."""
    return set((await session.scalars(KNOWN_IDS, {"ids": list(ids)})).all())


async def insert_planned(session: AsyncSession, planned: Sequence[Planned]) -> set[UUID]:
    """Write new messages; return the ids of those that were not in the ledger."""
    rows = await session.scalars(
        INSERT_PLANNED,
        {
            "ids": [p.id for p in planned],
            "triggers": [p.trigger for p in planned],
            "members": [p.member_id for p in planned],
            "occurrences": [p.occurrence for p in planned],
            "channels": [p.channel for p in planned],
            "purposes": [p.purpose for p in planned],
            "priorities": [p.priority for p in planned],
            "templates": [p.template for p in planned],
            "versions": [p.template_version for p in planned],
            "webhooks": [p.webhook_id for p in planned],
            "event_types": [p.event_type for p in planned],
            "facts": [p.facts for p in planned],
            "states": [p.state for p in planned],
            "reasons": [p.reason for p in planned],
            "waits": [p.wait_seconds for p in planned],
        },
    )
    return set(rows.all())


async def take_held(session: AsyncSession, *, limit: int) -> list[tuple[Standing, ContactFacts, bool]]:
    """Lock held messages whose profile has come or whose time is up: (message, contact, overdue)."""
    rows = await session.execute(TAKE_HELD, {"limit": limit})
    return [(standing_of(row), contact_facts(row, needs_address=True), row.overdue) for row in rows]


async def take_held_of(
    session: AsyncSession, members: set[UUID]
) -> list[tuple[Standing, ContactFacts, bool]]:
    """Lock the held messages of some members."""
    rows = await session.execute(TAKE_HELD_OF, {"members": list(members)})
    return [(standing_of(row), contact_facts(row, needs_address=True), row.overdue) for row in rows]


async def take_doubles(session: AsyncSession, members: set[UUID]) -> list[Standing]:
    """Lock what some members would get although the same person gets it under another of its ids."""
    if not members:
        return []
    return [standing_of(row) for row in await session.execute(TAKE_DOUBLES, {"members": list(members)})]


async def claim_due(
    session: AsyncSession, *, channel: str, needs_address: bool, limit: int, lease_seconds: float
) -> list[Claimed]:
    """Claim messages that are due on a channel, service before marketing, with what sending them takes."""
    rows = await session.execute(
        CLAIM_DUE, {"channel": channel, "limit": limit, "lease_seconds": lease_seconds}
    )
    return [
        Claimed(
            standing_of(row),
            row.webhook_id,
            row.event_type,
            row.facts,
            contact_facts(row, needs_address=needs_address),
            {
                "id": str(row.member_id),
                "display_name": row.display_name,
                "locale": row.locale,
                "country": row.country,
                "time_zone": row.time_zone,
                "tier": row.tier,
                "tags": row.tags,
            },
        )
        for row in rows
    ]


async def renew_leases(session: AsyncSession, ids: Sequence[UUID], *, lease_seconds: float) -> None:
    """Hold on to messages that are being worked on, as far as they are still held."""
    await session.execute(RENEW_LEASES, {"ids": list(ids), "lease_seconds": lease_seconds})


async def mark_submitted(
    session: AsyncSession, messages: Sequence[Standing], *, lease_seconds: float
) -> set[UUID]:
    """Write down that the messages are about to go out; only those returned may."""
    ordered = sorted(messages, key=lambda message: message.id)
    rows = await session.scalars(
        MARK_SUBMITTED,
        {
            "ids": [message.id for message in ordered],
            "epochs": [message.epoch for message in ordered],
            "lease_seconds": lease_seconds,
        },
    )
    return set(rows.all())


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
