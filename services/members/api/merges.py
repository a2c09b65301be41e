"""Merging members that are one person, and undoing it."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response

from services.members import operations
from services.members.api.answers import answer, merged
from services.members.errors import (
    MemberAlreadyMerged,
    MemberErased,
    MemberNotFound,
    MergeCircle,
    NotMerged,
    TooManyIds,
    TooManyItems,
)
from services.members.operations import Merge, Merged
from services.members.schemas import BatchAnswer, MergeIn, MergeResult, batch_body, read_batch
from shared.auth import Caller, require
from shared.edge import DryRun, Transaction, TransactionalRoute
from shared.problems import (
    InvalidItem,
    InvalidRequest,
    MalformedJson,
    PayloadTooLarge,
    Refusal,
    UnsupportedMediaType,
    problem_responses,
)

__all__ = ["router"]

router = APIRouter(prefix="/v1", route_class=TransactionalRoute, tags=["members"])

Writer = Annotated[Caller, Depends(require("members:write"))]


def _responses(unchanged: str, *refusals: type[Refusal]) -> dict[int | str, dict[str, Any]]:
    return {
        200: {"description": unchanged, "model": MergeResult | BatchAnswer},
        **problem_responses(
            MemberNotFound,
            MemberErased,
            *refusals,
            TooManyItems,
            InvalidRequest,
            MalformedJson,
            PayloadTooLarge,
            UnsupportedMediaType,
        ),
    }


@router.post(
    "/members/merges",
    status_code=201,
    response_model=MergeResult,
    openapi_extra=batch_body(MergeIn),
    responses=_responses(
        "They are one person already; or the answer to several items.",
        MemberAlreadyMerged,
        MergeCircle,
        TooManyIds,
    ),
)
async def merge_members(
    request: Request, session: Transaction, caller: Writer, dry_run: DryRun = False
) -> Response:
    """Make members aliases of others, up to 1,000 at once; everything of both is seen under the survivor.

    Nothing is rewritten: orders, tags, consents and addresses keep the id that they came under, and an
    unmerge gives each member back what is its own.
    """
    batch = read_batch(MergeIn, await request.body(), request.headers.get("content-type", ""))
    results = await operations.merge_members(session, _commands(batch.items, caller))
    return answer(merged(batch.items, results), _answer, is_single=batch.is_single)


@router.post(
    "/members/unmerges",
    status_code=201,
    response_model=MergeResult,
    openapi_extra=batch_body(MergeIn),
    responses=_responses("It was undone before; or the answer to several items.", NotMerged),
)
async def unmerge_members(
    request: Request, session: Transaction, caller: Writer, dry_run: DryRun = False
) -> Response:
    """Undo merges, up to 1,000 at once; both members stand for themselves again."""
    batch = read_batch(MergeIn, await request.body(), request.headers.get("content-type", ""))
    results = await operations.unmerge_members(session, _commands(batch.items, caller))
    return answer(merged(batch.items, results), _answer, is_single=batch.is_single)


def _commands(items: Any, caller: Caller) -> list[Merge]:
    return [
        Merge(item.surviving_id, item.merged_id, item.actor or caller.key_id, item.reason)
        for item in items
        if not isinstance(item, InvalidItem)
    ]


def _answer(result: Merged) -> dict[str, Any]:
    return {
        "status": "accepted" if result.changed else "unchanged",
        "surviving_id": result.surviving_id,
        "merged_id": result.merged_id,
        "person_id": result.person_id,
    }
