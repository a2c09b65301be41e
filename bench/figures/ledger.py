"""The ledger: paid orders from Kafka to committed entries, lots, balances and outbox rows."""

import asyncio
import time
from itertools import count

import asyncpg

from bench.figure import Figure, figure
from bench.ground import kafka_bus, kafka_server, postgres_server, service_database
from bench.orders import member_id, order_records
from bench.replicas import BATCH_RECORDS, REPLICAS, replicas
from cli.embedded.kafka import EmbeddedKafka
from shared.clock import utc_now
from shared.database import Database
from shared.ids import new_ids

ORDERS = 60_000
# Enough batches to warm statements, caches and the members' accounts before anything is measured.
WARM_UP_ORDERS = 20_000
MEMBERS = 20_000

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


def _through_the_service(server: EmbeddedKafka, database: Database) -> float:
    """Have the warm-up and then the measured orders consumed; return orders per second."""
    with replicas(database.url, server.bootstrap) as running:
        started = running.until(WARM_UP_ORDERS)
        applied = running.applied
        ended = running.until(WARM_UP_ORDERS + ORDERS)
    return (WARM_UP_ORDERS + ORDERS - applied) / (ended - started)


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
    with postgres_server() as postgres, kafka_server() as kafka:
        async with kafka_bus(kafka) as bus, service_database(postgres, "points") as database:
            records = order_records(WARM_UP_ORDERS + ORDERS, members=MEMBERS)
            for first in range(0, len(records), 5_000):
                await bus.publish(records[first : first + 5_000])
            value = await asyncio.to_thread(_through_the_service, kafka, database)
            floor = await _bare_statement(database.url)
    return Figure(
        "ledger.order_paid.kafka",
        value,
        "events/s",
        floor,
        "the bare SQL statement, arrays ready",
        value / floor,
        {"replicas": REPLICAS},
    )
