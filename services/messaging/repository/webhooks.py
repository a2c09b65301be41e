"""Statements about webhooks and what was delivered to them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from services.messaging.channels.base import Endpoint

__all__ = [
    "ClaimedDelivery",
    "DeliveryMove",
    "WebhookRow",
    "add_deliveries",
    "add_webhook",
    "claim_deliveries",
    "count_open_deliveries",
    "count_webhooks",
    "delete_webhook",
    "disable_webhooks",
    "enable_webhook",
    "fail_deliveries_of_disabled",
    "find_webhooks",
    "give_up_delivery_claims",
    "list_deliveries",
    "list_webhooks",
    "move_deliveries",
    "record_webhook_results",
    "webhooks_hearing",
]


@dataclass(frozen=True, slots=True)
class WebhookRow:
    """A webhook as stored."""

    id: UUID
    url: str
    secret: str
    event_types: list[str]
    created_at: datetime
    disabled_at: datetime | None
    disabled_reason: str | None
    consecutive_failures: int


@dataclass(frozen=True, slots=True)
class ClaimedDelivery:
    """A delivery to be made now."""

    id: UUID
    webhook_id: UUID
    payload: str
    epoch: int
    attempts: int
    url: str
    secret: str = field(repr=False)

    @property
    def endpoint(self) -> Endpoint:
        """Where it goes."""
        return Endpoint(self.url, self.secret)


@dataclass(frozen=True, slots=True)
class DeliveryMove:
    """What became of an attempt."""

    id: UUID
    epoch: int
    state: str
    reason: str
    wait_seconds: float = 0.0


WEBHOOK_COLUMNS = (
    "id, url, secret, event_types, created_at, disabled_at, disabled_reason, consecutive_failures"
)
# All webhooks are made under one lock, so that their limit holds.
LOCK_WEBHOOKS = text("SELECT pg_advisory_xact_lock(hashtextextended('messaging-webhooks', 0))")
ADD_WEBHOOK = text(
    f"""
    INSERT INTO webhooks (id, url, secret, event_types) VALUES (:id, :url, :secret, CAST(:types AS text[]))
    RETURNING {WEBHOOK_COLUMNS}
    """  # noqa: S608 - column names only
)
LIST_WEBHOOKS = text(f"SELECT {WEBHOOK_COLUMNS} FROM webhooks ORDER BY created_at, id")  # noqa: S608
FIND_WEBHOOKS = text(
    f"SELECT {WEBHOOK_COLUMNS} FROM webhooks WHERE id = ANY(CAST(:ids AS uuid[]))"  # noqa: S608 - columns only
)
WEBHOOKS_HEARING = text(
    f"""
    SELECT {WEBHOOK_COLUMNS} FROM webhooks
    WHERE disabled_at IS NULL AND event_types && CAST(:types AS text[])
    ORDER BY created_at, id
    """  # noqa: S608 - column names only
)
ENABLE_WEBHOOK = text(
    f"""
    UPDATE webhooks SET disabled_at = NULL, disabled_reason = NULL, consecutive_failures = 0
    WHERE id = :id RETURNING {WEBHOOK_COLUMNS}
    """  # noqa: S608 - column names only
)
DELETE_WEBHOOK = text(
    """
    DELETE FROM webhooks WHERE id = :id AND NOT EXISTS (SELECT FROM triggers WHERE webhook_id = :id)
    """
)
ADD_DELIVERIES = text(
    """
    INSERT INTO webhook_deliveries (id, webhook_id, event_id, event_type, payload, state)
    SELECT d.id, d.webhook_id, d.event_id, d.event_type, d.payload, 'queued'
    FROM unnest(CAST(:ids AS uuid[]), CAST(:webhooks AS uuid[]), CAST(:events AS uuid[]),
                CAST(:types AS text[]), CAST(:payloads AS text[]))
         AS d(id, webhook_id, event_id, event_type, payload)
    ORDER BY d.id
    ON CONFLICT (id) DO NOTHING
    """
)
CLAIM_DELIVERIES = text(
    """
    WITH due AS (
        SELECT d.id FROM webhook_deliveries d
        WHERE d.state = 'queued' AND d.due_at <= clock_timestamp()
        ORDER BY d.due_at LIMIT :limit FOR UPDATE OF d SKIP LOCKED),
    claimed AS (
        UPDATE webhook_deliveries d
        SET state = 'claimed', attempts = d.attempts + 1,
            lease_until = clock_timestamp() + make_interval(secs => :lease_seconds)
        FROM due WHERE d.id = due.id
        RETURNING d.id, d.webhook_id, d.payload, d.epoch, d.attempts)
    SELECT c.id, c.webhook_id, c.payload, c.epoch, c.attempts, w.url, w.secret
    FROM claimed c JOIN webhooks w ON w.id = c.webhook_id
    """
)
MOVE_DELIVERIES = text(
    """
    UPDATE webhook_deliveries d
    SET state = s.state, reason = s.reason, lease_until = NULL,
        epoch = d.epoch + CASE WHEN s.state = 'queued' THEN 1 ELSE 0 END,
        due_at = CASE WHEN s.state = 'queued'
                      THEN clock_timestamp() + make_interval(secs => s.wait_seconds) ELSE d.due_at END,
        settled_at = CASE WHEN s.state = 'queued' THEN NULL ELSE clock_timestamp() END
    FROM unnest(CAST(:ids AS uuid[]), CAST(:epochs AS bigint[]), CAST(:states AS text[]),
                CAST(:reasons AS text[]), CAST(:waits AS double precision[]))
         AS s(id, epoch, state, reason, wait_seconds)
    WHERE d.id = s.id AND d.epoch = s.epoch AND d.state = 'claimed'
    """
)
GIVE_UP_CLAIMS = text(
    """
    UPDATE webhook_deliveries d SET state = 'queued', epoch = d.epoch + 1, lease_until = NULL
    FROM (SELECT id FROM webhook_deliveries
          WHERE state = 'claimed' AND lease_until <= clock_timestamp()
          ORDER BY id LIMIT :limit FOR UPDATE SKIP LOCKED) AS lost
    WHERE d.id = lost.id
    """
)
RECORD_RESULTS = text(
    """
    UPDATE webhooks w
    SET consecutive_failures = CASE WHEN r.succeeded THEN 0 ELSE w.consecutive_failures + r.failures END
    FROM unnest(CAST(:ids AS uuid[]), CAST(:succeeded AS boolean[]), CAST(:failures AS integer[]))
         AS r(id, succeeded, failures)
    WHERE w.id = r.id AND (NOT r.succeeded OR w.consecutive_failures > 0)
    """
)
DISABLE = text(
    """
    UPDATE webhooks SET disabled_at = clock_timestamp(),
        disabled_reason = CASE WHEN id = ANY(CAST(:gone AS uuid[])) THEN 'gone' ELSE 'failing' END
    WHERE disabled_at IS NULL
      AND (id = ANY(CAST(:gone AS uuid[])) OR consecutive_failures >= :most)
    RETURNING id
    """
)
FAIL_OF_DISABLED = text(
    """
    UPDATE webhook_deliveries d
    SET state = 'failed', reason = 'webhook_disabled', settled_at = clock_timestamp()
    FROM (SELECT d.id FROM webhook_deliveries d JOIN webhooks w ON w.id = d.webhook_id
          WHERE d.state = 'queued' AND w.disabled_at IS NOT NULL
          ORDER BY d.id LIMIT :limit FOR UPDATE OF d SKIP LOCKED) AS lost
    WHERE d.id = lost.id
    """
)
LIST_DELIVERIES = text(
    """
    SELECT id, event_id, event_type, state, reason, attempts, due_at, created_at, settled_at
    FROM webhook_deliveries
    WHERE webhook_id = :webhook_id AND (CAST(:before_at AS timestamptz) IS NULL
          OR (created_at, id) < (:before_at, CAST(:before_id AS uuid)))
    ORDER BY created_at DESC, id DESC LIMIT :limit
    """
)


def _webhook(row: Any) -> WebhookRow:
    return WebhookRow(**row._mapping)


async def count_webhooks(session: AsyncSession) -> int:
    """Webhooks there are; until the transaction ends nobody else adds one."""
    await session.execute(LOCK_WEBHOOKS)
    return int(await session.scalar(text("SELECT count(*) FROM webhooks")) or 0)


async def add_webhook(
    session: AsyncSession, webhook_id: UUID, url: str, secret: str, event_types: Sequence[str]
) -> WebhookRow:
    """Store a new webhook."""
    values = {"id": webhook_id, "url": url, "secret": secret, "types": list(event_types)}
    return _webhook((await session.execute(ADD_WEBHOOK, values)).one())


async def list_webhooks(session: AsyncSession) -> list[WebhookRow]:
    """All webhooks, the oldest first."""
    return [_webhook(row) for row in await session.execute(LIST_WEBHOOKS)]


async def find_webhooks(session: AsyncSession, ids: Sequence[UUID]) -> dict[UUID, WebhookRow]:
    """Webhooks by id, disabled ones too."""
    rows = await session.execute(FIND_WEBHOOKS, {"ids": list(ids)})
    return {row.id: _webhook(row) for row in rows}


async def webhooks_hearing(session: AsyncSession, event_types: set[str]) -> list[WebhookRow]:
    """Enabled webhooks that hear any of the event types."""
    rows = await session.execute(WEBHOOKS_HEARING, {"types": list(event_types)})
    return [_webhook(row) for row in rows]


async def enable_webhook(session: AsyncSession, webhook_id: UUID) -> WebhookRow | None:
    """Switch a webhook on again with a clean record."""
    row = (await session.execute(ENABLE_WEBHOOK, {"id": webhook_id})).one_or_none()
    return None if row is None else _webhook(row)


async def delete_webhook(session: AsyncSession, webhook_id: UUID) -> bool:
    """Delete a webhook with its deliveries, unless a trigger names it; say whether it went."""
    result = await session.execute(DELETE_WEBHOOK, {"id": webhook_id})
    return int(getattr(result, "rowcount", 0)) > 0


async def add_deliveries(session: AsyncSession, rows: Sequence[tuple[UUID, UUID, UUID, str, str]]) -> None:
    """Write (id, webhook, event, type, payload) where it is not written yet."""
    if not rows:
        return
    ids, webhooks, events, types, payloads = zip(*rows, strict=True)
    await session.execute(
        ADD_DELIVERIES,
        {
            "ids": list(ids),
            "webhooks": list(webhooks),
            "events": list(events),
            "types": list(types),
            "payloads": list(payloads),
        },
    )


async def claim_deliveries(
    session: AsyncSession, *, limit: int, lease_seconds: float
) -> list[ClaimedDelivery]:
    """Claim deliveries that are due."""
    rows = await session.execute(CLAIM_DELIVERIES, {"limit": limit, "lease_seconds": lease_seconds})
    return [ClaimedDelivery(**row._mapping) for row in rows]


async def move_deliveries(session: AsyncSession, moves: Sequence[DeliveryMove]) -> None:
    """Store what became of claimed deliveries, as far as the claim still holds."""
    ordered = sorted(moves, key=lambda each: each.id)
    await session.execute(
        MOVE_DELIVERIES,
        {
            "ids": [each.id for each in ordered],
            "epochs": [each.epoch for each in ordered],
            "states": [each.state for each in ordered],
            "reasons": [each.reason for each in ordered],
            "waits": [each.wait_seconds for each in ordered],
        },
    )


async def give_up_delivery_claims(session: AsyncSession, *, limit: int) -> int:
    """Put back deliveries whose dispatcher is gone; receivers tell a repeat by its `webhook-id`."""
    result = await session.execute(GIVE_UP_CLAIMS, {"limit": limit})
    return int(getattr(result, "rowcount", 0))


async def record_webhook_results(session: AsyncSession, results: Sequence[tuple[UUID, bool, int]]) -> None:
    """Add (webhook, any success, failures) to the webhooks' records."""
    ordered = sorted(results)
    await session.execute(
        RECORD_RESULTS,
        {
            "ids": [webhook_id for webhook_id, _, _ in ordered],
            "succeeded": [succeeded for _, succeeded, _ in ordered],
            "failures": [failures for _, _, failures in ordered],
        },
    )


