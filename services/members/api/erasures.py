"""Erasing members."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response

from services.members import operations
from services.members.api.answers import answer, batch_of, batch_route
from services.members.errors import MemberNotFound
from services.members.operations import Erased
from services.members.schemas import ErasureIn, ErasureResult
from shared.auth import Caller, require
from shared.edge import DryRun, Transaction, TransactionalRoute

__all__ = ["router"]

router = APIRouter(prefix="/v1", route_class=TransactionalRoute)

Admin = Annotated[Caller, Depends(require("members:admin"))]


@router.post(
    "/members/erasures",
    tags=["members"],
    **batch_route(ErasureIn, ErasureResult, MemberNotFound, unchanged="The member was erased before"),
)
async def erase_members(
    request: Request, session: Transaction, caller: Admin, dry_run: DryRun = False
) -> Response:
    """Erase a member or up to 1,000: what is personal goes, the books stay. `dry_run` says what would go.

    The other services and the bus follow within seconds. It cannot be undone; who buys again under the same
    name or address is a new member.
    """
    batch = await batch_of(ErasureIn, request)
    commands = [item.command() for item in batch.good]
    erased = await operations.erase_members(session, commands, actor=caller.key_id)
    return answer(batch, erased, _erased)


def _erased(erased: Erased) -> dict[str, Any]:
    return {
        "status": "accepted" if erased.changed else "unchanged",
        "member_id": erased.member_id,
        "erased_at": erased.erased_at,
        "gone": {kind: count for kind, count in erased.gone.items() if count},
        "kept": {kind: count for kind, count in erased.kept.items() if count},
    }
