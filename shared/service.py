"""One service as one value, and the process that runs it.

Every service is the same shape: an API, a relay, a consumer and jobs over one database. `Service` names the
parts, `application()` puts them behind FastAPI, `run()` is the body of `python -m services.<name>`.
"""

import argparse
import asyncio
import gc
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from types import FrameType
from typing import Any

import structlog
import uvicorn
from fastapi import APIRouter, FastAPI
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.types import ASGIApp, Scope

from shared import logs, metrics, migrations, openapi, problems, tracing
from shared.auth import Authenticator
from shared.backoff import Backoff
from shared.bus import Bus, BusUnavailable, connect
from shared.consumer import Consumer, Handlers
from shared.database import Database, will_pass
from shared.edge import Desk, Platform
from shared.events import TOPICS
from shared.fast_path import FastGlance, FastPath, FastRoute
from shared.health import Health, health_router
from shared.housekeeping import housekeeping_jobs
from shared.jobs import Jobs, run_job
from shared.relay import Relay
from shared.request_limits import RequestLimits
from shared.settings import ServiceSettings

__all__ = ["Service", "run"]

log = structlog.get_logger("regulars.service")

# A loop that died of a bug is started again after this pause, so that it cannot spin.
RESTART_PAUSE_SECONDS = 1.0

Backlog = Callable[[AsyncSession], Awaitable[int]]


@dataclass(frozen=True, kw_only=True)
class Service:
    """What makes one service: everything else about it is the same for all.

    `backlogs` count work that is still to do, by name, for `/readyz`; `desks` are its group-committed
    operations, `fast_routes` the ways to them that skip the framework; `lifespan` holds what its API or jobs
    need open, such as an SMTP pool.
    """

    name: str
    title: str
    settings: Callable[[], ServiceSettings]
    routers: Sequence[APIRouter]
    handlers: Handlers
    jobs: Jobs
    backlogs: Mapping[str, Backlog] = field(default_factory=dict)
    desks: Sequence[Desk[Any, Any]] = ()
    fast_routes: Sequence[FastRoute[Any] | FastGlance] = ()
    lifespan: Callable[[FastAPI], Any] | None = None

    def application(self, settings: ServiceSettings | None = None) -> FastAPI:
        """Build the ASGI application; its lifespan starts and stops all that `settings.role` asks for."""
        chosen = settings or self.settings()
        serves = chosen.role in ("api", "all")
        app = _Application(
            self.fast_routes if serves else (),
            title=f"Regulars {self.name}",
            description=self.title,
            version="1",
            lifespan=lambda app: _running(self, chosen, app),
            separate_input_output_schemas=False,
        )
        problems.install(app, is_outage=will_pass)
        openapi.install(app)
        app.include_router(health_router())
        if serves:
            for router in self.routers:
                app.include_router(router)
        app.add_middleware(RequestLimits, max_body_bytes=chosen.request_body_max_bytes)
        app.add_middleware(tracing.TraceContext)
        app.add_middleware(metrics.RequestMetrics)
        return app


class _Application(FastAPI):
    """FastAPI behind a fast path."""

    def __init__(self, fast_routes: Sequence[FastRoute[Any] | FastGlance], **settings: Any) -> None:
        super().__init__(**settings)
        self._fast_routes = fast_routes

    def build_middleware_stack(self) -> ASGIApp:
        stack = super().build_middleware_stack()
        if not self._fast_routes:
            return stack
        return FastPath(stack, self._fast_routes, _authenticator, _database, will_pass)


def _database(scope: Scope) -> Database:
    found: Database = scope["app"].state.platform.database
    return found


def _authenticator(scope: Scope) -> Authenticator:
    found: Authenticator = scope["app"].state.authenticator
    return found


@asynccontextmanager
async def _running(service: Service, settings: ServiceSettings, app: FastAPI) -> AsyncIterator[None]:
    """Open everything the process needs, run its loops, and close in the reverse order."""
    async with AsyncExitStack() as stack:
        database = Database(
            settings.database_url.get_secret_value(),
            pool_size=settings.database_pool_size,
            pool_timeout_seconds=settings.database_pool_timeout_seconds,
            connect_timeout_seconds=settings.database_connect_timeout_seconds,
            statement_timeout_seconds=settings.database_statement_timeout_seconds,
            lock_timeout_seconds=settings.database_lock_timeout_seconds,
        )
        stack.push_async_callback(database.close)
        bus = _bus(service, settings)
        await bus.start()
        stack.push_async_callback(bus.close)
        authenticator = Authenticator(database, settings)
        stack.push_async_callback(authenticator.close)
        for desk in service.desks:
            desk.open(
                database,
                max_batch=settings.group_commit_max_batch,
                max_queue=settings.group_commit_max_queue,
                linger_seconds=settings.group_commit_linger_seconds,
            )
            stack.push_async_callback(desk.close)
        app.state.authenticator = authenticator
        app.state.platform = Platform(
            settings, database, authenticator.authenticate, {desk.name: desk for desk in service.desks}
        )
        health = Health(service.name, database, bus, migrations.heads(service.name), service.backlogs)
        app.state.health = health
        if service.lifespan is not None:
            await stack.enter_async_context(service.lifespan(app))
        await _start_loops(service, settings, database, bus, health, stack)
        log.info("service.started", service=service.name, role=settings.role)
        yield
        health.drain()
    log.info("service.stopped", service=service.name)


