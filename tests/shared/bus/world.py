"""What differs between the two buses: how one is made, broken, repaired, and read by a process that dies."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from uuid import uuid4

from cli.embedded.kafka import EmbeddedKafka
from cli.embedded.postgres import EmbeddedPostgres
from shared.bus import Bus, Outgoing, Record, Subscription
from shared.bus.kafka import KafkaBus
from shared.bus.postgres import PostgresBus
from shared.testing import eventually

# Long enough for a machine under load; nothing waits for it to pass.
DEADLINE_SECONDS = 60.0


@dataclass(frozen=True)
class Topic:
    """What the bus must know of a topic."""

    name: str
    partitions: int = 4
    compacted: bool = False
    retention_seconds: int | None = None
    until_read: bool = False


@dataclass
class World:
    """One kind of bus, with names of its own for topics and groups, so that tests cannot meet."""

    make: Callable[[], Bus]
    break_it: Callable[[], object]
    repair_it: Callable[[], object]
    connection: tuple[str, str]
    name: str = field(default_factory=lambda: uuid4().hex[:8])
    stack: AsyncExitStack = field(default_factory=AsyncExitStack)

    async def bus(self) -> Bus:
        """Another client of the bus, as another process would have; closed at the end of the test."""
        bus = self.make()
        await bus.start()
        self.stack.push_async_callback(bus.close)
        return bus

    async def topic(self, bus: Bus, **settings: object) -> str:
        """A new topic."""
        topic = Topic(f"topic-{uuid4().hex[:8]}", **settings)  # type: ignore[arg-type]  # as Topic has them
        await bus.ensure_topics([topic])
        return topic.name


def postgres_world(server: EmbeddedPostgres) -> World:
    url = server.create_service_database("bus_suite")
    return World(
        make=lambda: PostgresBus(
            url, lease_seconds=3.0, drain_seconds=30.0, poll_seconds=0.5, statement_timeout_seconds=20.0
        ),
        break_it=server.kill,
        repair_it=server.start,
        connection=("postgres", url),
    )


def kafka_world(server: EmbeddedKafka) -> World:
    return World(
        make=lambda: KafkaBus(server.bootstrap, session_seconds=3.0, drain_seconds=30.0, timeout_seconds=5.0),
        break_it=server.kill,
        repair_it=server.start,
        connection=("kafka", server.bootstrap),
    )


def outgoing(topic: str, numbers: range, keys: int = 7) -> list[Outgoing]:
    """Records whose value is their number, spread over `keys` keys."""
    return [Outgoing(topic, f"key-{number % keys}", str(number).encode()) for number in numbers]


def numbers(records: Sequence[Record]) -> list[int]:
    """The numbers that `outgoing` put in."""
    return [int(record.value or b"-1") for record in records]


async def read(subscription: Subscription, count: int, max_records: int = 100) -> list[Record]:
    """At least `count` records, batch by batch, each committed."""
    found: list[Record] = []
    async with asyncio.timeout(DEADLINE_SECONDS):
        while len(found) < count:
            async with subscription.batch(max_records, 0.5) as records:
                found.extend(records)
    return found


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Wait for a condition that needs asking, with the suite's deadline."""
    await eventually(condition, DEADLINE_SECONDS)


async def settle(*subscriptions: Subscription, partitions: int) -> None:
    """Poll members of one group by turns until together they have all partitions, evenly."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        while True:
            for subscription in subscriptions:
                async with subscription.batch(1, 0.1) as records:
                    assert not records, "settle before publishing"
            shares = [len(each.assigned) for each in subscriptions]
            if sum(shares) == partitions and max(shares) - min(shares) <= 1:
                return
