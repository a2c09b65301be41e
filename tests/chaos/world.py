"""A whole platform: five processes, on real servers that write durably."""

import os
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from cli.platform import SERVICES
from cli.platform.home import Bus
from cli.platform.platform import Platform, free_ports
from services.messaging.settings import MessagingSettings
from tests.chaos.storefront import Books, Storefront

__all__ = ["World", "running"]

# Mails that messaging has handed over at once without knowing yet how they ended.
ON_THE_WIRE: int = (
    MessagingSettings.model_fields["dispatch_lanes"].default
    * MessagingSettings.model_fields["dispatch_wave_messages"].default
)

SETTINGS = {
    # A mail that was on the wire when its sender was killed is looked at again after this long.
    "REGULARS_MESSAGING_DISPATCH_LEASE_SECONDS": "3",
    "REGULARS_BUS_PING_SECONDS": "1",
}


@dataclass
class World:
    """A platform that runs, and what has been handed over to it."""

    platform: Platform
    books: Books = field(default_factory=Books)
    mails_twice: int = 0

    @property
    def pids(self) -> dict[str, int | None]:
        """The process of each service."""
        return {service: self.platform.pid(service) for service in SERVICES}

    @property
    def storefront(self) -> Storefront:
        """Somebody who sends orders."""
        return Storefront(self.platform, self.books)

    def cut_off_the_sender(self, times: int) -> None:
        """Take note that messaging, or the database with its ledger, was killed so often.

        Nobody can know whether the mails that were on the wire then had arrived, so they go out once more.
        """
        self.mails_twice += ON_THE_WIRE * times

    @contextmanager
    def unattended(self) -> Iterator[None]:
        """Nobody starts a dead server again inside."""
        _, keeper = self.platform.restarts()["keeper"]
        os.kill(keeper, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(keeper, signal.SIGCONT)


@contextmanager
def running(bus: Bus) -> Iterator[World]:
    """A platform on free ports, stopped afterwards."""
    *ports, mail_port = free_ports(len(SERVICES) + 1)
    with tempfile.TemporaryDirectory(prefix="regulars-chaos-", ignore_cleanup_errors=True) as directory:
        platform = Platform(
            Path(directory),
            bus=bus,
            ports=dict(zip(SERVICES, ports, strict=True)),
            mail_port=mail_port,
            settings=SETTINGS,
            durable=True,
        )
        with platform:
            yield World(platform)
