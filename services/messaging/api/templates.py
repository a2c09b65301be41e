"""Routes for templates and triggers."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Response
from pydantic import Field

from services.messaging import operations
from services.messaging.errors import (
    InvalidCondition,
    InvalidTemplate,
    MemberUnknown,
    TemplateNotFound,
    TemplateRenderingFailed,
    TriggerNameTaken,
    UnknownEventForTrigger,
    WebhookNotFound,
    WebhookRequired,
)
from services.messaging.operations.templates import TemplateRow, TriggerRow
from services.messaging.schemas import (
    MAX_TRIGGERS,
    NAME_PATTERN,
    PreviewIn,
    PreviewOut,
    TemplateIn,
    TemplateOut,
    TriggerIn,
    TriggerOut,
    Triggers,
)
from services.messaging.templates import Content
from shared.auth import require
from shared.edge import Transaction, TransactionalRoute
from shared.pagination import DEFAULT_LIMIT, Cursor, Limit, Page, cut, decode_cursor
from shared.problems import problem_responses

__all__ = ["router"]

router = APIRouter(prefix="/v1", route_class=TransactionalRoute, tags=["content"])

TemplateName = Annotated[str, Path(pattern=NAME_PATTERN)]
READ = [Depends(require("messaging:read"))]
WRITE = [Depends(require("messaging:write"))]


def _template(row: TemplateRow) -> TemplateOut:
    content = row.content
    return TemplateOut(
        name=row.name,
        version=row.version,
        subject=content.subject,
        text=content.text,
        html=content.html,
        variables={name: dict(policy) for name, policy in content.variables.items()},
        content_hash=row.content_hash.hex(),
        created_at=row.created_at,
    )


def _trigger(row: TriggerRow) -> TriggerOut:
    return TriggerOut.model_validate(row, from_attributes=True)


@router.put(
    "/templates/{name}",
    dependencies=WRITE,
    responses={201: {"model": TemplateOut}, **problem_responses(InvalidTemplate)},
)
async def put_template(
    name: TemplateName, body: TemplateIn, session: Transaction, response: Response
) -> TemplateOut:
    """Publish content as a new version (201), or find that it is the current one already (200)."""
    policies = {path: policy.model_dump(exclude_none=True) for path, policy in body.variables.items()}
    row, new = await operations.publish(session, name, Content(body.subject, body.text, body.html, policies))
    response.status_code = 201 if new else 200
    return _template(row)


@router.get("/templates", dependencies=READ)
async def get_templates(
    session: Transaction, cursor: Cursor = None, limit: Limit = DEFAULT_LIMIT
) -> Page[TemplateOut]:
    """Current versions by name."""
    after = decode_cursor(cursor, dict[str, str]).get("name", "") if cursor else ""
    rows, following = cut(
        await operations.list_templates(session, after=after, limit=limit + 1),
        limit,
        lambda row: {"name": row.name},
    )
    return Page(items=[_template(row) for row in rows], next_cursor=following)


@router.get("/templates/{name}", dependencies=READ, responses=problem_responses(TemplateNotFound))
async def get_template(
    name: TemplateName,
    session: Transaction,
    version: Annotated[int | None, Query(ge=1, le=1_000_000)] = None,
) -> TemplateOut:
    """The current version of a template, or the one asked for."""
    return _template(await operations.current(session, name, version))


@router.post(
    "/templates/{name}/preview",
    dependencies=READ,
    responses=problem_responses(MemberUnknown, TemplateNotFound, TemplateRenderingFailed),
)
async def preview_template(name: TemplateName, body: PreviewIn, session: Transaction) -> PreviewOut:
    """Fill a template in without sending anything; with `member_id`, for that member."""
    row, rendered = await operations.preview(
        session, name, body.version, member_id=body.member_id, values=body.variables
    )
    return PreviewOut(
        name=row.name,
        version=row.version,
        subject=rendered.subject,
        text=rendered.text,
        html=rendered.html,
    )


@router.get("/triggers", dependencies=READ)
async def get_triggers(session: Transaction) -> Triggers:
    """All triggers."""
    return Triggers(items=[_trigger(row) for row in await operations.list_triggers(session)])


@router.put(
    "/triggers",
    dependencies=WRITE,
    responses=problem_responses(
        InvalidCondition,
        TemplateNotFound,
        TriggerNameTaken,
        UnknownEventForTrigger,
        WebhookNotFound,
        WebhookRequired,
    ),
)
async def put_triggers(
    body: Annotated[list[TriggerIn], Field(max_length=MAX_TRIGGERS)], session: Transaction
) -> Triggers:
    """Replace the triggers. One that stays keeps hearing; one that goes is switched off."""
    wanted = [
        {
            **trigger.model_dump(),
            "name": trigger.name or f"{trigger.event}.{trigger.channel}.{trigger.template}"[:64],
        }
        for trigger in body
    ]
    rows = await operations.replace_triggers(session, wanted)
    return Triggers(items=[_trigger(row) for row in rows])
