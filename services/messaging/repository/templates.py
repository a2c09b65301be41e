"""Statements about templates and triggers."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from services.messaging.templates import Content

__all__ = [
    "TemplateRow",
    "TriggerRow",
    "add_version",
    "awaited_types",
    "find_template",
    "list_templates",
    "list_triggers",
    "load_contents",
    "lock_template",
    "missing_templates",
    "replace_triggers",
    "triggers_of",
]


@dataclass(frozen=True, slots=True)
class TemplateRow:
    """A version of a template."""

    name: str
    version: int
    content: Content
    content_hash: bytes
    created_at: datetime


@dataclass(frozen=True, slots=True)
class TriggerRow:
    """A trigger as stored; `version` is the current version of its template."""

    name: str
    event: str
    condition: Any | None
    template: str
    version: int
    channel: str
    purpose: str
    occurrence: str | None
    webhook_id: UUID | None
    enabled_from: datetime | None


VERSION_COLUMNS = "v.name, v.version, v.subject, v.text, v.html, v.variables, v.content_hash, v.created_at"

LOCK_TEMPLATE = text(
    """
    INSERT INTO templates (name, current_version) VALUES (:name, 0)
    ON CONFLICT (name) DO UPDATE SET updated_at = templates.updated_at
    RETURNING current_version
    """
)
ADD_VERSION = text(
    """
    WITH moved AS (
        UPDATE templates SET current_version = :version, updated_at = clock_timestamp() WHERE name = :name)
    INSERT INTO template_versions (name, version, subject, text, html, variables, content_hash)
    VALUES (:name, :version, :subject, :text, :html, CAST(:variables AS jsonb), :content_hash)
    """
)
FIND_TEMPLATE = text(
    f"""
    SELECT {VERSION_COLUMNS}
    FROM templates t JOIN template_versions v
      ON v.name = t.name AND v.version = COALESCE(CAST(:version AS integer), t.current_version)
    WHERE t.name = :name
    """  # noqa: S608 - column names only
)
LIST_TEMPLATES = text(
    f"""
    SELECT {VERSION_COLUMNS}
    FROM templates t JOIN template_versions v ON v.name = t.name AND v.version = t.current_version
    WHERE t.name > :after
    ORDER BY t.name LIMIT :limit
    """  # noqa: S608 - column names only
)
LOAD_CONTENTS = text(
    f"""
    SELECT {VERSION_COLUMNS}
    FROM template_versions v
    JOIN unnest(CAST(:names AS text[]), CAST(:versions AS integer[])) AS w(name, version)
      ON w.name = v.name AND w.version = v.version
    """  # noqa: S608 - column names only
)
MISSING_TEMPLATES = text(
    """
    SELECT name FROM unnest(CAST(:names AS text[])) AS w(name)
    WHERE NOT EXISTS (SELECT FROM templates t WHERE t.name = w.name)
    """
)
TRIGGER_COLUMNS = """
    t.name, t.event, t.condition, t.template, p.current_version AS version, t.channel, t.purpose,
    t.occurrence, t.webhook_id, t.enabled_from
