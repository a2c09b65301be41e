"""Events told to the shop's own systems: subscriptions, and one delivery per event and subscription."""

import random
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from services.messaging.channels import AddressRefused, check_url, metrics, new_secret, valid_secret
from services.messaging.domain import Limits, Outcome, OutcomeKind, backoff_seconds
from services.messaging.errors import (
    InvalidWebhookSecret,
    TooManyWebhooks,
    UnknownEventForWebhook,
    WebhookInUse,
    WebhookNotAllowed,
    WebhookNotFound,
)
from services.messaging.operations.facts import HEARD
from services.messaging.repository import webhooks
from services.messaging.repository.webhooks import ClaimedDelivery, DeliveryMove, WebhookRow
from services.messaging.settings import settings
from shared.events import Envelope, Event
from shared.ids import derived_id, new_id

__all__ = [
    "claim_deliveries",
    "fan_out",
    "list_deliveries",
    "list_webhooks",
    "recover_deliveries",
    "register_webhook",
    "remove_webhook",
    "reopen_webhook",
    "settle_deliveries",
]


async def register_webhook(
    session: AsyncSession, url: str, secret: str | None, event_types: Sequence[str]
) -> WebhookRow:
    """Register an address that hears events from now on.

    Raises WebhookNotAllowed, InvalidWebhookSecret, UnknownEventForWebhook, TooManyWebhooks.
    """
    unknown = sorted(set(event_types) - HEARD.keys())
    if unknown:
        raise UnknownEventForWebhook(f"Known are: {', '.join(sorted(HEARD))}.", unknown=unknown)
    if secret is not None and not valid_secret(secret):
        raise InvalidWebhookSecret
    try:
        check_url(url, allow_private=settings().webhook_allow_private)
    except AddressRefused as refused:
        raise WebhookNotAllowed(f"The address is {refused}.") from refused
    if await webhooks.count_webhooks(session) >= settings().webhooks_max:
        raise TooManyWebhooks
    return await webhooks.add_webhook(
        session, new_id(), url, secret or new_secret(), sorted(set(event_types))
    )


async def list_webhooks(session: AsyncSession) -> list[WebhookRow]:
    """All webhooks, the oldest first."""
    return await webhooks.list_webhooks(session)


async def list_deliveries(
    session: AsyncSession, webhook_id: UUID, *, before: tuple[datetime, UUID] | None, limit: int
) -> Sequence[Any]:
    """Deliveries of a webhook, the newest first; raises WebhookNotFound."""
    if not await webhooks.find_webhooks(session, [webhook_id]):
        raise WebhookNotFound
    return await webhooks.list_deliveries(session, webhook_id, before=before, limit=limit)


async def reopen_webhook(session: AsyncSession, webhook_id: UUID) -> WebhookRow:
    """Switch a webhook on again; what it missed meanwhile is not told again."""
    row = await webhooks.enable_webhook(session, webhook_id)
    if row is None:
        raise WebhookNotFound
    return row


async def remove_webhook(session: AsyncSession, webhook_id: UUID) -> None:
    """Delete a webhook that no trigger names. Raises WebhookNotFound, WebhookInUse."""
    if not await webhooks.find_webhooks(session, [webhook_id]):
        raise WebhookNotFound
    if not await webhooks.delete_webhook(session, webhook_id):
        raise WebhookInUse


async def fan_out(session: AsyncSession, events: Sequence[Envelope[Event]]) -> None:
    """Write down who is to be told of events. The id of a delivery follows from event and webhook."""
    hearing = await webhooks.webhooks_hearing(session, {event.type for event in events})
    rows: list[tuple[UUID, UUID, UUID, str, str]] = []
    for event in events:
        payload: str | None = None
        for webhook in hearing:
            if event.type not in webhook.event_types or event.time < webhook.created_at:
                continue
            payload = payload or _payload(event)
            identity = derived_id("webhook", str(webhook.id), str(event.id))
            rows.append((identity, webhook.id, event.id, event.type, payload))
    await webhooks.add_deliveries(session, rows)


def _payload(event: Envelope[Event]) -> str:
    document = {"type": event.type, "timestamp": event.time, "data": event.data}
    return msgspec.json.encode(document).decode()


async def claim_deliveries(session: AsyncSession, *, limit: int) -> list[ClaimedDelivery]:
    """Claim deliveries that are due. The lease outlasts the longest attempt there can be."""
    lease_seconds = 2 * settings().webhook_timeout_seconds + settings().dispatch_lease_seconds
    return await webhooks.claim_deliveries(session, limit=limit, lease_seconds=lease_seconds)


async def settle_deliveries(
    session: AsyncSession, results: Sequence[tuple[ClaimedDelivery, Outcome]]
) -> None:
    """Write down what became of attempts, and switch off webhooks that fail again and again."""
    moves = [_move(delivery, outcome) for delivery, outcome in results]
    for move in moves:
        metrics.WEBHOOK_DELIVERIES.labels(move.state).inc()
    await webhooks.move_deliveries(session, moves)
    records: dict[UUID, tuple[bool, int]] = {}
    gone: set[UUID] = set()
    for delivery, outcome in results:
        succeeded, failures = records.get(delivery.webhook_id, (False, 0))
        worked = outcome.kind is OutcomeKind.DELIVERED
        records[delivery.webhook_id] = (succeeded or worked, failures + (not worked))
        if outcome.reason == "http_410":
            gone.add(delivery.webhook_id)
    await webhooks.record_webhook_results(
        session, [(identity, worked, failures) for identity, (worked, failures) in records.items()]
    )
    await webhooks.disable_webhooks(session, gone=gone, most=settings().webhook_disable_after_failures)


def _move(delivery: ClaimedDelivery, outcome: Outcome) -> DeliveryMove:
    chosen = settings()
    if outcome.kind is OutcomeKind.DELIVERED:
        return DeliveryMove(delivery.id, delivery.epoch, "delivered", outcome.reason)
    if outcome.kind is OutcomeKind.REFUSED or delivery.attempts >= chosen.webhook_max_attempts:
        return DeliveryMove(delivery.id, delivery.epoch, "failed", outcome.reason)
    limits = Limits(
        chosen.webhook_max_attempts, chosen.webhook_retry_base_seconds, chosen.webhook_retry_cap_seconds
    )
    chance = random.random()  # noqa: S311 - jitter, not a secret
    wait = max(outcome.retry_after_seconds or 0.0, backoff_seconds(delivery.attempts, limits, chance))
    return DeliveryMove(delivery.id, delivery.epoch, "queued", outcome.reason, wait)


async def recover_deliveries(session: AsyncSession, *, limit: int) -> int:
    """Put back what dead dispatchers left behind; give up what waits for webhooks that are off."""
    put_back = await webhooks.give_up_delivery_claims(session, limit=limit)
    return put_back + await webhooks.fail_deliveries_of_disabled(session, limit=limit)
