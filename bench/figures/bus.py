"""The bus alone: what a consumer pays for batches, offsets and rebalancing safety."""

import asyncio
import time

from aiokafka import AIOKafkaConsumer

from bench.figure import Figure, figure
from bench.ground import kafka_bus, kafka_server
from bench.orders import order_records
from shared.bus import Bus

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
