"""Servers for the bench: PostgreSQL with real fsync and Kafka, in a temporary folder, gone afterwards."""

import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from cli.embedded.kafka import EmbeddedKafka
from cli.embedded.postgres import EmbeddedPostgres
from shared import migrations
from shared.bus import Bus, connect
from shared.database import Database
from shared.events import TOPICS

__all__ = ["kafka_bus", "kafka_server", "postgres_server", "service_database"]


@contextmanager
def postgres_server() -> Iterator[EmbeddedPostgres]:
    """Yield a durable PostgreSQL: a figure without fsync would be a figure of something else."""
    with tempfile.TemporaryDirectory(prefix="regulars-bench-") as folder:
        server = EmbeddedPostgres(Path(folder) / "postgres").start()
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
async def service_database(server: EmbeddedPostgres, service: str) -> AsyncIterator[Database]:
    """Yield a migrated database of one service."""
    database = Database(server.create_service_database(service), pool_size=10)
    try:
        await migrations.upgrade(service, database)
        yield database
    finally:
        await database.close()
