"""Routes for outbound webhooks."""

from datetime import datetime
from uuid import UUID

import msgspec
from fastapi import APIRouter, Depends, Response

from services.messaging import operations
from services.messaging.errors import (
    InvalidWebhookSecret,
    TooManyWebhooks,
    UnknownEventForWebhook,
    WebhookInUse,
    WebhookNotAllowed,
    WebhookNotFound,
)
from services.messaging.schemas import DeliveryOut, WebhookCreated, WebhookIn, WebhookOut
from shared.auth import require
from shared.edge import Transaction, TransactionalRoute
from shared.pagination import DEFAULT_LIMIT, Cursor, Limit, Page, cut, decode_cursor
from shared.problems import problem_responses

__all__ = ["router"]

router = APIRouter(prefix="/v1", route_class=TransactionalRoute, tags=["webhooks"])

READ = [Depends(require("messaging:read"))]
WRITE = [Depends(require("messaging:write"))]


class _Position(msgspec.Struct, forbid_unknown_fields=True):
    """Where a page of deliveries ends."""

    created_at: datetime
    id: UUID


@router.post(
    "/webhooks",
    status_code=201,
    dependencies=WRITE,
    responses=problem_responses(
        InvalidWebhookSecret, TooManyWebhooks, UnknownEventForWebhook, WebhookNotAllowed
    ),
)
async def post_webhook(body: WebhookIn, session: Transaction) -> WebhookCreated:
    """Register an address that hears events from now on, signed as Standard Webhooks says."""
    row = await operations.register_webhook(session, body.url, body.secret, body.event_types)
    return WebhookCreated.model_validate(row, from_attributes=True)


@router.get("/webhooks", dependencies=READ)
async def get_webhooks(session: Transaction) -> Page[WebhookOut]:
    """All webhooks, the oldest first."""
    rows = await operations.list_webhooks(session)
    return Page(items=[WebhookOut.model_validate(row, from_attributes=True) for row in rows])


@router.post(
    "/webhooks/{webhook_id}/enable", dependencies=WRITE, responses=problem_responses(WebhookNotFound)
)
async def enable_webhook(webhook_id: UUID, session: Transaction) -> WebhookOut:
    """Switch a webhook on again, with a clean record."""
    row = await operations.reopen_webhook(session, webhook_id)
    return WebhookOut.model_validate(row, from_attributes=True)


@router.delete(
    "/webhooks/{webhook_id}",
    status_code=204,
    dependencies=WRITE,
    responses=problem_responses(WebhookInUse, WebhookNotFound),
)
async def delete_webhook(webhook_id: UUID, session: Transaction) -> Response:
    """Delete a webhook and what is left to deliver to it."""
    await operations.remove_webhook(session, webhook_id)
    return Response(status_code=204)


@router.get(
    "/webhooks/{webhook_id}/deliveries", dependencies=READ, responses=problem_responses(WebhookNotFound)
)
async def get_deliveries(
    webhook_id: UUID, session: Transaction, cursor: Cursor = None, limit: Limit = DEFAULT_LIMIT
) -> Page[DeliveryOut]:
    """What was delivered to a webhook and what was not, the newest first."""
    position = decode_cursor(cursor, _Position) if cursor else None
    rows = await operations.list_deliveries(
        session,
        webhook_id,
        before=(position.created_at, position.id) if position else None,
        limit=limit + 1,
    )
    page, following = cut(rows, limit, lambda row: _Position(row.created_at, row.id))
    items = [DeliveryOut.model_validate(row, from_attributes=True) for row in page]
    return Page(items=items, next_cursor=following)
