"""Liveness and readiness that mean something, and the figures behind them.

Live: the process and its loops turn. Ready: the database answers, its migrations are at head, the consumer
has not stopped itself, no loop keeps dying, and the process is not draining. An outage of the bus does not
take an API down, because the outbox keeps what it accepts: it shows in the body and in the metrics only.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import structlog
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from sqlalchemy.ext.asyncio import AsyncSession

from shared import dead_letters, metrics, migrations
from shared.bus import Bus, BusUnavailable
from shared.consumer import Consumer
from shared.database import Database, is_outage
from shared.metrics import metrics_endpoint
from shared.relay import measure

__all__ = ["Health", "health_router"]

log = structlog.get_logger("regulars.health")

# A loop that has not turned for this long is stuck: longer than any batch, back-off or job may take.
HEARTBEAT_LIMIT_SECONDS = 120.0
# A loop that dies again within this time of its restart is broken, not unlucky.
BROKEN_WITHIN_SECONDS = 30.0


class Health:
    """What one process knows about itself."""

    def __init__(
        self,
        service: str,
        database: Database,
        bus: Bus,
        heads: Sequence[str],
        backlogs: Mapping[str, Callable[[AsyncSession], Awaitable[int]]],
    ) -> None:
        self.service = service
        self.draining = False
        self.consumer: Consumer | None = None
        self.heard: Sequence[str] = ()
        self._database = database
        self._bus = bus
        self._heads = heads
        self._backlogs = backlogs
        self._beats: dict[str, float] = {}
        self._failed_at: dict[str, float] = {}
        self._broken: set[str] = set()

    def heartbeat(self, name: str) -> Callable[[], None]:
        """Return the function that a loop calls whenever it turns."""

        def beat() -> None:
            self._beats[name] = time.monotonic()

        beat()
        return beat

    def loop_failed(self, name: str, *, after_seconds: float) -> None:
        """Take note that a loop died of a bug, `after_seconds` after it was started."""
        self._failed_at[name] = time.monotonic()
        if after_seconds < BROKEN_WITHIN_SECONDS:
            self._broken.add(name)
        else:
            self._broken.discard(name)

    def _broken_loops(self) -> list[str]:
        """Name the loops that keep dying; one that has run for a while since is forgiven."""
        now = time.monotonic()
        self._broken = {name for name in self._broken if now - self._failed_at[name] < BROKEN_WITHIN_SECONDS}
        return sorted(self._broken)

    def drain(self) -> None:
        """Stop being ready; requests are still answered."""
        self.draining = True
        metrics.READY.set(0)

    def live(self) -> dict[str, Any]:
        """Say whether every loop has turned lately."""
        now = time.monotonic()
        stuck = sorted(name for name, at in self._beats.items() if now - at > HEARTBEAT_LIMIT_SECONDS)
        return {"status": "stuck" if stuck else "alive", "stuck": stuck}

    async def ready(self) -> dict[str, Any]:
        """Say whether this process should get requests, and how much work is left to do.

        `backlog.lag` is null while the bus is away.
        """
        database, migrated, counts = await self._look_at_database()
        checks = {
            "database": database,
            "migrations": migrated,
            "consumer": self.consumer is None or not self.consumer.stopped,
            "loops": not self._broken_loops(),
            "serving": not self.draining,
        }
        backlog: dict[str, int | None] = {"lag": await self._lag(), **counts}
        ready = all(checks.values())
        metrics.READY.set(ready)
        return {
            "status": "ready" if ready else "not ready",
            "service": self.service,
            "checks": checks,
            "bus": "down" if backlog["lag"] is None else "up",
            "backlog": backlog,
        }

    async def _look_at_database(self) -> tuple[bool, bool, dict[str, int | None]]:
        """Say whether it answers and is at head, and count; it may go away at any step of this."""
        try:
            if not await self._database.ping():
                return False, False, {}
            if not await migrations.at_head(self._heads, self._database):
                return True, False, {}
            return True, True, await self._count()
        except Exception as error:
            if not is_outage(error):
                raise
            return False, False, {}

    async def _count(self) -> dict[str, int | None]:
        async with self._database.reading() as session:
            counts: dict[str, int | None] = {"outbox": await measure(session)}
            counts["dead_letters"] = await dead_letters.count_waiting(session)
            for name, count in self._backlogs.items():
                counts[name] = await count(session)
        metrics.DEAD_LETTERS_WAITING.set(counts["dead_letters"] or 0)
        return counts

    async def _lag(self) -> int | None:
        """Records not yet consumed, or None if the bus is away."""
        try:
            if not self.heard:
                up = await self._bus.ping()
                metrics.BUS_UP.set(up)
                return 0 if up else None
            lag = await self._bus.lag(self.service, self.heard)
        except BusUnavailable:
            metrics.BUS_UP.set(0)
            return None
        metrics.BUS_UP.set(1)
        by_topic = dict.fromkeys(self.heard, 0)
        for (topic, _), records in lag.items():
            by_topic[topic] = by_topic.get(topic, 0) + records
        for topic, records in by_topic.items():
            metrics.CONSUMER_LAG.labels(self.service, topic).set(records)
        return sum(by_topic.values())

    async def watch(self, alive: Callable[[], None], every_seconds: float) -> None:
        """Keep the gauges fresh, so that they can be scraped without being computed per scrape."""
        pool: Any = self._database.engine.pool
        while True:
            alive()
            try:
                await self.ready()
            except Exception as error:
                if not is_outage(error):
                    raise
                log.warning("health.unknown", error=type(error).__name__)
            metrics.DATABASE_POOL_LIMIT.set(pool.size())
            metrics.DATABASE_CONNECTIONS.labels("in_use").set(pool.checkedout())
            metrics.DATABASE_CONNECTIONS.labels("idle").set(pool.checkedin())
            await asyncio.sleep(every_seconds)


def health_router() -> APIRouter:
    """The four routes every service answers beside its own."""
    router = APIRouter(tags=["operations"], include_in_schema=False)

    @router.get("/healthz")
    async def healthz(request: Request) -> JSONResponse:
        report = request.app.state.health.live()
        return JSONResponse(report, status_code=200 if report["status"] == "alive" else 503)

    @router.get("/readyz")
    async def readyz(request: Request) -> JSONResponse:
        report = await request.app.state.health.ready()
        return JSONResponse(report, status_code=200 if report["status"] == "ready" else 503)

    router.add_route("/metrics", metrics_endpoint, include_in_schema=False)
    return router
