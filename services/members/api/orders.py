"""Orders, refunds, cancellations and deliveries."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import ValidationError
from sqlalchemy.ext.asyncio import AsyncSession

from services.members import operations
from services.members.api.answers import answer, batch_of, batch_route, encode
from services.members.domain import IncomingOrder, OrderKey, state_of
from services.members.errors import (
    CancellationConflict,
    DeliveryConflict,
    MemberNotFound,
    OrderConflict,
    OrderNotFound,
    OrderTotalMismatch,
    RefundConflict,
    RefundCurrencyMismatch,
    RefundExceedsOrder,
    RefundLinesMismatch,
    UnknownOrderLine,
)
from services.members.operations import CancellationTaken, DeliveryTaken, OrderTaken, RefundTaken
from services.members.schemas import (
    CancellationIn,
    CancellationResult,
    DeliveryIn,
    DeliveryResult,
    OrderIn,
    OrderOut,
    OrderResult,
    RefundIn,
    RefundOut,
    RefundResult,
)
from shared.auth import Caller, require
from shared.edge import Desk, DryRun, Transaction, TransactionalRoute, desk, in_transaction
from shared.fast_path import FastRoute
from shared.pagination import DEFAULT_LIMIT, Cursor, Limit, Page, cut, decode_cursor
from shared.problems import (
    Overloaded,
    Refusal,
    problem_responses,
)
from shared.request_limits import body_limit

__all__ = ["fast_orders", "hot_router", "orders_desk", "router"]

# A thousand orders of ten lines each fit with room to spare; the body is held in memory while it is read.
BATCH_MAX_BYTES = 10 * 1024 * 1024

KNOWN = "It was known already and nothing changed"

router = APIRouter(prefix="/v1", route_class=TransactionalRoute)
# A desk has its own transactions, so its route is a plain one.
hot_router = APIRouter(prefix="/v1")

Reader = Annotated[Caller, Depends(require("members:read"))]
Writer = Annotated[Caller, Depends(require("members:write"))]


def _order_taken(taken: OrderTaken) -> dict[str, Any]:
    order = taken.order
    body = {
        "status": "accepted" if taken.changed else "unchanged",
        "order_id": order.id,
        "member_id": taken.person_id or order.member_id,
        "state": state_of(order),
    }
    return body | {"note": taken.note} if taken.note else body


async def _take_singles(
    session: AsyncSession, orders: Sequence[tuple[IncomingOrder, str]]
) -> list[OrderTaken | Refusal]:
    """Take in orders that came one by one, each with who handed it in: one call per caller."""
    outcomes: dict[int, OrderTaken | Refusal] = {}
    for actor in {actor: None for _, actor in orders}:
        mine = [index for index, (_, caller) in enumerate(orders) if caller == actor]
        taken = await operations.take_orders(session, [orders[index][0] for index in mine], actor=actor)
        outcomes.update(zip(mine, taken, strict=True))
    return [outcomes[index] for index in range(len(orders))]


orders_desk: Desk[tuple[IncomingOrder, str], OrderTaken] = Desk(
    "orders",
    _take_singles,
    lambda taken: encode(_order_taken(taken)),
    status=lambda taken: 201 if taken.changed else 200,
)


@hot_router.post(
    "/orders",
    tags=["orders"],
    **batch_route(
        OrderIn, OrderResult, OrderConflict, OrderTotalMismatch, Overloaded, unchanged=KNOWN, lines=True
    ),
)
@body_limit(BATCH_MAX_BYTES)
async def take_orders(request: Request, caller: Writer, dry_run: DryRun = False) -> Response:
    """Take in an order, an array of up to 1,000, or as many lines of NDJSON.

    An order that comes again changes nothing; placed before and now with `paid_at`, it is paid; with other
    content it is refused. Orders that come one by one share their transactions.
    """
    batch = await batch_of(OrderIn, request)
    commands = [item.command() for item in batch.good]
    if batch.is_single:
        return await desk(request, orders_desk.name).answer(request, (commands[0], caller.key_id))

    async def take(session: AsyncSession) -> Response:
        taken = await operations.take_orders(session, commands, actor=caller.key_id)
        return answer(batch, taken, _order_taken)

    return await in_transaction(request, take)


def _read(body: bytes, caller: Caller) -> tuple[IncomingOrder, str] | None:
    # Several at once are the ordinary route's, and not worth reading twice.
    if body[:1] != b"{":
        return None
    try:
        return OrderIn.model_validate_json(body).command(), caller.key_id
    except ValidationError:
        return None


fast_orders = FastRoute("/v1/orders", "members:write", orders_desk, _read)


@router.post(
    "/refunds",
    tags=["orders"],
    **batch_route(
        RefundIn,
        RefundResult,
        RefundConflict,
        RefundCurrencyMismatch,
        RefundExceedsOrder,
        RefundLinesMismatch,
        UnknownOrderLine,
        unchanged=KNOWN,
        parked="until the order is paid",
    ),
)
@body_limit(BATCH_MAX_BYTES)
async def take_refunds(
    request: Request, session: Transaction, caller: Writer, dry_run: DryRun = False
) -> Response:
    """Take in a refund or up to 1,000; one that comes before its order is parked and applied later."""
    batch = await batch_of(RefundIn, request)
    commands = [item.command() for item in batch.good]
    taken = await operations.take_refunds(session, commands)
    return answer(batch, taken, _refund_taken)


def _refund_taken(taken: RefundTaken) -> dict[str, Any]:
    order = taken.order
    body: dict[str, Any] = {
        "status": "accepted" if taken.changed else "unchanged",
        "refund_id": taken.refund.refund_id,
        "state": taken.state,
    }
    if order is not None:
        body |= {"order_id": order.id, "complete": order.refunded_minor == order.total_minor}
    return body


@router.post(
    "/cancellations",
    tags=["orders"],
    **batch_route(
        CancellationIn,
        CancellationResult,
        CancellationConflict,
        unchanged=KNOWN,
        parked="until the order comes",
    ),
)
@body_limit(BATCH_MAX_BYTES)
async def take_cancellations(
    request: Request, session: Transaction, caller: Writer, dry_run: DryRun = False
) -> Response:
    """Take in a cancellation or up to 1,000; one that comes before its order is parked and applied later."""
    batch = await batch_of(CancellationIn, request)
    commands = [item.command() for item in batch.good]
    taken = await operations.take_cancellations(session, commands)
    return answer(batch, taken, _cancellation_taken)


def _cancellation_taken(taken: CancellationTaken) -> dict[str, Any]:
    return _named_by_order(taken, taken.cancellation.key)


def _named_by_order(taken: CancellationTaken | DeliveryTaken, key: OrderKey) -> dict[str, Any]:
    body: dict[str, Any] = {
        "status": "accepted" if taken.changed else "unchanged",
        "external_order_id": key[2],
        "state": taken.state,
    }
    return body if taken.order is None else body | {"order_id": taken.order.id}


@router.post(
    "/deliveries",
    tags=["orders"],
    **batch_route(
        DeliveryIn, DeliveryResult, DeliveryConflict, unchanged=KNOWN, parked="until the order is paid"
    ),
)
@body_limit(BATCH_MAX_BYTES)
async def take_deliveries(
    request: Request, session: Transaction, caller: Writer, dry_run: DryRun = False
) -> Response:
    """Take in that an order was delivered, or up to 1,000; before its payment it is parked and said later.

    Points that wait for delivery can be spent from then on.
    """
    batch = await batch_of(DeliveryIn, request)
    commands = [item.command() for item in batch.good]
    taken = await operations.take_deliveries(session, commands)
    return answer(batch, taken, _delivery_taken)


def _delivery_taken(taken: DeliveryTaken) -> dict[str, Any]:
    return _named_by_order(taken, taken.delivery.key)


@router.get("/orders/{order_id}", tags=["orders"], responses=problem_responses(OrderNotFound))
async def read_order(order_id: UUID, session: Transaction, caller: Reader) -> OrderOut:
    """Read one order with its lines."""
    return OrderOut.model_validate(dict(await operations.read_order(session, order_id)))


class OrderPosition(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a page of a member's orders ends."""

    placed_at: datetime
    order_id: UUID


