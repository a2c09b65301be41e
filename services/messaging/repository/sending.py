"""Statements that claim messages which are due, hold on to them, and mark those about to go out."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
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

__all__ = ["Claimed", "claim_due", "mark_submitted", "renew_leases"]


@dataclass(frozen=True, slots=True)
class Claimed:
    """A message to be sent now, with what it takes to judge and to render it."""

    standing: Standing
    webhook_id: UUID | None
    event_type: str
    facts: dict[str, Any]
    contact: ContactFacts
    member: dict[str, Any]


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
