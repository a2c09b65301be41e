"""The PostgreSQL bus, which keeps a row per appended batch, beside a log that keeps a row per record."""

import time
from collections import deque
from collections.abc import Awaitable, Callable

import asyncpg
import msgspec
import psutil

from bench.figure import Figure, figure
from bench.ground import postgres_bus, postgres_server
from bench.orders import order_records
from cli.embedded.postgres import EmbeddedPostgres
from shared.bus import Bus, Headers, Outgoing, Record
from shared.bus.partitioning import partition_of

RECORDS = 100_000
BATCH_RECORDS = 2_000

# How many records of the path, by how many are published and read at a time.
PATH = {1: 500, 50: 10_000, 2_000: 40_000}
# Orders are heard by points, campaigns, messaging and analytics.
READERS = 4
PARTITIONS = 6

encode_headers = msgspec.msgpack.Encoder().encode
decode_headers = msgspec.msgpack.Decoder(Headers).decode

# The log as one would write it first: a row per record, and offsets that a counter per partition gives out.
ROW_PER_RECORD = """
CREATE TABLE records (partition integer, "offset" bigint, key text, payload bytea, headers bytea,
                      appended_at timestamptz, PRIMARY KEY (partition, "offset"));
CREATE TABLE places (partition integer PRIMARY KEY, next_offset bigint NOT NULL);
CREATE TABLE positions (reader text, partition integer, committed bigint NOT NULL,
                        PRIMARY KEY (reader, partition));
INSERT INTO places SELECT generate_series(0, 5), 0;
"""
APPEND_RECORDS = """
WITH place AS (
    UPDATE places SET next_offset = next_offset + cardinality($2::text[]) WHERE partition = $1
    RETURNING next_offset - cardinality($2::text[]) - 1 AS base
)
INSERT INTO records
SELECT $1, place.base + r.nth, r.key, r.payload, r.headers, clock_timestamp()
FROM place, unnest($2::text[], $3::bytea[], $4::bytea[]) WITH ORDINALITY AS r (key, payload, headers, nth)
"""


async def _published(bus: Bus, records: list[Outgoing]) -> float:
    started = time.perf_counter()
    for first in range(0, len(records), BATCH_RECORDS):
        await bus.publish(records[first : first + BATCH_RECORDS])
    return len(records) / (time.perf_counter() - started)


async def _rows_published(connection: asyncpg.Connection, records: list[Outgoing]) -> float:
    bare = _Row(connection, 1)
    started = time.perf_counter()
    for first in range(0, len(records), BATCH_RECORDS):
        await bare.publish(records[first : first + BATCH_RECORDS])
    return len(records) / (time.perf_counter() - started)


