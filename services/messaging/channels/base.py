"""What every channel is: something that takes a batch of messages and says what became of each."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from services.messaging.domain import Outcome
from shared.backoff import Backoff

__all__ = ["Breaker", "Channel", "Endpoint", "Outgoing"]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a webhook goes, and the secret that signs it."""

    url: str
    secret: str


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A rendered message. `unsubscribe_url` is there for marketing only."""

    id: UUID
    member_id: UUID
    purpose: str
    trigger: str
    subject: str
    text: str
    html: str | None
    address: str | None = None
    unsubscribe_url: str | None = None
    endpoint: Endpoint | None = None


class Breaker:
    """Keeps a dispatcher away from a provider that is away, for longer after every vain try."""

    def __init__(self) -> None:
        self._backoff = Backoff(base_seconds=0.2, cap_seconds=10.0)
        self._closed_at = 0.0

    @property
    def is_open(self) -> bool:
        """Whether nothing should be tried yet."""
        return time.monotonic() < self._closed_at

    def trip(self) -> None:
        """The provider took nothing at all."""
        self._closed_at = time.monotonic() + self._backoff.next_seconds()

    def reset(self) -> None:
        """The provider answered."""
        self._backoff.reset()
        self._closed_at = 0.0


class Channel(Protocol):
    """A way to reach members. `needs_address` says whether a message has to have one."""

    name: str
    needs_address: bool

    async def send(self, batch: Sequence[Outgoing]) -> list[Outcome]:
        """Try every message once; the outcomes are in the order of the batch. Never raises for a message."""
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...
