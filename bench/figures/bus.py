"""The bus alone: what a consumer pays for batches, offsets and rebalancing safety."""

import asyncio
import time

import asyncpg
from aiokafka import AIOKafkaConsumer

from bench.figure import Figure, figure
from bench.ground import kafka_bus, kafka_server, postgres_bus, postgres_server
from bench.orders import order_records
from shared.bus import Bus, Outgoing

RECORDS = 100_000
BATCH_RECORDS = 2_000


async def _through_the_bus(bus: Bus, group: str) -> float:
    """Read everything in committed batches; return records per second, the joining of the group left out."""
    subscription = bus.subscribe(group, ["orders"])
    await subscription.start()
    count, started = 0, 0.0
    try:
        while count < RECORDS:
            async with subscription.batch(BATCH_RECORDS, 1.0) as records:
                if records and not count:
                    started = time.perf_counter()
                count += len(records)
    finally:
        await subscription.close()
    return RECORDS / (time.perf_counter() - started)


async def _through_aiokafka(bootstrap: str, group: str) -> float:
    """Read everything with the bare client, committing after every poll."""
    consumer = AIOKafkaConsumer(
        "orders",
        bootstrap_servers=bootstrap,
        group_id=group,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
    )
    await consumer.start()
    count, started = 0, 0.0
    try:
        while count < RECORDS:
            polled = await consumer.getmany(timeout_ms=1000, max_records=BATCH_RECORDS)
            if polled and not count:
                started = time.perf_counter()
            count += sum(map(len, polled.values()))
            await consumer.commit()
    finally:
        await consumer.stop()
    return RECORDS / (time.perf_counter() - started)


@figure("bus.kafka.consume_batch")
async def consume_batch() -> Figure:
    """Records per second that a subscription hands over in committed batches of up to 2,000."""
    with kafka_server() as server:
        async with kafka_bus(server) as bus:
            records = order_records(RECORDS, members=10_000)
            for first in range(0, RECORDS, 5_000):
                await bus.publish(records[first : first + 5_000])
            value, floor = [], []
            for turn in range(3):
                floor.append(await _through_aiokafka(server.bootstrap, f"floor-{turn}"))
                value.append(await _through_the_bus(bus, f"value-{turn}"))
                await asyncio.sleep(0)
    best, bare = sorted(value)[1], sorted(floor)[1]
    return Figure(
        "bus.kafka.consume_batch", best, "records/s", bare, "bare aiokafka getmany and commit", best / bare
    )


# The log as one would write it first: a row per record, and offsets that a counter per partition gives out.
ROW_PER_RECORD = """
CREATE TABLE records (partition integer, "offset" bigint, key text, payload bytea, headers bytea,
                      appended_at timestamptz, PRIMARY KEY (partition, "offset"));
CREATE TABLE places (partition integer PRIMARY KEY, next_offset bigint NOT NULL);
INSERT INTO places VALUES (0, 0);
"""
APPEND_RECORDS = """
WITH place AS (
    UPDATE places SET next_offset = next_offset + cardinality($1::text[]) WHERE partition = 0
    RETURNING next_offset - cardinality($1::text[]) AS base
)
INSERT INTO records
SELECT 0, place.base + r.nth, r.key, r.payload, r.headers, clock_timestamp()
FROM place, unnest($1::text[], $2::bytea[], $3::bytea[]) WITH ORDINALITY AS r (key, payload, headers, nth)
"""


async def _published(bus: Bus, records: list[Outgoing]) -> float:
    started = time.perf_counter()
    for first in range(0, len(records), BATCH_RECORDS):
        await bus.publish(records[first : first + BATCH_RECORDS])
    return len(records) / (time.perf_counter() - started)


async def _rows_published(connection: asyncpg.Connection, records: list[Outgoing]) -> float:
    started = time.perf_counter()
    for first in range(0, len(records), BATCH_RECORDS):
        batch = records[first : first + BATCH_RECORDS]
        headers = [b"".join(value for _, value in record.headers) for record in batch]
        await connection.execute(
            APPEND_RECORDS, [record.key for record in batch], [record.value for record in batch], headers
        )
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
