"""Members: who they are and what they agreed to."""

from typing import Annotated, Any
from uuid import UUID

import msgspec
from fastapi import APIRouter, Depends, Query, Request, Response

from services.members import operations
from services.members.api.answers import answer, batch_of, batch_route, etag, member_out, member_page
from services.members.domain import Statement
from services.members.errors import MemberErased, MemberNotFound
from services.members.operations import ConsentRecorded
from services.members.schemas import (
    ConsentIn,
    ConsentResult,
    MemberOut,
    MemberPage,
)
from shared.auth import Caller, require
from shared.clock import utc_now
from shared.edge import DryRun, Transaction, TransactionalRoute, glance
from shared.pagination import DEFAULT_LIMIT, Cursor, Limit, Page, cut, decode_cursor
from shared.problems import (
    InvalidRequest,
    error_members,
    problem_responses,
)
from shared.schemas import NO_NUL

__all__ = ["router"]

RECENT_ORDERS = 5
MEMBERS_FOUND = 20

router = APIRouter(prefix="/v1", route_class=TransactionalRoute)

Reader = Annotated[Caller, Depends(require("members:read"))]
Writer = Annotated[Caller, Depends(require("members:write"))]


class MemberPosition(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a page of members ends."""

    member_id: UUID


@router.get("/members", tags=["members"], responses=problem_responses(InvalidRequest))
async def read_members(
    session: Transaction,
    caller: Reader,
    source: Annotated[str | None, Query(max_length=64)] = None,
    external_id: Annotated[str | None, Query(max_length=200)] = None,
    q: Annotated[
        str | None,
        Query(
            min_length=1,
            max_length=320,
            pattern=NO_NUL,
            description="An id that any source knows, or a verified address, each as a whole.",
        ),
    ] = None,
    cursor: Cursor = None,
    limit: Limit = DEFAULT_LIMIT,
) -> Page[MemberOut]:
    """Read members in the order in which they joined, the one that a source knows by an id, or up to 20 who
    are found by `q`.
    """
    if q is not None:
        if source is not None or external_id is not None or cursor is not None:
            raise InvalidRequest(**error_members([{"loc": ("q",), "msg": "goes alone"}], place="query"))
        found = await operations.search_members(session, q, limit=MEMBERS_FOUND)
        return Page(items=[member_out(row) for row in found])
    if (source is None) != (external_id is None):
        error = {"loc": ("source" if source is None else "external_id",), "msg": "goes with the other one"}
        raise InvalidRequest(**error_members([error], place="query"))
    if source is not None and external_id is not None:
        found = await operations.find_member(session, source, external_id)
        return Page(items=[member_out(row) for row in found])
    after = None if cursor is None else decode_cursor(cursor, MemberPosition).member_id
    rows = await operations.read_members(session, after=after, limit=limit + 1)
    page, next_cursor = cut(rows, limit, lambda row: MemberPosition(row["member_id"]))
    return Page(items=[member_out(row) for row in page], next_cursor=next_cursor)


# Only what looks like an id is one: `/members/tags` and the like are addresses of their own.
@router.get("/members/{member_id:uuid}", tags=["members"], responses=problem_responses(MemberNotFound))
@glance
async def read_member(
    member_id: UUID, session: Transaction, caller: Reader, response: Response
) -> MemberPage:
    """Read one member with everything that is known, the latest orders, and tier and stage as of now.

    `ETag` is the revision, for `If-Match` of a change. Points are answered by the points service.
    """
    page = await operations.read_member_page(session, member_id, orders_shown=RECENT_ORDERS)
    response.headers["ETag"] = etag(page["revision"])
    return member_page(page)


@router.post(
    "/consents",
    tags=["members"],
    **batch_route(
        ConsentIn, ConsentResult, MemberErased, MemberNotFound, unchanged="What holds did not change"
    ),
)
async def record_consents(
    request: Request, session: Transaction, caller: Writer, dry_run: DryRun = False
) -> Response:
    """Record what a member agrees to, or up to 1,000 such statements; the latest statement holds."""
    batch = await batch_of(ConsentIn, request)
    now = utc_now()
    statements = [
        Statement(
            member_id=item.member_id,
            channel=item.channel,
            purpose=item.purpose,
            granted=item.granted,
            stated_at=item.stated_at or now,
            wording_hash=item.wording_hash,
            source=item.source,
            actor=item.actor,
        )
        for item in batch.good
    ]
    recorded = await operations.record_consents(session, statements)
    return answer(batch, recorded, _consent_recorded)


def _consent_recorded(recorded: ConsentRecorded) -> dict[str, Any]:
    statement = recorded.statement
    return {
        "status": "accepted" if recorded.changed else "unchanged",
        "member_id": statement.member_id,
        "channel": statement.channel,
        "purpose": statement.purpose,
        "granted": recorded.granted,
    }
