"""The embedded bus: a durable partitioned log in PostgreSQL, with offsets per group, woken by NOTIFY.

Made for one machine: nothing to install beside the database that is there anyway. Whoever needs more takes
Kafka; `tests/shared/bus` holds both to the same behaviour.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import asyncpg
import structlog

from shared import metrics
from shared.bus import (
    BusUnavailable,
    Outgoing,
    StartAt,
    TopicPartition,
    TopicSpec,
)
from shared.bus.partitioning import partition_of
from shared.bus.postgres_batches import APPEND, Append, pack
from shared.bus.postgres_outage import Connection, outages
from shared.bus.postgres_retention import erase_keys, strike_out, tidy
from shared.bus.postgres_schema import (
    GROUPS_CHANNEL,
    RECORDS_CHANNEL,
    ensure_schema,
)
from shared.bus.postgres_subscription import PostgresSubscription

__all__ = ["PostgresBus"]

log = structlog.get_logger(__name__)

LAG = """
SELECT p.topic, p.number, p.next_offset, position.committed,
       coalesce(position.committed, oldest.base_offset, p.next_offset) AS place
FROM bus.partitions p
LEFT JOIN bus.positions position ON position.partition_id = p.id AND position.group_name = $1
LEFT JOIN LATERAL (
    SELECT b.base_offset FROM bus.batches b WHERE b.partition_id = p.id ORDER BY b.last_offset LIMIT 1
) AS oldest ON true
WHERE p.topic = ANY ($2::text[])
"""

LIVE = """
SELECT EXISTS (SELECT FROM bus.members WHERE group_name = $1 AND lease_until >= clock_timestamp())
"""


class PostgresBus:
    """See `shared.bus.Bus`.

    The database at `database_url` is the bus's own; its tables are made in a schema `bus` on first use.
    A member that was not heard of for `lease_seconds` loses its partitions; `drain_seconds` is how long a
    batch in hand may hold a hand-over up. `poll_seconds` is only the safety net below NOTIFY.
    """

    def __init__(
        self,
        database_url: str,
        *,
        client_id: str = "regulars",
        lost_offsets: StartAt = "earliest",
        lease_seconds: float = 10.0,
        drain_seconds: float = 30.0,
        poll_seconds: float = 1.0,
        statement_timeout_seconds: float = 30.0,
        maintenance_seconds: float = 60.0,
    ) -> None:
        # asyncpg takes plain URLs; settings that are shared with SQLAlchemy name the driver too.
        self._url = database_url.replace("postgresql+asyncpg://", "postgresql://", 1)
        self._client_id = client_id
        self.lost_offsets = lost_offsets
        self.lease_seconds = lease_seconds
        self.heartbeat_seconds = lease_seconds / 4
        self.drain_seconds = drain_seconds
        self.poll_seconds = poll_seconds
        self._statement_timeout_seconds = statement_timeout_seconds
        self._maintenance_seconds = maintenance_seconds
        self._writers: asyncpg.Pool[asyncpg.Record] | None = None
        self._readers: asyncpg.Pool[asyncpg.Record] | None = None
        self._schema_ready = False
        self._topics: dict[str, list[int]] = {}
        self._compacted: set[str] | None = None
        self._subscriptions: set[PostgresSubscription] = set()
        # Partitions that were appended to and not announced yet.
        self._grown: set[int] = set()
        self._something_grew = asyncio.Event()
        self._something_to_tidy = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._closed = False

    # Life

    async def start(self) -> None:
        if self._tasks:
            return
        self._writers = await self._pool(2, {})
        # What readers write are leases and positions. Losing the last of them in a crash means that records
        # come twice, which is allowed anyway, so they need not wait for the disk.
        self._readers = await self._pool(6, {"synchronous_commit": "off"})
        for work in (self._listen, self._announce, self._maintain):
            self._tasks.append(asyncio.create_task(work(), name=f"bus {work.__name__}"))

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        await asyncio.gather(*(each.close() for each in tuple(self._subscriptions)))
        await self._announce_once()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for pool in (self._writers, self._readers):
            if pool is not None:
                await _close_pool(pool)

    async def ping(self) -> bool:
        try:
            async with self.reading() as connection:
                await connection.execute("SELECT 1")
        except BusUnavailable:
            return False
        return True

    # Topics and publishing

    async def ensure_topics(self, topics: Iterable[TopicSpec]) -> None:
        specs = sorted(topics, key=lambda spec: spec.name)
        async with self._writing() as connection, connection.transaction():
            await connection.executemany(
                """
                INSERT INTO bus.topics AS topic (name, compacted, retention_seconds, until_read)
                VALUES ($1, $2, $3, $4)
                ON CONFLICT (name) DO UPDATE
                SET compacted = excluded.compacted, retention_seconds = excluded.retention_seconds,
                    until_read = excluded.until_read
                WHERE (topic.compacted, topic.retention_seconds, topic.until_read)
                      IS DISTINCT FROM (excluded.compacted, excluded.retention_seconds, excluded.until_read)
                """,
                [(spec.name, spec.compacted, spec.retention_seconds, spec.until_read) for spec in specs],
            )
            await connection.executemany(
                """
                INSERT INTO bus.partitions (topic, number)
                SELECT $1, wanted.nth FROM generate_series(0, $2::integer - 1) AS wanted (nth)
                WHERE NOT EXISTS (SELECT FROM bus.partitions p WHERE p.topic = $1 AND p.number = wanted.nth)
                ON CONFLICT DO NOTHING
                """,
                [(spec.name, spec.partitions) for spec in specs],
            )
        self._topics.clear()
        self._compacted = None

    async def publish(self, records: Sequence[Outgoing]) -> None:
        if not records:
            return
        async with self._writing() as connection:
            if any(record.value is None for record in records):
                appends = await self._publish_tombstones(connection, records)
            else:
                appends = await self._appends(connection, records)
                await connection.executemany(APPEND, appends)
        # All partitions have a row in the first append.
        self._grown.update(appends[0][0])
        self._something_grew.set()

    async def _publish_tombstones(self, connection: Connection, records: Sequence[Outgoing]) -> list[Append]:
        """Append, and take what tombstones erase out of the log in the same transaction."""
        if self._compacted is None:
            rows = await connection.fetch("SELECT name FROM bus.topics WHERE compacted")
            self._compacted = {row["name"] for row in rows}
        standing, erased = strike_out(records, self._compacted)
        appends = await self._appends(connection, standing)
        by_partition: dict[int, list[str]] = defaultdict(list)
        for topic, key in sorted(erased):
            partitions = self._topics[topic]
            by_partition[partitions[partition_of(key, len(partitions))]].append(key)
        async with connection.transaction():
            for partition_id in sorted(by_partition):
                await erase_keys(connection, partition_id, by_partition[partition_id])
            await connection.executemany(APPEND, appends)
        self._something_to_tidy.set()
        return appends

    async def _appends(self, connection: Connection, records: Sequence[Outgoing]) -> list[Append]:
        placed: list[tuple[int, Outgoing]] = []
        for record in records:
            partitions = self._topics.get(record.topic) or await self._find(connection, record.topic)
            placed.append((partitions[partition_of(record.key, len(partitions))], record))
        return pack(placed)

    async def _find(self, connection: Connection, topic: str) -> list[int]:
        rows = await connection.fetch("SELECT id FROM bus.partitions WHERE topic = $1 ORDER BY number", topic)
        if not rows:
            raise KeyError(f"no such topic: {topic}")
        self._topics[topic] = [row["id"] for row in rows]
        return self._topics[topic]

    # Groups

    def subscribe(
        self, group: str, topics: Sequence[str], *, start: StartAt = "earliest"
    ) -> PostgresSubscription:
        subscription = PostgresSubscription(self, group, topics, start)
        self._subscriptions.add(subscription)
        return subscription

    def forget(self, subscription: PostgresSubscription) -> None:
        """A subscription that closed itself."""
        self._subscriptions.discard(subscription)

    async def lag(self, group: str, topics: Sequence[str]) -> dict[TopicPartition, int]:
        rows = await self._places(group, topics)
        return {(row["topic"], row["number"]): row["next_offset"] - row["place"] for row in rows}

    async def end_offsets(self, topics: Sequence[str]) -> dict[TopicPartition, int]:
        rows = await self._places("", topics)
        return {(row["topic"], row["number"]): row["next_offset"] for row in rows}

    async def committed(self, group: str, topics: Sequence[str]) -> dict[TopicPartition, int]:
        rows = await self._places(group, topics)
        return {
            (row["topic"], row["number"]): row["committed"] for row in rows if row["committed"] is not None
        }

    async def reset(self, group: str, offsets: Mapping[TopicPartition, int]) -> None:
        async with self._writing() as connection, connection.transaction():
            if await connection.fetchval(LIVE, group):
                raise RuntimeError(f"group {group} has live members")
            await connection.executemany(
                """
                INSERT INTO bus.positions (group_name, partition_id, epoch, committed)
                SELECT $1, p.id, 1, $4 FROM bus.partitions p WHERE p.topic = $2 AND p.number = $3
                ON CONFLICT (group_name, partition_id)
                DO UPDATE SET committed = excluded.committed, owner = NULL, epoch = positions.epoch + 1
                """,
                [(group, topic, number, offset) for (topic, number), offset in sorted(offsets.items())],
            )

    def report_lost(self, group: str, topic: str, partition: int, records: int) -> None:
        """Records left by retention before the group read them. Going on is right, silence is not."""
        metrics.BUS_OFFSETS_LOST.labels(group, topic).inc(records)
        log.error(
            "bus_offsets_lost",
            group=group,
            topic=topic,
            partition=partition,
            records=records,
            policy=self.lost_offsets,
        )

    async def _places(self, group: str, topics: Sequence[str]) -> list[asyncpg.Record]:
        async with self.reading() as connection:
            return await connection.fetch(LAG, group, list(topics))

    # Connections

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[Connection]:
        """A connection whose commits do not wait for the disk. Raises BusUnavailable."""
        await self.start()
        assert self._readers is not None
        async with self._connection(self._readers) as connection:
            yield connection

    @asynccontextmanager
    async def _writing(self) -> AsyncIterator[Connection]:
        await self.start()
        assert self._writers is not None
        async with self._connection(self._writers) as connection:
            yield connection

    @asynccontextmanager
    async def _connection(self, pool: "asyncpg.Pool[asyncpg.Record]") -> AsyncIterator[Connection]:
        with outages():
            async with pool.acquire(timeout=self._statement_timeout_seconds) as connection:
                if not self._schema_ready:
                    await ensure_schema(connection)
                    self._schema_ready = True
                yield connection

    async def _pool(self, size: int, settings: dict[str, str]) -> "asyncpg.Pool[asyncpg.Record]":
        # Starting with no connection at all is what lets a service start while the bus is away.
        return await asyncpg.create_pool(
            self._url,
            min_size=0,
            max_size=size,
            timeout=self._statement_timeout_seconds,
            command_timeout=self._statement_timeout_seconds,
            server_settings={"application_name": f"{self._client_id} bus", "jit": "off", **settings},
            # Nothing here changes a session, so there is nothing to reset when a connection comes back: that
            # was a round trip after every statement. An open transaction is rolled back all the same.
            reset=_keep,
        )

    # Background work

    async def _listen(self) -> None:
        while True:
            try:
                with outages():
                    await self._listen_until_lost()
            except BusUnavailable as problem:
                log.warning("bus_listener_lost", problem=str(problem))
            await asyncio.sleep(self.poll_seconds)

    async def _listen_until_lost(self) -> None:
        lost = asyncio.Event()
        connection = await asyncpg.connect(
            self._url,
            timeout=self._statement_timeout_seconds,
            server_settings={"application_name": f"{self._client_id} bus listener"},
        )
        try:
            connection.add_termination_listener(lambda _: lost.set())
            await connection.add_listener(RECORDS_CHANNEL, self._on_records)
            await connection.add_listener(GROUPS_CHANNEL, self._on_group)
            # What was said before we listened is caught up with by looking once.
            for subscription in self._subscriptions:
                subscription.look_everywhere()
                subscription.group_changed.set()
            await lost.wait()
        finally:
            connection.terminate()

    def _on_records(self, connection: Any, pid: int, channel: str, payload: object) -> None:
        grown = [int(partition_id) for partition_id in str(payload).split(",")]
        for subscription in self._subscriptions:
            subscription.look_at(grown)

    def _on_group(self, connection: Any, pid: int, channel: str, payload: object) -> None:
        for subscription in self._subscriptions:
            if subscription.group == payload:
                subscription.group_changed.set()

    async def _announce(self) -> None:
        while True:
            await self._something_grew.wait()
            await self._announce_once()

    async def _announce_once(self) -> None:
        # Apart from the publishing transaction, since NOTIFY makes commits of the whole server queue up
        # behind each other's flush; by itself it needs no flush. If it is lost, readers poll.
        self._something_grew.clear()
        grown, self._grown = self._grown, set()
        if not grown:
            return
        try:
            async with self.reading() as connection:
                payload = ",".join(map(str, sorted(grown)))
                await connection.execute("SELECT pg_notify($1, $2)", RECORDS_CHANNEL, payload)
        except BusUnavailable as problem:
            log.warning("bus_announcement_lost", problem=str(problem))

    async def _maintain(self) -> None:
        while True:
            with suppress(TimeoutError):
                # Whoever erases should not have to wait for what else goes in its time.
                async with asyncio.timeout(self._maintenance_seconds):
                    await self._something_to_tidy.wait()
            self._something_to_tidy.clear()
            try:
                await self.tidy()
            except BusUnavailable as problem:
                log.warning("bus_maintenance_failed", problem=str(problem))

    async def tidy(self) -> None:
        """Delete what is past its topic's retention and compact compacted topics; one process at a time."""
        async with self.reading() as connection:
            await tidy(connection)


async def _keep(connection: Connection) -> None:
    """Leave a connection as it is."""


async def _close_pool(pool: "asyncpg.Pool[asyncpg.Record]") -> None:
    try:
        async with asyncio.timeout(5.0):
            await pool.close()
    except (TimeoutError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
        pool.terminate()
