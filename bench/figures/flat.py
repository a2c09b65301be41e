"""The flat ledger: what an order costs where ten million entries are, beside where there are ten thousand."""

import os
import random
import statistics
import time
from collections.abc import Iterable, Sequence
from itertools import count

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
# The first order that changes a page after a checkpoint has it logged whole. A ledger that has stood a while
# is measured, so three orders come first for each page of accounts and of the indexes by member.
SETTLING_BATCHES = max(1, MEMBERS * 3 // 20 // BATCH_RECORDS)

# What the runbook says for a ledger of ten million entries ("Consumer behind"). Those of `regulars up` are
# for a laptop: they hold a twentieth of these pages in memory.
SHARED_BUFFERS_MB, MAX_WAL_SIZE_MB, CHECKPOINT_MINUTES = 3_072, 16_384, 30
SETTINGS = {
    "shared_buffers": f"{SHARED_BUFFERS_MB}MB",
    "effective_cache_size": "8GB",
    "max_wal_size": f"{MAX_WAL_SIZE_MB}MB",
    "checkpoint_timeout": f"{CHECKPOINT_MINUTES}min",
}


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
    """Return the median cost of a batch, by the event."""
    return statistics.median(costs) / BATCH_RECORDS


@figure("ledger.flat_cost", limit_seconds=600.0)
async def flat_cost() -> Figure:
    """Microseconds per `order.paid` at 10,000,000 entries; the floor is the same at 10,000.
    Takes minutes, most of them to make the entries; REGULARS_BENCH_MEMBERS=20000 (of ten entries) is short.

    Both ledgers take orders of random members through the service's own consumer, without Kafka, a batch of
    one after a batch of the other, so that a busy machine is as busy for both. They share a PostgreSQL with
    the settings that the runbook gives a ledger of this size. The large one has taken orders before until
    pages were seldom logged whole; `first_us` is what an order cost while they were.
    """
    calm_garbage_collector()
    dice = random.Random(10_000)
    with postgres_server(settings=SETTINGS) as postgres:
        async with (
            named_database(postgres, "points", "small") as small,
            named_database(postgres, "points", "large") as large,
        ):
            await fill_points(small.url, FEW_MEMBERS, for_writers=True)
            fill_seconds = await fill_points(large.url, MEMBERS, for_writers=True)
            postgres.sql("CHECKPOINT")
            ledgers = [(small, _consumer(small), FEW_MEMBERS), (large, _consumer(large), MEMBERS)]
            numbers = count()

            async def take(which: int) -> tuple[float, int]:
                database, consumer, members = ledgers[which]
                return await _apply(consumer, database, _batch(members, next(numbers), dice))

            for _ in range(WARM_UP_BATCHES):
                await take(0)
            first = [await take(1) for _ in range(WARM_UP_BATCHES + SETTLING_BATCHES)][WARM_UP_BATCHES:]
            taken = [(await take(0), await take(1)) for _ in range(BATCHES)]
    floor, value = (_per_event(batch[which][0] * 1e6 for batch in taken) for which in range(2))
    floor_bytes, value_bytes = (_per_event(batch[which][1] for batch in taken) for which in range(2))
    return Figure(
        "ledger.flat_cost",
        value,
        "us/event",
        floor,
        "the same with 10,000 entries",
        floor / value,
        {
            "cost_ratio": value / floor,
            "first_us": _per_event(seconds * 1e6 for seconds, _ in first[:BATCHES]),
            "first_logged_bytes": _per_event(logged for _, logged in first[:BATCHES]),
            "logged_bytes": value_bytes,
            "logged_bytes_at_10000": floor_bytes,
            "members": MEMBERS,
            "entries": MEMBERS * ENTRIES_PER_MEMBER,
            "fill_seconds": fill_seconds,
            "settling_batches": SETTLING_BATCHES,
            "shared_buffers_mb": SHARED_BUFFERS_MB,
            "max_wal_size_mb": MAX_WAL_SIZE_MB,
            "checkpoint_minutes": CHECKPOINT_MINUTES,
        },
    )
