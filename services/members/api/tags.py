"""Tags: words that group members."""

from collections.abc import Mapping
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response

from services.members import operations
from services.members.api.answers import answer, batch_of, batch_route
from services.members.domain import TagChange
from services.members.errors import MemberErased, MemberNotFound, TooManyTags
from services.members.schemas import (
    TagsChangeIn,
    TagsIn,
    TagsOut,
    TagsResult,
)
from shared.auth import Caller, require
from shared.batches import only
from shared.edge import DryRun, Transaction, TransactionalRoute
from shared.problems import (
    Refusal,
    problem_responses,
)

__all__ = ["router"]

router = APIRouter(prefix="/v1", route_class=TransactionalRoute, tags=["members"])

Writer = Annotated[Caller, Depends(require("members:write"))]


@router.post(
    "/members/tags",
    **batch_route(TagsChangeIn, TagsResult, MemberErased, MemberNotFound, TooManyTags),
)
async def change_tags(
    request: Request, session: Transaction, caller: Writer, dry_run: DryRun = False
) -> Response:
    """Give tags to members and take others, for up to 1,000 members at once; each source holds its own.

    A member keeps a tag until the last source that gave it has taken it or let it lapse.
    """
    batch = await batch_of(TagsChangeIn, request)
    commands = [_change(item, caller.key_id) for item in batch.good]
    results = await operations.change_tags(session, commands)
    outcomes = [
        result if isinstance(result, Refusal) else (command.member_id, result)
        for command, result in zip(commands, results, strict=True)
    ]
    return answer(batch, outcomes, _tags_changed)


def _change(item: TagsChangeIn, key_id: str) -> TagChange:
    source = item.source or key_id
    return TagChange(item.member_id, source, source, item.add, item.remove, item.expires_in_seconds)


def _tags_changed(outcome: tuple[UUID, bool]) -> dict[str, Any]:
    member_id, changed = outcome
    return {"status": "accepted" if changed else "unchanged", "member_id": member_id}


@router.put(
    "/members/{member_id}/tags", responses=problem_responses(MemberErased, MemberNotFound, TooManyTags)
)
async def tag_member(
    member_id: UUID, body: TagsIn, session: Transaction, caller: Writer, dry_run: DryRun = False
) -> TagsOut:
    """Give a member tags, beside those it has."""
    source = body.source or caller.key_id
    await _change_one(
        session,
        TagChange(member_id, source, source, add=body.tags, expires_in_seconds=body.expires_in_seconds),
    )
    return _tags_out(await operations.read_member(session, member_id))


@router.delete("/members/{member_id}/tags", responses=problem_responses(MemberErased, MemberNotFound))
async def untag_member(
    member_id: UUID,
    session: Transaction,
    caller: Writer,
    tag: Annotated[list[str], Query(min_length=1, max_length=50, description="Which to take; repeatable.")],
    source: Annotated[
        str | None, Query(max_length=200, description="Take only what this source gave; all if left out.")
    ] = None,
    dry_run: DryRun = False,
) -> TagsOut:
    """Take tags from a member; those that it does not have do not matter."""
    await _change_one(session, TagChange(member_id, source, source or caller.key_id, remove=tag))
    return _tags_out(await operations.read_member(session, member_id))


async def _change_one(session: Transaction, change: TagChange) -> None:
    only(await operations.change_tags(session, [change]))


def _tags_out(row: Mapping[str, Any]) -> TagsOut:
    return TagsOut.model_validate({"member_id": row["member_id"], "tags": row["tags"]})
