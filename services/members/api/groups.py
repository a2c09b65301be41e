"""Groups: named sets of members that the operator keeps by hand."""

from typing import Annotated, Any
from uuid import UUID

import msgspec
from fastapi import APIRouter, Depends, Path, Request, Response

from services.members import operations
from services.members.api.answers import answer, batch_of, batch_route
from services.members.errors import (
    GroupNotEmpty,
    GroupNotFound,
    MemberErased,
    MemberNotFound,
    TooManyGroups,
)
from services.members.operations import MembershipChange
from services.members.schemas import (
    GroupIn,
    GroupMemberOut,
    GroupOut,
    MembershipIn,
    MembershipResult,
)
from shared.auth import Caller, require
from shared.edge import DryRun, Transaction, TransactionalRoute
from shared.pagination import DEFAULT_LIMIT, Cursor, Limit, Page, cut, decode_cursor
from shared.problems import (
    Refusal,
    problem_responses,
)

__all__ = ["router"]

router = APIRouter(prefix="/v1", route_class=TransactionalRoute, tags=["groups"])

Reader = Annotated[Caller, Depends(require("members:read"))]
Writer = Annotated[Caller, Depends(require("members:write"))]
Admin = Annotated[Caller, Depends(require("members:admin"))]
GroupName = Annotated[
    str,
    Path(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,63}$", examples=["beta-testers"], description="Its name."),
]


class GroupPosition(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a page of groups ends."""

    name: str


class GroupMemberPosition(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a page of a group's members ends."""

    member_id: UUID


@router.get("/groups")
async def read_groups(
    session: Transaction, caller: Reader, cursor: Cursor = None, limit: Limit = DEFAULT_LIMIT
) -> Page[GroupOut]:
    """List the groups by name."""
    after = None if cursor is None else decode_cursor(cursor, GroupPosition).name
    rows = await operations.read_groups(session, after=after, limit=limit + 1)
    page, next_cursor = cut(rows, limit, lambda row: GroupPosition(row["name"]))
    return Page(items=[GroupOut.model_validate(dict(row)) for row in page], next_cursor=next_cursor)


@router.put("/groups/{name}", status_code=204)
async def save_group(
    name: GroupName, body: GroupIn, session: Transaction, caller: Admin, dry_run: DryRun = False
) -> None:
    """Make a group, or give it another title."""
    await operations.save_group(session, name, body.title, actor=caller.key_id)


@router.delete("/groups/{name}", status_code=204, responses=problem_responses(GroupNotFound, GroupNotEmpty))
async def delete_group(name: GroupName, session: Transaction, caller: Admin, dry_run: DryRun = False) -> None:
    """Delete a group that has no members."""
    await operations.delete_group(session, name)


@router.get("/groups/{name}/members", responses=problem_responses(GroupNotFound))
async def read_group_members(
    name: GroupName,
    session: Transaction,
    caller: Reader,
    cursor: Cursor = None,
    limit: Limit = DEFAULT_LIMIT,
) -> Page[GroupMemberOut]:
    """List the members of a group in the order in which they joined the program."""
    after = None if cursor is None else decode_cursor(cursor, GroupMemberPosition).member_id
    rows = await operations.read_group_members(session, name, after=after, limit=limit + 1)
    page, next_cursor = cut(rows, limit, lambda row: GroupMemberPosition(row["member_id"]))
    return Page(items=[GroupMemberOut.model_validate(dict(row)) for row in page], next_cursor=next_cursor)


@router.post(
    "/groups/{name}/members",
    **batch_route(MembershipIn, MembershipResult, GroupNotFound, MemberErased, MemberNotFound, TooManyGroups),
)
async def change_memberships(
    name: GroupName, request: Request, session: Transaction, caller: Writer, dry_run: DryRun = False
) -> Response:
    """Put members into a group and take others out, up to 1,000 at once."""
    batch = await batch_of(MembershipIn, request)
    commands = [MembershipChange(item.member_id, item.is_member) for item in batch.good]
    results = await operations.change_memberships(session, name, commands, actor=caller.key_id)
    outcomes = [
        result if isinstance(result, Refusal) else (command, result)
        for command, result in zip(commands, results, strict=True)
    ]
    return answer(batch, outcomes, _membership_changed)


def _membership_changed(outcome: tuple[MembershipChange, bool]) -> dict[str, Any]:
    command, changed = outcome
    return {
        "status": "accepted" if changed else "unchanged",
        "member_id": command.member_id,
        "is_member": command.is_member,
    }
