"""Settings, channels and a mail sink for the tests of messaging."""

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from services.messaging.channels import Channels, open_channels
from services.messaging.settings import MessagingSettings, settings
from tests.messaging.sink import Sink


@pytest.fixture
def sink() -> Iterator[Sink]:
    """A mail server that is up."""
    server = Sink()
    server.start()
    yield server
    server.stop()


@pytest.fixture
def configured(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., MessagingSettings]]:
    """Change settings for one test."""

    def configure(**values: Any) -> MessagingSettings:
        for name, value in values.items():
            monkeypatch.setenv(f"REGULARS_MESSAGING_{name.upper()}", str(value))
        settings.cache_clear()
        return settings()

    yield configure
    monkeypatch.undo()
    settings.cache_clear()


@pytest.fixture
async def channels(sink: Sink, configured: Callable[..., MessagingSettings]) -> AsyncIterator[Channels]:
    """Channels whose mail goes to the sink, with short waits."""
    chosen = configured(
        smtp_port=sink.port,
        smtp_connections=4,
        retry_base_seconds=0.01,
        retry_cap_seconds=0.05,
        dispatch_wave_messages=4,
        webhook_allow_private="true",
    )
    async with open_channels(chosen) as opened:
        yield opened