async def disable_webhooks(session: AsyncSession, *, gone: set[UUID], most: int) -> list[UUID]:
    """Switch off webhooks that said they are gone or failed `most` times in a row."""
    rows = await session.scalars(DISABLE, {"gone": list(gone), "most": most})
    return list(rows.all())


async def fail_deliveries_of_disabled(session: AsyncSession, *, limit: int) -> int:
    """Give up what waits for webhooks that are switched off."""
    result = await session.execute(FAIL_OF_DISABLED, {"limit": limit})
    return int(getattr(result, "rowcount", 0))


async def list_deliveries(
    session: AsyncSession, webhook_id: UUID, *, before: tuple[datetime, UUID] | None, limit: int
) -> Sequence[Any]:
    """Deliveries of a webhook, the newest first."""
    result = await session.execute(
        LIST_DELIVERIES,
        {
            "webhook_id": webhook_id,
            "before_at": before[0] if before else None,
            "before_id": before[1] if before else None,
            "limit": limit,
        },
    )
    return result.all()


async def count_open_deliveries(session: AsyncSession) -> int:
    """Deliveries that are not made and not given up."""
    query = text("SELECT count(*) FROM webhook_deliveries WHERE state IN ('queued', 'claimed')")
    return int(await session.scalar(query) or 0)