@router.get("/members/{member_id}/orders", tags=["orders"], responses=problem_responses(MemberNotFound))
async def read_orders_of_member(
    member_id: UUID, session: Transaction, caller: Reader, cursor: Cursor = None, limit: Limit = DEFAULT_LIMIT
) -> Page[OrderOut]:
    """Read a member's orders, the latest first."""
    after = None if cursor is None else decode_cursor(cursor, OrderPosition)
    rows = await operations.read_orders_of_member(
        session,
        member_id,
        after=None if after is None else (after.placed_at, after.order_id),
        limit=limit + 1,
    )
    page, next_cursor = cut(rows, limit, lambda row: OrderPosition(row["placed_at"], row["order_id"]))
    return Page(items=[OrderOut.model_validate(dict(row)) for row in page], next_cursor=next_cursor)


class RefundPosition(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a page of refunds ends."""

    received_at: datetime
    refund_id: str


@router.get("/refunds", tags=["orders"])
async def read_refunds(
    session: Transaction,
    caller: Reader,
    state: Annotated[Literal["parked", "refused"], Query(description="Which refunds wait or failed.")],
    cursor: Cursor = None,
    limit: Limit = DEFAULT_LIMIT,
) -> Page[RefundOut]:
    """Read refunds that wait for their order, or were refused when it came; the longest known first."""
    after = None if cursor is None else decode_cursor(cursor, RefundPosition)
    rows = await operations.read_refunds(
        session, state, after=None if after is None else (after.received_at, after.refund_id), limit=limit + 1
    )
    page, next_cursor = cut(rows, limit, lambda row: RefundPosition(row["received_at"], row["refund_id"]))
    return Page(items=[RefundOut.model_validate(dict(row)) for row in page], next_cursor=next_cursor)
