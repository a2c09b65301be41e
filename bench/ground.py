"""Servers for the bench: PostgreSQL with real fsync and Kafka, in a temporary folder, gone afterwards."""

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from cli.embedded.kafka import EmbeddedKafka
from cli.embedded.postgres import EmbeddedPostgres
from cli.platform.home import SERVICES
from cli.platform.platform import Platform, free_ports
from shared import migrations
from shared.bus import Bus, connect
from shared.database import Database
from shared.events import TOPICS

__all__ = [
    "alone",
    "drained",
    "kafka_bus",
    "kafka_server",
    "named_database",
    "postgres_bus",
    "postgres_server",
    "running_platform",
    "service_database",
]

DRAIN_TIMEOUT_SECONDS = 60.0
DRAIN_POLL_SECONDS = 0.2


@contextmanager
def postgres_server(
    *, durable: bool = True, settings: Mapping[str, str] | None = None
) -> Iterator[EmbeddedPostgres]:
    """Yield a PostgreSQL, with `settings` that are other than ours. It is durable unless a figure only reads:
    one of writing without fsync would be a figure of something else.
    """
    with tempfile.TemporaryDirectory(prefix="regulars-bench-") as folder:
        server = EmbeddedPostgres(Path(folder) / "postgres", durable=durable, settings=settings).start()
        try:
            yield server
        finally:
            server.stop()


@contextmanager
def kafka_server() -> Iterator[EmbeddedKafka]:
    """Yield a Kafka broker of its own."""
    with tempfile.TemporaryDirectory(prefix="regulars-bench-") as folder:
        server = EmbeddedKafka(Path(folder) / "kafka").start()
        try:
            yield server
        finally:
            server.stop()


@asynccontextmanager
async def kafka_bus(server: EmbeddedKafka) -> AsyncIterator[Bus]:
    """Yield a bus on the broker with every topic of the catalogue."""
    bus = connect("kafka", bootstrap=server.bootstrap)
    await bus.start()
    try:
        await bus.ensure_topics(TOPICS.values())
        yield bus
    finally:
        await bus.close()


@asynccontextmanager
async def postgres_bus(server: EmbeddedPostgres) -> AsyncIterator[Bus]:
    """Yield a bus in a database of its own with every topic of the catalogue."""
    bus = connect("postgres", database_url=server.create_service_database("bus"))
    await bus.start()
    try:
        await bus.ensure_topics(TOPICS.values())
        yield bus
    finally:
        await bus.close()


@asynccontextmanager
async def service_database(server: EmbeddedPostgres, service: str) -> AsyncIterator[Database]:
    """Yield a migrated database of one service."""
    async with named_database(server, service, service) as database:
        yield database


@asynccontextmanager
async def named_database(server: EmbeddedPostgres, service: str, name: str) -> AsyncIterator[Database]:
    """Yield a migrated database of one service under a name of its own, where a figure needs several."""
    database = Database(server.create_service_database(name), pool_size=10)
    try:
        await migrations.upgrade(service, database)
        yield database
    finally:
        await database.close()


@contextmanager
def running_platform() -> Iterator[Platform]:
    """Yield the whole platform as `regulars up` runs it, on free ports, in a temporary home."""
    ports = free_ports(len(SERVICES) + 1)
    with tempfile.TemporaryDirectory(prefix="regulars-bench-") as home:
        chosen = dict(zip(SERVICES, ports[1:], strict=True))
        with Platform(home, ports=chosen, mail_port=ports[0]) as platform:
            yield platform


async def alone(platform: Platform, service: str) -> None:
    """Stop the other services: on two cores they would be most of what is measured."""
    for other in SERVICES:
        if other != service:
            await asyncio.to_thread(platform.stop_service, other)


async def drained(platform: Platform) -> None:
    """Wait until no service has anything left to do, twice in a row."""
    deadline = time.monotonic() + DRAIN_TIMEOUT_SECONDS
    idle = 0
    while idle < 2:
        if time.monotonic() > deadline:
            raise TimeoutError("the platform did not drain")
        reports = [await asyncio.to_thread(platform.ready, service) for service in SERVICES]
        left = [value for report in reports if report for value in report["backlog"].values()]
        idle = idle + 1 if all(reports) and not any(value or value is None for value in left) else 0
        await asyncio.sleep(DRAIN_POLL_SECONDS)
