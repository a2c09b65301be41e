"""Merging members that are one person, and undoing it."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response

from services.members import operations
from services.members.api.answers import answer, batch_of, batch_route
from services.members.errors import (
    MemberAlreadyMerged,
    MemberErased,
    MemberNotFound,
    MergeCircle,
    NotMerged,
    TooManyIds,
)
from services.members.operations import Merge, Merged
from services.members.schemas import Batch, MergeIn, MergeResult
from shared.auth import Caller, require
from shared.edge import DryRun, Transaction, TransactionalRoute

__all__ = ["router"]

router = APIRouter(prefix="/v1", route_class=TransactionalRoute, tags=["members"])

Writer = Annotated[Caller, Depends(require("members:write"))]


@router.post(
    "/members/merges",
    **batch_route(
        MergeIn,
        MergeResult,
        MemberNotFound,
        MemberErased,
        MemberAlreadyMerged,
        MergeCircle,
        TooManyIds,
        unchanged="They are one person already",
    ),
)
async def merge_members(
    request: Request, session: Transaction, caller: Writer, dry_run: DryRun = False
) -> Response:
    """Make members aliases of others, up to 1,000 at once; everything of both is seen under the survivor.

    Nothing is rewritten: orders, tags, consents and addresses keep the id that they came under, and an
    unmerge gives each member back what is its own.
    """
    batch = await batch_of(MergeIn, request)
    results = await operations.merge_members(session, _commands(batch, caller))
    return answer(batch, results, _answer)


@router.post(
    "/members/unmerges",
    **batch_route(
        MergeIn, MergeResult, MemberNotFound, MemberErased, NotMerged, unchanged="It was undone before"
    ),
)
async def unmerge_members(
    request: Request, session: Transaction, caller: Writer, dry_run: DryRun = False
) -> Response:
    """Undo merges, up to 1,000 at once; both members stand for themselves again."""
    batch = await batch_of(MergeIn, request)
    results = await operations.unmerge_members(session, _commands(batch, caller))
    return answer(batch, results, _answer)


def _commands(batch: Batch[MergeIn], caller: Caller) -> list[Merge]:
    return [
        Merge(item.surviving_id, item.merged_id, item.actor or caller.key_id, item.reason)
        for item in batch.good
    ]


def _answer(result: Merged) -> dict[str, Any]:
    return {
        "status": "accepted" if result.changed else "unchanged",
        "surviving_id": result.surviving_id,
        "merged_id": result.merged_id,
        "person_id": result.person_id,
    }
