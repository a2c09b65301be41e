"""Publishing templates as versions that never change, previewing them, and naming triggers."""

import json
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

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
from services.messaging.operations import facts
from services.messaging.repository import contacts, templates, webhooks
from services.messaging.repository.templates import TemplateRow, TriggerRow
from services.messaging.settings import settings
from services.messaging.templates import (
    BadTemplate,
    Content,
    Rendered,
    RenderingFailed,
    content_hash,
    publishable,
    render,
)
from shared.conditions import ConditionError, parse

__all__ = [
    "Content",
    "TemplateRow",
    "TriggerRow",
    "current",
    "list_templates",
    "list_triggers",
    "preview",
    "publish",
    "replace_triggers",
]


async def list_templates(session: AsyncSession, *, after: str, limit: int) -> list[TemplateRow]:
    """Current versions by name."""
    return await templates.list_templates(session, after=after, limit=limit)


async def list_triggers(session: AsyncSession) -> list[TriggerRow]:
    """All enabled triggers in their order."""
    return await templates.list_triggers(session)


async def publish(session: AsyncSession, name: str, content: Content) -> tuple[TemplateRow, bool]:
    """Make `content` the current version; content that is current already stays the version it is.

    Returns the version and whether it is new. Raises InvalidTemplate.
    """
    try:
        publishable(content)
    except BadTemplate as bad:
        errors = [{"in": "body", "pointer": f"/{part}", "message": words} for part, words in bad.errors]
        raise InvalidTemplate(errors=errors) from bad
    digest = content_hash(content)
    version = await templates.lock_template(session, name)
    known = await templates.find_template(session, name) if version else None
    if known is not None and known.content_hash == digest:
        return known, False
    await templates.add_version(session, name, version + 1, content, digest)
    return await current(session, name), True


async def current(session: AsyncSession, name: str, version: int | None = None) -> TemplateRow:
    """A version of a template, the current one by default; raises TemplateNotFound."""
    found = await templates.find_template(session, name, version)
    if found is None:
        raise TemplateNotFound
    return found


async def preview(
    session: AsyncSession,
    name: str,
    version: int | None,
    *,
    member_id: UUID | None,
    values: Mapping[str, Any],
) -> tuple[TemplateRow, Rendered]:
    """A template filled in with the given values, and with a member's own where none are given.

    Raises TemplateNotFound, MemberUnknown, TemplateRenderingFailed.
    """
    template = await current(session, name, version)
    base: dict[str, Any] = {
        "member": {},
        "event": {},
        "shop": {"name": settings().mail_from_name},
        "unsubscribe_url": f"{settings().public_url.rstrip('/')}/u/preview",
    }
    if member_id is not None:
        member = await contacts.find_contact(session, member_id)
        if member is None:
            raise MemberUnknown
        base["member"] = member
    try:
        return template, render(template.content, template.content_hash, {**base, **values})
    except RenderingFailed as failed:
        raise TemplateRenderingFailed(str(failed), reason=failed.reason) from failed


async def replace_triggers(session: AsyncSession, wanted: Sequence[Mapping[str, Any]]) -> list[TriggerRow]:
    """Make these the triggers; refuses the whole list if one of them cannot work."""
    names: set[str] = set()
    for trigger in wanted:
        if trigger["name"] in names:
            raise TriggerNameTaken(f"{trigger['name']} is there twice.")
        names.add(trigger["name"])
        _check_trigger(trigger)
    missing = await templates.missing_templates(session, [trigger["template"] for trigger in wanted])
    if missing:
        raise TemplateNotFound(f"There is no template {missing[0]}.")
    endpoints: set[UUID] = {trigger["webhook_id"] for trigger in wanted if trigger["webhook_id"]}
    absent = endpoints - (await webhooks.find_webhooks(session, list(endpoints))).keys()
    if absent:
        raise WebhookNotFound(f"There is no webhook {min(absent)}.")
    rows = [{**trigger, "position": position} for position, trigger in enumerate(wanted)]
    await templates.replace_triggers(session, rows)
    return await templates.list_triggers(session)


def _check_trigger(trigger: Mapping[str, Any]) -> None:
    event = trigger["event"]
    if event not in facts.TRIGGERING:
        raise UnknownEventForTrigger(f"Known are: {', '.join(sorted(facts.TRIGGERING))}.")
    if (trigger["channel"] == "webhook") != (trigger["webhook_id"] is not None):
        raise WebhookRequired
    fields = facts.event_fields(event)
    occurrence = trigger["occurrence"]
    if occurrence is not None and occurrence not in fields:
        raise UnknownEventForTrigger(f"{event} has no field {occurrence}.")
    if trigger["condition"] is None:
        return
    try:
        parse(json.loads(json.dumps(trigger["condition"])), fields)
    except ConditionError as error:
        raise InvalidCondition(error.message, pointer=error.pointer) from error
