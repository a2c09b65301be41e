"""The ledger: paid orders from Kafka to committed entries, lots, balances and outbox rows."""

import time
from itertools import count

import asyncpg

from bench.figure import Figure, figure
from bench.ground import kafka_bus, kafka_server, postgres_server, service_database
from bench.orders import member_id, order_records
from services.points.handlers import handlers
from shared.bus import Bus
from shared.clock import utc_now
from shared.consumer import Consumer
from shared.database import Database
from shared.ids import new_ids
from shared.service import calm_garbage_collector

ORDERS = 60_000
# Enough batches to warm statements, caches and the members' accounts before anything is measured.
WARM_UP_ORDERS = 20_000
MEMBERS = 20_000
BATCH_RECORDS = 2_000

# What any ledger of this shape must write for a batch of orders, as one statement without reading, deciding
# or Python: the claimed ids, an entry and a lot per order, the accounts, and the events to say.
FLOOR = """
WITH batch AS MATERIALIZED (
    SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[], $5::bigint[], $6::bigint[],
                         $7::text[])
        AS b(event_id, order_id, entry_id, member_id, sequence, points, payload)
), claimed AS (
    INSERT INTO inbox (event_id) SELECT event_id FROM batch ON CONFLICT DO NOTHING
), entered AS (
    INSERT INTO entries (member_id, sequence, id, kind, contra, points, about_id, rule_version, basis_minor,
                         currency, actor, reason, occurred_at, recorded_at)
    SELECT member_id, sequence, entry_id, 'earn', 'issuance', points, order_id, 1, points * 100, 'USD',
           'members', 'Order paid', $8, $8
    FROM batch
), opened AS (
    INSERT INTO lots (id, member_id, points, remaining_points, earned_at, expires_at)
    SELECT entry_id, member_id, points, points, $8, $8 + interval '365 days' FROM batch
), said AS (
    INSERT INTO outbox (event_id, topic, key, type, version, payload, occurred_at)
    SELECT entry_id, 'points', member_id::text, 'points.earned', 1, payload, $8 FROM batch
)
INSERT INTO accounts AS a (member_id, sequence, open_points, earned_points, next_expiry_at)
SELECT member_id, max(sequence), sum(points), sum(points), $8 FROM batch GROUP BY member_id
ON CONFLICT (member_id) DO UPDATE SET
    sequence = excluded.sequence,
    open_points = a.open_points + excluded.open_points,
    earned_points = a.earned_points + excluded.earned_points,
    next_expiry_at = least(a.next_expiry_at, excluded.next_expiry_at)
"""

# As long as the JSON of a real `points.earned`.
PAYLOAD = '{"padding":"' + "x" * 330 + '"}'


async def _through_the_service(bus: Bus, database: Database) -> tuple[float, int]:
    """Consume the warm-up, then the measured orders; return orders per second and how many batches."""
    consumer = Consumer(
        database,
        bus,
        handlers,
        group="points",
        batch_records=BATCH_RECORDS,
        wait_seconds=0.05,
        stop_ratio=0.5,
        stop_window=200,
    )
    subscription = bus.subscribe("points", ["orders"])
    await subscription.start()
    applied, batches, started, started_at = 0, 0, 0.0, 0
    try:
        while applied < WARM_UP_ORDERS + ORDERS:
            async with subscription.batch(BATCH_RECORDS, 1.0) as records:
                if records:
                    await consumer.apply(records)
            applied += len(records)
            batches += 1
            if not started and applied >= WARM_UP_ORDERS:
                started, started_at, batches = time.perf_counter(), applied, 0
    finally:
        await subscription.close()
    return (applied - started_at) / (time.perf_counter() - started), batches


async def _bare_statement(url: str, first_sequence: int = 1_000_000) -> float:
    """Write as many orders by the floor's statement alone; return orders per second."""
    connection = await asyncpg.connect(url)
    sequences = count(first_sequence)
    now = utc_now()
    try:
        spent_seconds, written = 0.0, 0
        for first in range(0, WARM_UP_ORDERS + ORDERS, BATCH_RECORDS):
            members = [member_id((first + n) % MEMBERS) for n in range(BATCH_RECORDS)]
            arrays = (
                new_ids(BATCH_RECORDS),
                new_ids(BATCH_RECORDS),
                new_ids(BATCH_RECORDS),
                members,
                [next(sequences) for _ in members],
                [100] * BATCH_RECORDS,
                [PAYLOAD] * BATCH_RECORDS,
            )
            started = time.perf_counter()
            await connection.execute(FLOOR, *arrays, now)
            if first >= WARM_UP_ORDERS:
                spent_seconds += time.perf_counter() - started
                written += BATCH_RECORDS
    finally:
        await connection.close()
    return written / spent_seconds


@figure("ledger.order_paid.kafka")
async def order_paid_kafka() -> Figure:
    """`order.paid` events per second from Kafka to committed ledger, inbox and outbox."""
    calm_garbage_collector()
    with postgres_server() as postgres, kafka_server() as kafka:
        async with kafka_bus(kafka) as bus, service_database(postgres, "points") as database:
            records = order_records(WARM_UP_ORDERS + ORDERS, members=MEMBERS)
            for first in range(0, len(records), 5_000):
                await bus.publish(records[first : first + 5_000])
            value, batches = await _through_the_service(bus, database)
            floor = await _bare_statement(database.url)
    return Figure(
        "ledger.order_paid.kafka",
        value,
        "events/s",
        floor,
        "the bare SQL statement, arrays ready",
        value / floor,
        {"batches": batches},
    )
