"""Profiles: what is said about members, and the schema of the attributes that a program adds."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Body, Depends, Header, Request, Response

from services.members import operations
from services.members.api.answers import answer, batch_of, batch_route, etag, member_out, revisions_of
from services.members.domain import ATTRIBUTES
from services.members.errors import (
    AttributeSchemaInvalid,
    AttributesInvalid,
    BirthdayChangeLimitReached,
    MemberErased,
    MemberNotFound,
    RevisionConflict,
)
from services.members.operations import AttributeSchema, ProfileChange, ProfileChanged
from services.members.schemas import (
    ATTRIBUTE_SCHEMA_EXAMPLE,
    AttributeSchemaOut,
    AttributeSchemaReplaced,
    MemberOut,
    ProfileChangeIn,
    ProfilePatch,
    ProfileResult,
)
from shared.auth import Caller, require
from shared.batches import only
from shared.clock import utc_now
from shared.edge import DryRun, Transaction, TransactionalRoute
from shared.problems import (
    InvalidRequest,
    problem_responses,
)
from shared.schemas import JsonObject

__all__ = ["router"]

router = APIRouter(prefix="/v1", route_class=TransactionalRoute)

Reader = Annotated[Caller, Depends(require("members:read"))]
Writer = Annotated[Caller, Depends(require("members:write"))]
Admin = Annotated[Caller, Depends(require("members:admin"))]

RULES = (MemberErased, MemberNotFound, RevisionConflict, BirthdayChangeLimitReached, AttributesInvalid)


@router.patch("/members/{member_id:uuid}", tags=["members"], responses=problem_responses(*RULES))
async def change_profile(
    member_id: UUID,
    patch: ProfilePatch,
    session: Transaction,
    caller: Writer,
    response: Response,
    if_match: Annotated[
        str | None,
        Header(max_length=1000, description="The `ETag` that was read: refused if the member changed since."),
    ] = None,
    dry_run: DryRun = False,
) -> MemberOut:
    """Change what is known about a member by a merge patch (RFC 7396); null takes a value away."""
    change = ProfileChange(
        member=member_id,
        attributes=_attributes(patch),
        stated_at=utc_now(),
        own_attributes=_own_attributes(patch),
        expected_revisions=revisions_of(if_match),
    )
    only(await operations.change_profiles(session, [change], actor=caller.key_id))
    row = await operations.read_member(session, member_id)
    response.headers["ETag"] = etag(row["revision"])
    return member_out(row)


@router.post(
    "/members/profiles",
    tags=["members"],
    **batch_route(ProfileChangeIn, ProfileResult, *RULES, lines=True),
)
async def change_profiles(
    request: Request, session: Transaction, caller: Writer, dry_run: DryRun = False
) -> Response:
    """Change a member, or up to 1,000, named by id or as a source knows them; each item is a merge patch."""
    batch = await batch_of(ProfileChangeIn, request)
    commands = [_change(item) for item in batch.good]
    results = await operations.change_profiles(session, commands, actor=caller.key_id)
    return answer(batch, results, _profile_changed)


def _change(item: ProfileChangeIn) -> ProfileChange:
    if item.member_id is not None:
        member: UUID | tuple[str, str] = item.member_id
    else:
        assert item.source is not None, "the model sees to that"
        assert item.external_id is not None, "the model sees to that"
        member = (item.source, item.external_id)
    return ProfileChange(
        member=member,
        attributes=_attributes(item),
        stated_at=item.stated_at or utc_now(),
        own_attributes=_own_attributes(item),
        expected_revisions=None if item.revision is None else frozenset({item.revision}),
    )


def _attributes(patch: ProfilePatch) -> dict[str, Any]:
    return {name: getattr(patch, name) for name in ATTRIBUTES if name in patch.model_fields_set}


def _own_attributes(patch: ProfilePatch) -> dict[str, Any] | None:
    return patch.attributes if "attributes" in patch.model_fields_set else {}


def _profile_changed(changed: ProfileChanged) -> dict[str, Any]:
    return {
        "status": "accepted" if changed.changed else "unchanged",
        "member_id": changed.member_id,
        "revision": changed.revision,
    }


@router.get("/attribute-schema", tags=["program"])
async def read_attribute_schema(session: Transaction, caller: Reader) -> AttributeSchemaOut:
    """Read the JSON Schema that the program's own attributes keep to."""
    return AttributeSchemaOut.model_validate(_schema(await operations.read_attribute_schema(session)))


@router.put(
    "/attribute-schema",
    tags=["program"],
    responses=problem_responses(AttributeSchemaInvalid, InvalidRequest),
)
async def replace_attribute_schema(
    body: Annotated[JsonObject, Body(examples=[ATTRIBUTE_SCHEMA_EXAMPLE])],
    session: Transaction,
    caller: Admin,
    dry_run: DryRun = False,
) -> AttributeSchemaReplaced:
    """Set the JSON Schema (2020-12) of the program's own attributes; `dry_run` counts who would violate it.

    Formats are checked. References lead into the schema itself, never elsewhere.
    """
    replaced = await operations.replace_attribute_schema(session, body, actor=caller.key_id)
    return AttributeSchemaReplaced.model_validate(
        _schema(replaced.schema)
        | {
            "members_checked": replaced.members_checked,
            "members_violating": replaced.members_violating,
            "is_complete": replaced.is_complete,
        }
    )


def _schema(schema: AttributeSchema) -> dict[str, Any]:
    return {"version": schema.version, "json_schema": schema.document}
