"""What follows from any event that messaging hears: messages that it triggers, webhooks that are told."""

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncSession

from services.messaging.operations.planning import plan
from services.messaging.operations.webhooks import fan_out
from services.messaging.repository import templates
from shared.events import Envelope, Event

__all__ = ["awaited_types", "hear"]


async def awaited_types(session: AsyncSession) -> set[str]:
    """The event types that a trigger or a webhook waits for now."""
    return await templates.awaited_types(session)


async def hear(session: AsyncSession, events: Sequence[Envelope[Event]]) -> None:
    """Plan the messages and the webhook deliveries that events call for."""
    await plan(session, events)
    await fan_out(session, events)