"""
TRIGGERS_OF = text(
    f"""
    SELECT {TRIGGER_COLUMNS} FROM triggers t JOIN templates p ON p.name = t.template
    WHERE t.enabled_from IS NOT NULL AND t.event = ANY(CAST(:events AS text[]))
    ORDER BY t.position, t.name
    """  # noqa: S608 - column names only
)
LIST_TRIGGERS = text(
    f"""
    SELECT {TRIGGER_COLUMNS} FROM triggers t JOIN templates p ON p.name = t.template
    WHERE t.enabled_from IS NOT NULL
    ORDER BY t.position, t.name
    """  # noqa: S608 - column names only
)
DISABLE_OTHERS = text(
    """
    UPDATE triggers SET enabled_from = NULL
    WHERE enabled_from IS NOT NULL AND NOT name = ANY(CAST(:names AS text[]))
    """
)
SAVE_TRIGGERS = text(
    """
    INSERT INTO triggers (name, event, condition, template, channel, purpose, occurrence, webhook_id,
                          position, enabled_from)
    SELECT t.name, t.event, t.condition, t.template, t.channel, t.purpose, t.occurrence, t.webhook_id,
           t.position, clock_timestamp()
    FROM jsonb_to_recordset(CAST(:triggers AS jsonb)) AS t(
        name text, event text, condition jsonb, template text, channel text, purpose text, occurrence text,
        webhook_id uuid, position integer)
    ORDER BY t.name
    ON CONFLICT (name) DO UPDATE SET
        event = excluded.event, condition = excluded.condition, template = excluded.template,
        channel = excluded.channel, purpose = excluded.purpose, occurrence = excluded.occurrence,
        webhook_id = excluded.webhook_id, position = excluded.position,
        enabled_from = CASE WHEN triggers.event = excluded.event
                            THEN COALESCE(triggers.enabled_from, excluded.enabled_from)
                            ELSE excluded.enabled_from END
    """
)

AWAITED_TYPES = text(
    """
    SELECT event FROM triggers WHERE enabled_from IS NOT NULL
    UNION
    SELECT unnest(event_types) FROM webhooks WHERE disabled_at IS NULL
    """
)


def _template(row: Any) -> TemplateRow:
    content = Content(row.subject, row.text, row.html, row.variables)
    return TemplateRow(row.name, row.version, content, row.content_hash, row.created_at)


async def lock_template(session: AsyncSession, name: str) -> int:
    """Lock a template, making it if need be; return its current version, 0 for a new one."""
    return int(await session.scalar(LOCK_TEMPLATE, {"name": name}) or 0)


async def add_version(
    session: AsyncSession, name: str, version: int, content: Content, content_hash: bytes
) -> None:
    """Add a version and make it the current one."""
    await session.execute(
        ADD_VERSION,
        {
            "name": name,
            "version": version,
            "subject": content.subject,
            "text": content.text,
            "html": content.html,
            "variables": json.dumps(content.variables),
            "content_hash": content_hash,
        },
    )


async def find_template(session: AsyncSession, name: str, version: int | None = None) -> TemplateRow | None:
    """A version of a template, the current one by default."""
    row = (await session.execute(FIND_TEMPLATE, {"name": name, "version": version})).one_or_none()
    return None if row is None else _template(row)


async def list_templates(session: AsyncSession, *, after: str, limit: int) -> list[TemplateRow]:
    """Current versions by name."""
    result = await session.execute(LIST_TEMPLATES, {"after": after, "limit": limit})
    return [_template(row) for row in result]


async def load_contents(
    session: AsyncSession, versions: set[tuple[str, int]]
) -> dict[tuple[str, int], TemplateRow]:
    """The named versions."""
    names, numbers = [name for name, _ in versions], [number for _, number in versions]
    result = await session.execute(LOAD_CONTENTS, {"names": names, "versions": numbers})
    return {(row.name, row.version): _template(row) for row in result}


async def missing_templates(session: AsyncSession, names: Sequence[str]) -> list[str]:
    """Which of the names are not templates."""
    return list((await session.scalars(MISSING_TEMPLATES, {"names": list(names)})).all())


def _trigger(row: Any) -> TriggerRow:
    return TriggerRow(**row._mapping)


async def awaited_types(session: AsyncSession) -> set[str]:
    """Event types that an enabled trigger or webhook names."""
    return set((await session.scalars(AWAITED_TYPES)).all())


async def triggers_of(session: AsyncSession, event_types: set[str]) -> list[TriggerRow]:
    """Enabled triggers on any of the event types."""
    result = await session.execute(TRIGGERS_OF, {"events": list(event_types)})
    return [_trigger(row) for row in result]


async def list_triggers(session: AsyncSession) -> list[TriggerRow]:
    """All enabled triggers in their order."""
    return [_trigger(row) for row in await session.execute(LIST_TRIGGERS)]


async def replace_triggers(session: AsyncSession, triggers: Sequence[Mapping[str, Any]]) -> None:
    """Make these the enabled triggers. One that stays on the same event keeps hearing from when it did.

    Others are switched off, not deleted: their names stay taken, since message ids follow from them.
    """
    await session.execute(DISABLE_OTHERS, {"names": [trigger["name"] for trigger in triggers]})
    if triggers:
        await session.execute(SAVE_TRIGGERS, {"triggers": json.dumps(list(triggers), default=str)})
