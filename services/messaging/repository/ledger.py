"""Reading the message ledger: single messages, lists and counts."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

__all__ = ["count_by_state", "count_by_trigger", "count_open", "find_message", "list_messages"]

COUNT_OPEN = text(
    "SELECT (SELECT count(*) FROM messages WHERE state = 'queued')"
    " + (SELECT count(*) FROM messages WHERE state = 'held')"
    " + (SELECT count(*) FROM messages WHERE state IN ('claimed', 'submitted'))"
)


async def count_open(session: AsyncSession) -> int:
    """Messages that are not in a final state."""
    return int(await session.scalar(COUNT_OPEN) or 0)


async def count_by_state(session: AsyncSession) -> dict[str, int]:
    """Messages by state."""
    rows = await session.execute(text("SELECT state, count(*) AS n FROM messages GROUP BY state"))
    return {row.state: row.n for row in rows}


async def count_by_trigger(session: AsyncSession) -> dict[str, dict[str, int]]:
    """Messages by trigger and state."""
    rows = await session.execute(
        text("SELECT trigger, state, count(*) AS n FROM messages GROUP BY trigger, state")
    )
    counts: dict[str, dict[str, int]] = {}
    for row in rows:
        counts.setdefault(row.trigger, {})[row.state] = row.n
    return counts


MESSAGE_COLUMNS = """
    id, trigger, member_id, occurrence, channel, purpose, template, template_version, event_type, state,
    reason, verdicts, attempts, planned_at, due_at, submitted_at, settled_at
"""
FIND_MESSAGE = text(f"SELECT {MESSAGE_COLUMNS} FROM messages WHERE id = :id")  # noqa: S608 - constants only
LIST_MESSAGES = text(
    f"""
    SELECT {MESSAGE_COLUMNS} FROM messages
    WHERE (CAST(:members AS uuid[]) IS NULL OR member_id = ANY(CAST(:members AS uuid[])))
      AND (CAST(:state AS text) IS NULL OR state = :state)
      AND (CAST(:before_at AS timestamptz) IS NULL
           OR (planned_at, id) < (:before_at, CAST(:before_id AS uuid)))
    ORDER BY planned_at DESC, id DESC LIMIT :limit
    """  # noqa: S608 - constants only
)


async def find_message(session: AsyncSession, message_id: UUID) -> Any | None:
    """One row of the ledger, or None."""
    return (await session.execute(FIND_MESSAGE, {"id": message_id})).one_or_none()


async def list_messages(
    session: AsyncSession,
    *,
    members: Sequence[UUID] | None,
    state: str | None,
    before: tuple[datetime, UUID] | None,
    limit: int,
) -> Sequence[Any]:
    """Rows of the ledger, the newest first."""
    result = await session.execute(
        LIST_MESSAGES,
        {
            "members": members,
            "state": state,
            "before_at": before[0] if before else None,
            "before_id": before[1] if before else None,
            "limit": limit,
        },
    )
    return result.all()
