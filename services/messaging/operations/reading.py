"""Reading the ledger: single messages, lists, and counts for the summary and for readiness."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from services.messaging.errors import MessageNotFound
from services.messaging.operations.persons import with_aliases
from services.messaging.repository import contacts, ledger, webhooks

__all__ = ["count_open", "count_open_deliveries", "find_message", "list_messages", "summarise"]


async def count_open(session: AsyncSession) -> int:
    """Messages whose fate is open."""
    return await ledger.count_open(session)


async def count_open_deliveries(session: AsyncSession) -> int:
    """Webhook deliveries whose fate is open."""
    return await webhooks.count_open_deliveries(session)


async def list_messages(
    session: AsyncSession,
    *,
    member_id: UUID | None,
    state: str | None,
    before: tuple[datetime, UUID] | None,
    limit: int,
) -> Sequence[Any]:
    """Rows of the ledger, the newest first; of a member, those of all ids of the person."""
    members = None if member_id is None else sorted(await with_aliases(session, [member_id]))
    return await ledger.list_messages(session, members=members, state=state, before=before, limit=limit)


async def find_message(session: AsyncSession, message_id: UUID) -> Any:
    """One row of the ledger; raises MessageNotFound."""
    row = await ledger.find_message(session, message_id)
    if row is None:
        raise MessageNotFound
    return row


async def summarise(session: AsyncSession) -> dict[str, Any]:
    """Messages by state and trigger, contacts, granted consents, open webhook deliveries."""
    return {
        "messages": await ledger.count_by_state(session),
        "by_trigger": await ledger.count_by_trigger(session),
        "contacts": await contacts.count_contacts(session),
        "consents": await contacts.count_consents(session),
        "open_deliveries": await webhooks.count_open_deliveries(session),
    }
