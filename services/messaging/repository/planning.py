"""Statements that write new messages, and that take up those which wait for a profile."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from services.messaging.domain import ContactFacts
from services.messaging.repository.messages import (
    CONTACT_COLUMNS,
    CONTACT_JOINS,
    STANDING_COLUMNS,
    Standing,
    contact_facts,
    standing_of,
)
from shared.aliases import PERSON

__all__ = ["Planned", "insert_planned", "known_ids", "take_doubles", "take_held", "take_held_of"]


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