def _bus(service: Service, settings: ServiceSettings) -> Bus:
    url = settings.bus_database_url or settings.database_url
    return connect(
        settings.bus,
        database_url=url.get_secret_value(),
        bootstrap=settings.kafka_bootstrap,
        client_id=f"regulars-{service.name}",
    )


async def _start_loops(
    service: Service,
    settings: ServiceSettings,
    database: Database,
    bus: Bus,
    health: Health,
    stack: AsyncExitStack,
) -> None:
    """Start the loops that the role asks for; on the way out they stop before anything they use closes."""
    loops = _Loops(health)
    stack.push_async_callback(loops.stop, settings.drain_seconds)
    loops.start("measure", lambda alive: health.watch(alive, settings.bus_ping_seconds))
    if settings.role not in ("worker", "all"):
        return
    consumer = Consumer(
        database,
        bus,
        service.handlers,
        group=service.name,
        batch_records=settings.consumer_batch_records,
        wait_seconds=settings.consumer_wait_seconds,
        linger_seconds=settings.consumer_linger_seconds,
        stop_ratio=settings.dead_letter_stop_ratio,
        stop_window=settings.dead_letter_stop_window,
        backoff_max_seconds=settings.consumer_backoff_max_seconds,
    )
    health.consumer = consumer
    health.heard = service.handlers.topics
    relay = Relay(
        database,
        bus,
        source=service.name,
        batch_records=settings.outbox_batch_records,
        linger_seconds=settings.outbox_linger_seconds,
        idle_seconds=settings.outbox_poll_seconds,
    )

    async def consume(alive: Callable[[], None]) -> None:
        await _ensure_topics(bus, alive)
        await consumer.run(alive, lambda: loops.stopping)

    async def publish(alive: Callable[[], None]) -> None:
        await _ensure_topics(bus, alive)
        await relay.run(alive)

    loops.start("consumer", consume)
    loops.start("relay", publish)
    for job in (*service.jobs, *housekeeping_jobs(settings, consumer)):
        loops.start(f"job {job.name}", partial(run_job, job, database))


async def _ensure_topics(bus: Bus, alive: Callable[[], None]) -> None:
    """Create missing topics, waiting for a bus that is away."""
    backoff = Backoff()
    while True:
        try:
            await bus.ensure_topics(TOPICS.values())
        except BusUnavailable:
            alive()
            await backoff.wait()
        else:
            return


class _Loops:
    """The process's background tasks. One that dies of a bug is started again; its heartbeat tells of it."""

    def __init__(self, health: Health) -> None:
        self._health = health
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self.stopping = False

    def start(self, name: str, loop: Callable[[Callable[[], None]], Awaitable[None]]) -> None:
        """Run a loop until the process stops. It gets a function to call whenever it turns."""
        self._tasks[name] = asyncio.create_task(self._keep_running(name, loop), name=name)

    async def _keep_running(self, name: str, loop: Callable[[Callable[[], None]], Awaitable[None]]) -> None:
        beat = self._health.heartbeat(name)
        while not self.stopping:
            started = time.monotonic()
            try:
                await loop(beat)
                return
            except Exception as error:
                log.exception("loop.failed", loop=name, error=type(error).__name__)
                self._health.loop_failed(name, after_seconds=time.monotonic() - started)
                await asyncio.sleep(RESTART_PAUSE_SECONDS)

    async def stop(self, drain_seconds: float) -> None:
        """Let the consumer finish the batch in hand, then cancel what remains."""
        self.stopping = True
        consumer = self._tasks.get("consumer")
        if consumer is not None:
            await asyncio.wait([consumer], timeout=drain_seconds)
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)


class _Server(uvicorn.Server):
    """uvicorn with a "not ready, still serving" phase: load balancers look away before the port closes."""

    def __init__(self, config: uvicorn.Config, app: FastAPI, pause_seconds: float) -> None:
        super().__init__(config)
        self._app = app
        self._pause_seconds = pause_seconds

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        health: Health | None = getattr(self._app.state, "health", None)
        if self.should_exit or health is None or health.draining or sig == signal.SIGINT:
            super().handle_exit(sig, frame)
            return
        health.drain()
        loop = asyncio.get_running_loop()
        loop.call_later(self._pause_seconds, super().handle_exit, sig, None)


def run(service: Service) -> None:
    """Run one service as a process until it is told to stop."""
    parser = argparse.ArgumentParser(prog=f"python -m services.{service.name}", description=service.title)
    parser.add_argument("--role", choices=("api", "worker", "all"), help="what this process does")
    parser.add_argument("--host", help="address to listen on")
    parser.add_argument("--port", type=int, help="TCP port to listen on")
    arguments = {name: value for name, value in vars(parser.parse_args()).items() if value is not None}
    settings = service.settings().model_copy(update=arguments)
    logs.configure(service.name, level=settings.log_level, access_log=settings.access_log)
    tracing.configure(service.name, settings.otel_endpoint)
    metrics.BUILD.labels(service.name, "0.1.0", settings.profile, settings.role).set(1)
    app = service.application(settings)
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=settings.access_log,
        timeout_graceful_shutdown=int(settings.drain_seconds),
        server_header=False,
        proxy_headers=False,
    )
    calm_garbage_collector()
    _Server(config, app, settings.readiness_pause_seconds).run()


def calm_garbage_collector() -> None:
    """Keep the collector from walking over what stays, and from walking at every hundredth order.

    A batch of a thousand orders makes some ten thousand objects, all freed by their counts; with the default
    thresholds the search for cycles among them took about a third of the intake's processor time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
