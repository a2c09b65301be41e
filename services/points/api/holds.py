"""Holds: promise points, then spend or release them."""

from dataclasses import asdict
from typing import Any
from uuid import UUID

import msgspec
from fastapi import APIRouter, Request, Response

from services.points import operations
from services.points.api.access import Reader, Writer
from services.points.api.answers import Results, Several, answer_each
from services.points.errors import (
    HoldAlreadyCaptured,
    HoldAlreadyVoided,
    HoldConflict,
    HoldExceeded,
    HoldExpired,
    HoldInThePast,
    HoldNotFound,
    InsufficientPoints,
    MemberErased,
    TransferConflict,
    TransferToOneself,
)
from services.points.operations import Capture, Held, Hold, Transfer, Transferred, Void
from services.points.schemas import (
    CaptureIn,
    CaptureOfIn,
    HoldAnswer,
    HoldIn,
    HoldOut,
    MaturityIn,
    MaturityOut,
    TransferIn,
    TransferOut,
    VoidOfIn,
)
from shared.batches import good_items, only
from shared.edge import Desk, DryRun, Transaction, TransactionalRoute, desk
from shared.problems import IdempotencyConflict, Overloaded, problem_responses

router = APIRouter(prefix="/v1", route_class=TransactionalRoute, tags=["points"])

# A desk has its own transactions, so its routes are plain ones.
hot_router = APIRouter(prefix="/v1", tags=["points"])

SETTLING = problem_responses(
    HoldNotFound, HoldExpired, HoldAlreadyCaptured, HoldAlreadyVoided, IdempotencyConflict, Overloaded
)
RESULTS: dict[int | str, dict[str, Any]] = {200: {"description": "Each has its result, in order."}}


def _encode(held: Held) -> bytes:
    return msgspec.json.encode(held._asdict())


hold_desk: Desk[Hold, Held] = Desk("hold", operations.hold, _encode, status=201)
capture_desk: Desk[Capture, Held] = Desk("capture", operations.capture, _encode)
void_desk: Desk[Void, Held] = Desk("void", operations.void, _encode)


@hot_router.post(
    "/holds",
    status_code=201,
    response_model=HoldAnswer,
    responses=problem_responses(
        InsufficientPoints, HoldInThePast, HoldConflict, IdempotencyConflict, Overloaded
    ),
)
async def hold(request: Request, body: HoldIn, caller: Writer, dry_run: DryRun = False) -> Response:
    """Promise a member's points to a purchase: nothing else can spend them, and they do not expire."""
    return await desk(request, hold_desk.name).answer(request, _hold(body, caller.key_id))


@hot_router.post(
    "/holds/{hold_id}/capture",
    response_model=HoldAnswer,
    responses=SETTLING | problem_responses(HoldExceeded),
)
async def capture(
    request: Request, hold_id: UUID, caller: Writer, body: CaptureIn | None = None, dry_run: DryRun = False
) -> Response:
    """Spend what is held, or a part of it: the rest is released."""
    asked = body or CaptureIn()
    command = Capture(hold_id, asked.points, caller.key_id, asked.reason)
    return await desk(request, capture_desk.name).answer(request, command)


@hot_router.post("/holds/{hold_id}/void", response_model=HoldAnswer, responses=SETTLING)
async def void(request: Request, hold_id: UUID, caller: Writer, dry_run: DryRun = False) -> Response:
    """Release what is held; points whose date has passed meanwhile expire at once."""
    return await desk(request, void_desk.name).answer(request, Void(hold_id, caller.key_id))


@router.post("/holds/batch", responses=RESULTS)
async def hold_batch(
    session: Transaction,
    caller: Writer,
    body: Several[HoldIn],
    dry_run: DryRun = False,
) -> Results:
    """Hold points for up to 1,000 purchases at once; one that is refused changes nothing for the others."""
    commands = [_hold(item, caller.key_id) for item in good_items(body)]
    return answer_each(body, await operations.hold(session, commands), _accepted)


@router.post("/holds/capture", responses=RESULTS)
async def capture_batch(
    session: Transaction,
    caller: Writer,
    body: Several[CaptureOfIn],
    dry_run: DryRun = False,
) -> Results:
    """Capture up to 1,000 holds at once."""
    commands = [Capture(item.hold_id, item.points, caller.key_id, item.reason) for item in good_items(body)]
    return answer_each(body, await operations.capture(session, commands), _accepted)


@router.post("/holds/void", responses=RESULTS)
async def void_batch(
    session: Transaction,
    caller: Writer,
    body: Several[VoidOfIn],
    dry_run: DryRun = False,
) -> Results:
    """Void up to 1,000 holds at once."""
    commands = [Void(item.hold_id, caller.key_id) for item in good_items(body)]
    return answer_each(body, await operations.void(session, commands), _accepted)


@router.get("/holds/{hold_id:uuid}", responses=problem_responses(HoldNotFound))
async def show_hold(session: Transaction, caller: Reader, hold_id: UUID) -> HoldOut:
    """Show a hold as it is now by the database's clock."""
    row = await operations.show_hold(session, hold_id)
    return HoldOut(**asdict(row) | {"hold_id": row.id, "member_id": row.origin_id or row.member_id})


@router.post("/orders/mature")
async def mature(
    session: Transaction, caller: Writer, body: MaturityIn, dry_run: DryRun = False
) -> MaturityOut:
    """Let what orders earned be spent from now on: they were delivered, or cannot be returned any more."""
    return MaturityOut(matured_points=await operations.mature(session, body.order_ids))


@router.post(
    "/transfers",
    status_code=201,
    response_model=None,
    responses=RESULTS
    | {201: {"model": TransferOut}}
    | problem_responses(InsufficientPoints, TransferToOneself, TransferConflict, MemberErased),
)
async def transfer(
    session: Transaction,
    caller: Writer,
    body: TransferIn | Several[TransferIn],
    response: Response,
    dry_run: DryRun = False,
) -> TransferOut | Results:
    """Give points of one member to another, with their dates; or up to 1,000 times at once."""
    if isinstance(body, TransferIn):
        result = only(await operations.transfer(session, [_transfer(body, caller.key_id)]))
        return TransferOut.model_validate(result._asdict())
    commands = [_transfer(item, caller.key_id) for item in good_items(body)]
    response.status_code = 200
    return answer_each(body, await operations.transfer(session, commands), _accepted)


def _hold(body: HoldIn, actor: str) -> Hold:
    return Hold(body.member_id, body.points, body.reason, actor, body.order_id, body.expires_at, body.hold_id)


def _transfer(body: TransferIn, actor: str) -> Transfer:
    return Transfer(body.from_id, body.to_id, body.points, body.reason, actor, body.transfer_id)


def _accepted(result: Held | Transferred) -> dict[str, object]:
    return {"status": "accepted", "result": result._asdict()}