@figure("bus.postgres.publish")
async def publish() -> Figure:
    """Records per second that the PostgreSQL bus appends durably, in calls of 2,000."""
    with postgres_server() as server:
        async with postgres_bus(server) as bus:
            connection = await asyncpg.connect(server.create_service_database("rows"))
            try:
                await connection.execute(ROW_PER_RECORD)
                value, floor = [], []
                for _ in range(3):
                    records = order_records(RECORDS // 2, members=10_000)
                    floor.append(await _rows_published(connection, records))
                    value.append(await _published(bus, records))
            finally:
                await connection.close()
    median, rows = sorted(value)[1], sorted(floor)[1]
    return Figure(
        "bus.postgres.publish", median, "records/s", rows, "a row per record, by one statement", median / rows
    )


READ_RECORDS = """
SELECT r.partition, r."offset", r.key, r.payload, r.headers, r.appended_at
FROM unnest($1::bigint[]) WITH ORDINALITY AS want (place, nth)
CROSS JOIN LATERAL (
    SELECT * FROM records r WHERE r.partition = CAST(want.nth - 1 AS integer) AND r."offset" >= want.place
    ORDER BY r."offset" LIMIT $2
) AS r
"""
COMMIT = """
INSERT INTO positions SELECT $1, nth - 1, place FROM unnest($2::bigint[]) WITH ORDINALITY AS p (place, nth)
ON CONFLICT (reader, partition) DO UPDATE SET committed = excluded.committed
"""


class _Row:
    """The bare log: no topics, no groups, no leases. Six partitions are what the topic of orders has."""

    def __init__(self, connection: asyncpg.Connection, partitions: int) -> None:
        self._connection = connection
        self._partitions = partitions

    async def publish(self, batch: list[Outgoing]) -> None:
        rows: dict[int, tuple[list[str | None], list[bytes | None], list[bytes]]] = {}
        for record in batch:
            partition = partition_of(record.key, self._partitions)
            keys, payloads, headers = rows.setdefault(partition, ([], [], []))
            keys.append(record.key)
            payloads.append(record.value)
            headers.append(encode_headers(record.headers))
        await self._connection.executemany(
            APPEND_RECORDS, [(number, *rows[number]) for number in sorted(rows)]
        )

    async def read(self, reader: str, count: int, size: int) -> None:
        """Read `count` records and commit after every `size` of them."""
        fetched, committed = [0] * self._partitions, [0] * self._partitions
        ahead: deque[Record] = deque()
        while count > 0:
            if not ahead:
                limit = max(50, 2 * size // self._partitions)
                for number, offset, key, payload, headers, at in await self._connection.fetch(
                    READ_RECORDS, fetched, limit
                ):
                    ahead.append(Record("orders", number, offset, key, payload, decode_headers(headers), at))
                    fetched[number] = offset + 1
            for _ in range(min(size, len(ahead))):
                record = ahead.popleft()
                committed[record.partition] = record.offset + 1
                count -= 1
            await self._connection.execute(COMMIT, reader, committed)


async def _read(bus: Bus, group: str, count: int, size: int) -> None:
    subscription = bus.subscribe(group, ["orders"])
    await subscription.start()
    try:
        while count > 0:
            async with subscription.batch(size, 1.0) as records:
                count -= len(records)
    finally:
        await subscription.close()


def _processor_seconds(server: EmbeddedPostgres) -> float:
    """Processor time of this process and of the server with all its children, since they were started."""
    postmaster = psutil.Process(server.pid)
    times = postmaster.cpu_times()
    total = time.process_time() + times.children_user + times.children_system
    return total + sum(sum(each.cpu_times()[:2]) for each in [postmaster, *postmaster.children()])


async def _cost(server: EmbeddedPostgres, work: Callable[[], Awaitable[None]]) -> float:
    before = _processor_seconds(server)
    await work()
    return _processor_seconds(server) - before


async def _path(
    server: EmbeddedPostgres,
    records: list[Outgoing],
    size: int,
    publish: Callable[[list[Outgoing]], Awaitable[None]],
    read: Callable[[str, int, int], Awaitable[None]],
) -> tuple[float, float]:
    """Microseconds of processor time a record: to publish it, and to read and commit it once."""

    async def write() -> None:
        for first in range(0, len(records), size):
            await publish(records[first : first + size])

    async def readers() -> None:
        for number in range(READERS):
            await read(f"{size}-{number}", len(records), size)

    each = 1e6 / len(records)
    return await _cost(server, write) * each, await _cost(server, readers) * each / READERS


async def _log_bytes(connection: asyncpg.Connection, table: str) -> float:
    return float(await connection.fetchval("SELECT pg_total_relation_size($1::regclass)", table))


@figure("bus.postgres.path")
async def path() -> Figure:
    """Processor time that a record costs from its publishing to the commits of four groups of readers.

    The floor has no groups, leases or heartbeats, so below some hundred records a call the bus costs more.

    Processor time, so that a busy machine matters little; published and read 2,000 at a time, and in the
    details 50 and 1 at a time. `…_bytes` is what a record takes in the table.
    """
    details: dict[str, float] = {}
    for size, count in PATH.items():
        records = order_records(count, members=10_000)
        # A server for each, for neither to pay for the other; without fsync, which costs no processor.
        with postgres_server(durable=False) as server:
            url = server.create_service_database("rows")
            connection = await asyncpg.connect(url)
            await connection.execute(ROW_PER_RECORD)
            bare = _Row(connection, PARTITIONS)
            rows = await _path(server, records, size, bare.publish, bare.read)
            rows_bytes = await _log_bytes(connection, "records")
            await connection.close()
        with postgres_server(durable=False) as server:
            async with postgres_bus(server) as bus:

                async def read(group: str, count: int, size: int, bus: Bus = bus) -> None:
                    await _read(bus, group, count, size)

                batches = await _path(server, records, size, bus.publish, read)
            connection = await asyncpg.connect(server.url("bus"))
            batches_bytes = await _log_bytes(connection, "bus.batches")
            await connection.close()
        for name, (publish_us, read_us), total in (
            ("batches", batches, batches_bytes),
            ("rows", rows, rows_bytes),
        ):
            details |= {
                f"{name}_{size}_publish_us": publish_us,
                f"{name}_{size}_read_us": read_us,
                f"{name}_{size}_bytes": total / count,
            }
    value = details["batches_2000_publish_us"] + READERS * details["batches_2000_read_us"]
    floor = details["rows_2000_publish_us"] + READERS * details["rows_2000_read_us"]
    return Figure(
        "bus.postgres.path",
        value,
        "us/record",
        floor,
        "a row per record, bare",
        floor / value,
        details,
    )
