"""Routes for the ledger of messages, suppressed addresses and the summary."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec
from fastapi import APIRouter, Depends, Query, Response

from services.messaging import operations
from services.messaging.domain import State
from services.messaging.errors import InvalidAddress, MessageNotFound
from services.messaging.schemas import MessageOut, Summary, SuppressionIn
from shared.auth import require
from shared.edge import Transaction, TransactionalRoute
from shared.pagination import DEFAULT_LIMIT, Cursor, Limit, Page, cut, decode_cursor
from shared.problems import problem_responses

__all__ = ["router"]

router = APIRouter(prefix="/v1", route_class=TransactionalRoute, tags=["messages"])

READ = [Depends(require("messaging:read"))]
ADMIN = [Depends(require("messaging:admin"))]


class _Position(msgspec.Struct, forbid_unknown_fields=True):
    """Where a page of messages ends."""

    planned_at: datetime
    id: UUID


def _message(row: Any) -> MessageOut:
    return MessageOut.model_validate(row, from_attributes=True)


@router.get("/messages", dependencies=READ)
async def get_messages(
    session: Transaction,
    member_id: Annotated[UUID | None, Query(description="Messages of this member.")] = None,
    state: Annotated[State | None, Query(description="Messages that stand so.")] = None,
    cursor: Cursor = None,
    limit: Limit = DEFAULT_LIMIT,
) -> Page[MessageOut]:
    """Messages, the newest first."""
    position = decode_cursor(cursor, _Position) if cursor else None
    rows = await operations.list_messages(
        session,
        member_id=member_id,
        state=state,
        before=(position.planned_at, position.id) if position else None,
        limit=limit + 1,
    )
    page, following = cut(rows, limit, lambda row: _Position(row.planned_at, row.id))
    return Page(items=[_message(row) for row in page], next_cursor=following)


@router.get("/messages/{message_id}", dependencies=READ, responses=problem_responses(MessageNotFound))
async def get_message(message_id: UUID, session: Transaction) -> MessageOut:
    """One message, with every verdict on it."""
    return _message(await operations.find_message(session, message_id))


@router.post(
    "/suppressions",
    status_code=204,
    dependencies=ADMIN,
    responses=problem_responses(InvalidAddress),
)
async def post_suppression(body: SuppressionIn, session: Transaction) -> Response:
    """Leave an address alone until this is lifted, whatever the purpose."""
    await operations.suppress(session, body.channel, body.address)
    return Response(status_code=204)


@router.post(
    "/suppressions/lift",
    status_code=204,
    dependencies=ADMIN,
    responses=problem_responses(InvalidAddress),
)
async def lift_suppression(body: SuppressionIn, session: Transaction) -> Response:
    """Stop leaving an address alone; it stands in the body because addresses do not belong in URLs."""
    await operations.lift(session, body.channel, body.address)
    return Response(status_code=204)


@router.get("/summary", dependencies=READ)
async def get_summary(session: Transaction) -> Summary:
    """Counts of everything."""
    return Summary.model_validate(await operations.summarise(session))
