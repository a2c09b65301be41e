"""Timed work: small functions that a worker calls again and again, each in transactions of its own.

Correctness never depends on a job being on time, and a job may run twice or on two replicas at once: it
claims due rows with `FOR UPDATE SKIP LOCKED`, a bounded chunk at a time.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass

import structlog

from shared import metrics
from shared.backoff import Backoff
from shared.database import Database, will_pass

__all__ = ["Job", "Jobs", "run_job"]

log = structlog.get_logger("regulars.jobs")

Work = Callable[[Database], Awaitable[int]]

# A resting job says that it is alive well within the two minutes after which /healthz calls a loop stuck.
BEAT_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Job:
    """`work` returns how many rows it worked off; while that is above zero it is called again at once."""

    name: str
    every_seconds: float
    work: Work


class Jobs:
    """A service's jobs."""

    def __init__(self) -> None:
        self._jobs: list[Job] = []

    def every(self, seconds: float) -> Callable[[Work], Work]:
        """Register a job that runs every `seconds` after its previous run has ended."""

        def register(work: Work) -> Work:
            self._jobs.append(Job(getattr(work, "__name__", repr(work)), seconds, work))
            return work

        return register

    def __iter__(self) -> Iterator[Job]:
        return iter(self._jobs)


async def run_job(job: Job, database: Database, alive: Callable[[], None]) -> None:
    """Run one job for ever. A failure is logged and counted, and lengthens the wait for the next try."""
    backoff = Backoff(base_seconds=max(0.1, job.every_seconds), cap_seconds=max(30.0, job.every_seconds))
    while True:
        alive()
        started = time.perf_counter()
        try:
            rows = await job.work(database)
        except Exception as error:
            outage = will_pass(error)
            metrics.JOB_RUNS.labels(job.name, "outage" if outage else "failed").inc()
            if outage:
                log.warning("job.interrupted", job=job.name, error=type(error).__name__)
            else:
                log.exception("job.failed", job=job.name, error=type(error).__name__)
            await _rest(backoff.next_seconds(), alive)
            continue
        backoff.reset()
        metrics.JOB_RUNS.labels(job.name, "done").inc()
        metrics.JOB_ROWS.labels(job.name).inc(rows)
        metrics.JOB_DURATION.labels(job.name).observe(time.perf_counter() - started)
        metrics.JOB_LAST_SUCCESS.labels(job.name).set_to_current_time()
        # Work that is left is taken up at once, but other tasks of the loop get their turn.
        await _rest(0 if rows else job.every_seconds, alive)


async def _rest(seconds: float, alive: Callable[[], None]) -> None:
    """Sleep, and keep saying so: a job that runs once an hour is not stuck in between."""
    while seconds > BEAT_SECONDS:
        await asyncio.sleep(BEAT_SECONDS)
        alive()
        seconds -= BEAT_SECONDS
    await asyncio.sleep(seconds)
