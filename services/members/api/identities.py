"""Further names of members, and pairs of members that look like one person."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec
from fastapi import APIRouter, Depends, Request, Response

from services.members import operations
from services.members.api.answers import answer, batch_of, batch_route
from services.members.domain import ContactPoint
from services.members.errors import (
    IdentityTaken,
    MemberErased,
    MemberNotFound,
    SuggestionNotFound,
)
from services.members.operations import Addressed, Addressing, Dismissal, Dismissed, Identified, Identity
from services.members.schemas import (
    AddressIn,
    AddressResult,
    DismissalIn,
    DismissalResult,
    IdentityIn,
    IdentityResult,
    SuggestionOut,
)
from shared.auth import Caller, require
from shared.edge import DryRun, Transaction, TransactionalRoute
from shared.pagination import DEFAULT_LIMIT, Cursor, Limit, Page, cut, decode_cursor

__all__ = ["router"]

router = APIRouter(prefix="/v1", route_class=TransactionalRoute, tags=["members"])

Reader = Annotated[Caller, Depends(require("members:read"))]
Writer = Annotated[Caller, Depends(require("members:write"))]


@router.post(
    "/members/identities",
    **batch_route(IdentityIn, IdentityResult, MemberNotFound, MemberErased, IdentityTaken),
)
async def identify_members(
    request: Request, session: Transaction, caller: Writer, dry_run: DryRun = False
) -> Response:
    """Give members further names under which sources know them, up to 1,000 at once."""
    batch = await batch_of(IdentityIn, request)
    commands = [Identity(item.member_id, (item.source, item.external_id)) for item in batch.good]
    results = await operations.identify_members(session, commands)
    return answer(batch, results, _identified)


def _identified(result: Identified) -> dict[str, Any]:
    source, external_id = result.identity.customer
    return {
        "status": "accepted" if result.changed else "unchanged",
        "member_id": result.person_id,
        "source": source,
        "external_id": external_id,
    }


@router.post(
    "/members/contact-points",
    **batch_route(AddressIn, AddressResult, MemberNotFound, MemberErased),
)
async def add_addresses(
    request: Request, session: Transaction, caller: Writer, dry_run: DryRun = False
) -> Response:
    """Add addresses to members, up to 1,000 at once; a verified one tells who an unknown name is.

    Beyond the limit per member an address is left. One that somebody else proved too is a merge suggestion.
    """
    batch = await batch_of(AddressIn, request)
    commands = [_addressing(item) for item in batch.good]
    results = await operations.add_addresses(session, commands)
    return answer(batch, results, _addressed)


def _addressing(item: AddressIn) -> Addressing:
    point = ContactPoint(item.channel, item.address, item.verified)
    if item.member_id is not None:
        return Addressing(item.member_id, point)
    assert item.source is not None, "the model asks for it"
    assert item.external_id is not None, "the model asks for it"
    return Addressing((item.source, item.external_id), point)


def _addressed(result: Addressed) -> dict[str, Any]:
    return {
        "status": "accepted",
        "member_id": result.person_id,
        "channel": result.point.channel,
        "address": result.point.address,
    }


class SuggestionPosition(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a page of suggestions ends."""

    suggested_at: datetime
    member_id: UUID
    other_id: UUID


@router.get("/merge-suggestions")
async def read_suggestions(
    session: Transaction, caller: Reader, cursor: Cursor = None, limit: Limit = DEFAULT_LIMIT
) -> Page[SuggestionOut]:
    """Read pairs of members who proved the same address theirs; a merge accepts a suggestion."""
    after = None if cursor is None else decode_cursor(cursor, SuggestionPosition)
    rows = await operations.read_suggestions(
        session,
        after=None if after is None else (after.suggested_at, after.member_id, after.other_id),
        limit=limit + 1,
    )
    page, next_cursor = cut(
        rows, limit, lambda row: SuggestionPosition(row["suggested_at"], row["one_id"], row["other_id"])
    )
    items = [
        SuggestionOut(
            member_id=row["one_id"],
            other_id=row["other_id"],
            channel=row["channel"],
            suggested_at=row["suggested_at"],
        )
        for row in page
    ]
    return Page(items=items, next_cursor=next_cursor)


@router.post(
    "/merge-suggestions/dismissals",
    **batch_route(DismissalIn, DismissalResult, SuggestionNotFound),
)
async def dismiss_suggestions(
    request: Request, session: Transaction, caller: Writer, dry_run: DryRun = False
) -> Response:
    """Say of pairs, up to 1,000 at once, that they are two people; they are not suggested again."""
    batch = await batch_of(DismissalIn, request)
    commands = [
        Dismissal((item.member_id, item.other_id), item.actor or caller.key_id) for item in batch.good
    ]
    results = await operations.dismiss_suggestions(session, commands)
    return answer(batch, results, _dismissed)


def _dismissed(result: Dismissed) -> dict[str, Any]:
    one_id, other_id = result.pair
    return {
        "status": "accepted" if result.changed else "unchanged",
        "member_id": one_id,
        "other_id": other_id,
    }
