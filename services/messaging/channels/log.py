"""The log channel: says that a message would have gone out. For trying triggers, and for tests."""

from collections.abc import Sequence

import structlog

from services.messaging.channels.base import Outgoing
from services.messaging.domain import Outcome, OutcomeKind

__all__ = ["LogChannel"]

log = structlog.get_logger("regulars.messaging.log_channel")


class LogChannel:
    """Logs ids and sizes, never what a message says or to whom."""

    name = "log"
    needs_address = False

    async def send(self, batch: Sequence[Outgoing]) -> list[Outcome]:
        """Log every message."""
        for message in batch:
            log.info(
                "message.logged",
                message_id=str(message.id),
                member_id=str(message.member_id),
                trigger=message.trigger,
                text_bytes=len(message.text.encode()),
            )
        return [Outcome(OutcomeKind.DELIVERED, "logged")] * len(batch)

    async def close(self) -> None:
        """There is nothing to close."""
