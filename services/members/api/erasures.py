"""Erasing members."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response

from services.members import operations
from services.members.api.answers import answer, merged
from services.members.errors import MemberNotFound, TooManyItems
from services.members.operations import Erased
from services.members.schemas import BatchAnswer, ErasureIn, ErasureResult, batch_body, read_batch
from shared.auth import Caller, require
from shared.edge import DryRun, Transaction, TransactionalRoute
from shared.problems import (
    InvalidItem,
    InvalidRequest,
    MalformedJson,
    PayloadTooLarge,
    UnsupportedMediaType,
    problem_responses,
)

__all__ = ["router"]

router = APIRouter(prefix="/v1", route_class=TransactionalRoute)

Admin = Annotated[Caller, Depends(require("members:admin"))]


@router.post(
    "/members/erasures",
    tags=["members"],
    status_code=201,
    response_model=ErasureResult,
    openapi_extra=batch_body(ErasureIn),
    responses={
        200: {
            "description": "The member was erased before; or the answer to several items.",
            "model": ErasureResult | BatchAnswer,
        },
        **problem_responses(
            MemberNotFound,
            InvalidRequest,
            MalformedJson,
            PayloadTooLarge,
            TooManyItems,
            UnsupportedMediaType,
        ),
    },
)
async def erase_members(
    request: Request, session: Transaction, caller: Admin, dry_run: DryRun = False
) -> Response:
    """Erase a member or up to 1,000: what is personal goes, the books stay. `dry_run` says what would go.

    The other services and the bus follow within seconds. It cannot be undone; who buys again under the same
    name or address is a new member.
    """
    batch = read_batch(ErasureIn, await request.body(), request.headers.get("content-type", ""))
    commands = [item.command() for item in batch.items if not isinstance(item, InvalidItem)]
    erased = await operations.erase_members(session, commands, actor=caller.key_id)
    return answer(merged(batch.items, erased), _erased, is_single=batch.is_single)


def _erased(erased: Erased) -> dict[str, Any]:
    return {
        "status": "accepted" if erased.changed else "unchanged",
        "member_id": erased.member_id,
        "erased_at": erased.erased_at,
        "gone": {kind: count for kind, count in erased.gone.items() if count},
        "kept": {kind: count for kind, count in erased.kept.items() if count},
    }
