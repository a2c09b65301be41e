"""Counts for the summary endpoint and for readiness."""

from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from services.messaging.repository import contacts, ledger, webhooks

__all__ = ["count_open", "count_open_deliveries", "summarise"]


async def count_open(session: AsyncSession) -> int:
    """Messages whose fate is open."""
    return await ledger.count_open(session)


async def count_open_deliveries(session: AsyncSession) -> int:
    """Webhook deliveries whose fate is open."""
    return await webhooks.count_open_deliveries(session)


async def summarise(session: AsyncSession) -> dict[str, Any]:
    """Messages by state and trigger, contacts, granted consents, open webhook deliveries."""
    return {
        "messages": await ledger.count_by_state(session),
        "by_trigger": await ledger.count_by_trigger(session),
        "contacts": await contacts.count_contacts(session),
        "consents": await contacts.count_consents(session),
        "open_deliveries": await webhooks.count_open_deliveries(session),
    }
