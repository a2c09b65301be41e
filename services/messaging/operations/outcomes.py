"""What messaging says about a message when its fate is decided: ids and reasons, never an address."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from services.messaging.domain import State
from services.messaging.repository.messages import Standing
from shared.clock import utc_now
from shared.events import Event, MessageDelivered, MessageDropped, MessageFailed, MessageSent
from shared.outbox import emit

__all__ = ["announce"]


async def announce(session: AsyncSession, fates: Sequence[tuple[Standing, State]]) -> None:
    """Say what happened to messages that this transaction moved, and so locked."""
    events: list[Event] = []
    now = utc_now()
    for message, state in fates:
        about: dict[str, Any] = {
            "message_id": message.id,
            "member_id": message.member_id,
            "channel": message.channel,
            "purpose": message.purpose,
            "template": f"{message.template}@{message.template_version}",
            "trigger": message.trigger,
        }
        if state in (State.ACCEPTED, State.DELIVERED):
            events.append(MessageSent(**about, sent_at=now))
        if state is State.DELIVERED:
            events.append(MessageDelivered(**about, delivered_at=now))
        elif state is State.FAILED:
            events.append(MessageFailed(**about, reason=message.reason, failed_at=now))
        elif state is State.DROPPED:
            events.append(MessageDropped(**about, reason=message.reason, dropped_at=now))
    await emit(session, events)
