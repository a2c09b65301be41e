"""The flat ledger: what an order costs where ten million entries are, beside where there are ten thousand."""

import os
import random
import statistics
import time
from collections.abc import Iterable, Sequence

from sqlalchemy import text

from bench.crowd import ENTRIES_PER_MEMBER, fill_points, member_id
from bench.figure import Figure, figure
from bench.ground import named_database, postgres_server
from bench.orders import order_paid, order_record
from bench.replicas import ledger_consumer
from shared.bus import Record, connect
from shared.clock import utc_now
from shared.consumer import Consumer
from shared.database import Database
from shared.service import calm_garbage_collector

# A slow or busy machine may be asked for a smaller crowd; the figure says how large it was.
MEMBERS = int(os.environ.get("REGULARS_BENCH_MEMBERS", "1000000"))
FEW_MEMBERS = 1_000
# No member comes twice in a batch: in the small ledger two orders would share the work on one account.
BATCH_RECORDS = 1_000
# Warmed: statements, plans and, in the small ledger, every page that it has.
WARM_UP_BATCHES, BATCHES = 8, 40


def _batch(members: int, number: int, dice: random.Random) -> list[Record]:
    """Return one order of each of a thousand random members, as the bus would hand them over."""
    now = utc_now()
    drawn = dice.sample(range(members), BATCH_RECORDS)
    outgoing = [order_record(order_paid(number, member_id(each), dice)) for each in drawn]
    return [
        Record(each.topic, 0, number * BATCH_RECORDS + place, each.key, each.value, each.headers, now)
        for place, each in enumerate(outgoing)
    ]


def _consumer(database: Database) -> Consumer:
    # The bus is where refused records would go; nothing is read from it.
    return ledger_consumer(database, connect("postgres", database_url=database.url), BATCH_RECORDS)


async def _apply(consumer: Consumer, database: Database, records: Sequence[Record]) -> tuple[float, int]:
    """Return the seconds that a batch took, and the bytes that PostgreSQL logged for it."""
    logged, started = await _logged(database), time.perf_counter()
    await consumer.apply(records)
    seconds = time.perf_counter() - started
    return seconds, await _logged(database) - logged


async def _logged(database: Database) -> int:
    async with database.reading() as session:
        position = await session.execute(text("SELECT pg_current_wal_insert_lsn() - '0/0'"))
        return int(position.scalar_one())


def _per_event(costs: Iterable[float]) -> float:
    """Return the median cost of a measured batch, by the event."""
    return statistics.median(list(costs)[WARM_UP_BATCHES:]) / BATCH_RECORDS


@figure("ledger.flat_cost", limit_seconds=600.0)
async def flat_cost() -> Figure:
    """Microseconds per `order.paid` at 10,000,000 entries; the floor is the same at 10,000.
    Takes minutes, most of them to make the entries; REGULARS_BENCH_MEMBERS=20000 (of ten entries) is short.

    Both ledgers take the same number of orders of random members through the service's own consumer, without
    Kafka, a batch of one after a batch of the other, so that a busy machine is as busy for both.
    """
    calm_garbage_collector()
    dice = random.Random(10_000)
    with postgres_server() as postgres:
        async with (
            named_database(postgres, "points", "small") as small,
            named_database(postgres, "points", "large") as large,
        ):
            await fill_points(small.url, FEW_MEMBERS, for_writers=True)
            fill_seconds = await fill_points(large.url, MEMBERS, for_writers=True)
            ledgers = [(small, _consumer(small), FEW_MEMBERS), (large, _consumer(large), MEMBERS)]
            taken: list[list[tuple[float, int]]] = [[], []]
            for number in range(WARM_UP_BATCHES + BATCHES):
                for (database, consumer, members), batches in zip(ledgers, taken, strict=True):
                    batches.append(await _apply(consumer, database, _batch(members, number, dice)))
    floor, value = (_per_event(seconds * 1_000_000 for seconds, _ in batches) for batches in taken)
    floor_bytes, value_bytes = (_per_event(logged for _, logged in batches) for batches in taken)
    return Figure(
        "ledger.flat_cost",
        value,
        "us/event",
        floor,
        "the same with 10,000 entries",
        floor / value,
        {
            "cost_ratio": value / floor,
            "logged_bytes": value_bytes,
            "logged_bytes_at_10000": floor_bytes,
            "members": MEMBERS,
            "entries": MEMBERS * ENTRIES_PER_MEMBER,
            "fill_seconds": fill_seconds,
        },
    )
