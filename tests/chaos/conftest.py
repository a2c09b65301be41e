"""Two whole platforms, one on each bus: five processes each, on real servers that write durably."""

import os
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from cli.embedded.kafka import unavailable_reason
from cli.platform import SERVICES, Platform, free_ports
from cli.platform.home import Bus
from tests.chaos.storefront import Books, Storefront

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
    # Mails that may have gone out twice, because whoever sent them was killed meanwhile.
    mails_twice: int = 0

    @property
    def pids(self) -> dict[str, int | None]:
        """The process of each service."""
        return {service: self.platform.pid(service) for service in SERVICES}

    @property
    def storefront(self) -> Storefront:
        """Somebody who sends orders."""
        return Storefront(self.platform, self.books)

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


@pytest.fixture(scope="package")
def world() -> Iterator[World]:
    """The platform on the bus in PostgreSQL."""
    with running("postgres") as world:
        yield world


@pytest.fixture(scope="package")
def kafka_world() -> Iterator[World]:
    """The platform on Kafka. Skips with the reason where Kafka cannot run, and fails under CI=true."""
    reason = unavailable_reason()
    if reason is not None:
        if os.environ.get("CI") == "true":
            pytest.fail(f"Kafka cannot run here: {reason}")
        pytest.skip(f"Kafka cannot run here: {reason}")
    with running("kafka") as world:
        yield world
