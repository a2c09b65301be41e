"""Replicas of a service's consumer: processes of one consumer group, as many as operators would run here."""

import asyncio
import multiprocessing
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import uvloop

from services.points.handlers import handlers
from shared.bus import Bus, connect
from shared.consumer import Consumer
from shared.database import Database
from shared.events import TOPICS
from shared.service import calm_garbage_collector

__all__ = ["BATCH_RECORDS", "Replicas", "ledger_consumer", "replicas"]

BATCH_RECORDS = 2_000
# One per processor: a process of Python keeps no more than one busy.
REPLICAS = os.cpu_count() or 1
# Partitions of each once the group has settled.
FAIR_SHARE = -(-TOPICS["orders"].partitions // REPLICAS)
START_TIMEOUT_SECONDS = 60.0
POLL_SECONDS = 0.002


def ledger_consumer(database: Database, bus: Bus, batch_records: int) -> Consumer:
    """Return the consumer of points as the bench runs it."""
    return Consumer(
        database,
        bus,
        handlers,
        group="points",
        batch_records=batch_records,
        wait_seconds=0.05,
        stop_ratio=0.5,
        stop_window=200,
    )


@dataclass(frozen=True, slots=True)
class Replicas:
    """Running processes, and how many records each has applied."""

    processes: list[Any]
    counters: list[Any]

    @property
    def applied(self) -> int:
        """Records that are committed in the database."""
        return sum(counter.value for counter in self.counters)

    def until(self, applied: int) -> float:
        """Wait until so many records are applied; return the moment (seconds of `time.perf_counter`)."""
        while self.applied < applied:
            if not all(process.is_alive() for process in self.processes):
                raise RuntimeError("a replica ended before its work did")
            time.sleep(POLL_SECONDS)
        return time.perf_counter()


@contextmanager
def replicas(database_url: str, bootstrap: str) -> Iterator[Replicas]:
    """Run the ledger's consumer in as many processes as there are processors, each with partitions."""
    context = multiprocessing.get_context("spawn")
    counters = [context.Value("q", 0) for _ in range(REPLICAS)]
    pipes = [context.Pipe() for _ in range(REPLICAS)]
    processes = [
        context.Process(target=_replica, args=(database_url, bootstrap, counter, pipe), daemon=True)
        for counter, (_, pipe) in zip(counters, pipes, strict=True)
    ]
    try:
        for process in processes:
            process.start()
        for mine, _ in pipes:
            if not mine.poll(START_TIMEOUT_SECONDS):
                raise TimeoutError("a replica was given no partitions")
        for mine, _ in pipes:
            mine.send("go")
        yield Replicas(processes, counters)
    finally:
        for process in processes:
            process.terminate()
            process.join()


def _replica(database_url: str, bootstrap: str, applied: Any, pipe: Connection) -> None:
    calm_garbage_collector()
    uvloop.run(_consume(database_url, bootstrap, applied, pipe))


async def _consume(database_url: str, bootstrap: str, applied: Any, pipe: Connection) -> None:
    """Say when there are partitions, wait for all the others, and then consume until terminated."""
    database = Database(database_url, pool_size=4)
    bus = connect("kafka", bootstrap=bootstrap)
    await bus.start()
    consumer = ledger_consumer(database, bus, BATCH_RECORDS)
    subscription = bus.subscribe("points", ["orders"])
    await subscription.start()
    while not 0 < len(subscription.assigned) <= FAIR_SHARE:  # noqa: ASYNC110 - the driver tells nobody
        await asyncio.sleep(POLL_SECONDS)
    pipe.send("ready")
    await asyncio.to_thread(pipe.recv)
    while True:
        async with subscription.batch(BATCH_RECORDS, 1.0) as records:
            if records:
                await consumer.apply(records)
        applied.value += len(records)
