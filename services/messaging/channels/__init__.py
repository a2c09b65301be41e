"""The ways to reach members, behind one protocol."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from services.messaging.channels.base import Breaker, Channel, Endpoint, Outgoing
from services.messaging.channels.email import EmailChannel
from services.messaging.channels.log import LogChannel
from services.messaging.channels.webhook import (
    AddressRefused,
    WebhookCaller,
    WebhookChannel,
    check_url,
    new_secret,
    valid_secret,
)
from services.messaging.settings import MessagingSettings

__all__ = [
    "NEEDS_ADDRESS",
    "AddressRefused",
    "Channel",
    "Channels",
    "Endpoint",
    "Outgoing",
    "WebhookCaller",
    "check_url",
    "new_secret",
    "open_channels",
    "opened",
    "valid_secret",
]

NEEDS_ADDRESS: Final = {"email": True, "webhook": False, "log": False}


@dataclass(frozen=True, slots=True)
class Channels:
    """The channels of one process, with the connections they keep, and a breaker for each."""

    by_name: dict[str, Channel]
    caller: WebhookCaller
    breakers: dict[str, Breaker]

    def __getitem__(self, name: str) -> Channel:
        return self.by_name[name]


_opened: list[Channels] = []


def opened() -> Channels:
    """The channels that this process has open; jobs are handed nothing but the database."""
    return _opened[-1]


@asynccontextmanager
async def open_channels(settings: MessagingSettings) -> AsyncIterator[Channels]:
    """Open every channel and close them all afterwards. Connections are made when first needed."""
    caller = WebhookCaller(settings)
    members: list[Channel] = [EmailChannel(settings), WebhookChannel(caller), LogChannel()]
    channels = Channels(
        {channel.name: channel for channel in members},
        caller,
        {channel.name: Breaker() for channel in members},
    )
    _opened.append(channels)
    try:
        yield channels
    finally:
        _opened.remove(channels)
        for channel in members:
            await channel.close()
        await caller.close()
