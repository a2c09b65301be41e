"""Every metric of the platform, declared once, with what it means and when to look at it.

`docs/observability.md` is generated from this module and the services' own: `python -m shared.observability`.
Counters end in `_total`; units come last in a name. No label ever holds an id or anything personal: each
label value is a time series that lives as long as the process.
"""

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

REGISTRY: Final = CollectorRegistry()
ProcessCollector(registry=REGISTRY)
PlatformCollector(registry=REGISTRY)
GCCollector(registry=REGISTRY)


@dataclass(frozen=True)
class Declared:
    """A metric as the documentation shows it."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    meaning: str
    labels: tuple[str, ...]
    area: str
    module: str


DECLARED: list[Declared] = []

# Seconds. Requests and batches live between a millisecond and the ten-second mark where clients give up.
DURATION_BUCKETS_SECONDS: Final = (
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
    10.0,
)
# Records or commands in one go: powers of four up to the largest batch that settings allow.
SIZE_BUCKETS: Final = (1, 4, 16, 64, 256, 1024, 4096, 16384)


def _declare(
    name: str, kind: Literal["counter", "gauge", "histogram"], meaning: str, labels: Sequence[str]
) -> None:
    # Two calls up is the module that declares: this one, or a service's for what only it has.
    module = str(sys._getframe(2).f_globals["__name__"])
    DECLARED.append(Declared(name, kind, meaning, tuple(labels), _area, module))


def counter(name: str, meaning: str, labels: Sequence[str] = ()) -> Counter:
    """A number that only grows; `name` ends in _total."""
    _declare(name, "counter", meaning, labels)
    return Counter(name, meaning, labels, registry=REGISTRY)


def gauge(name: str, meaning: str, labels: Sequence[str] = ()) -> Gauge:
    """A number that goes up and down."""
    _declare(name, "gauge", meaning, labels)
    return Gauge(name, meaning, labels, registry=REGISTRY)


def histogram(
    name: str, meaning: str, labels: Sequence[str] = (), buckets: Sequence[float] = DURATION_BUCKETS_SECONDS
) -> Histogram:
    """How a quantity is distributed; `buckets` are upper bounds in the unit that ends the name."""
    _declare(name, "histogram", meaning, labels)
    return Histogram(name, meaning, labels, registry=REGISTRY, buckets=buckets)


_area = "HTTP"
HTTP_REQUESTS: Final = counter(
    "regulars_http_requests_total",
    "Answered requests by route template; `unmatched` where no route did. Errors are status 5xx.",
    ("method", "route", "status"),
)
HTTP_DURATION: Final = histogram(
    "regulars_http_request_duration_seconds",
    "From the first byte of a request to the last byte of its answer.",
    ("method", "route"),
)
HTTP_IN_PROGRESS: Final = gauge(
    "regulars_http_requests_in_progress", "Requests being answered now; a plateau means callers are queueing."
)
REFUSALS: Final = counter(
    "regulars_refusals_total", "Problem documents answered, by their stable code.", ("code",)
)
AUTHENTICATIONS: Final = counter(
    "regulars_authentications_total",
    "Credentials judged: `key`, `token` and `dev` were accepted; `refused` and `missing` were not.",
    ("outcome",),
)
IDEMPOTENCY: Final = counter(
    "regulars_idempotency_total",
    "Requests with an Idempotency-Key: `first`, `replayed`, or `conflict` with another body or a twin.",
    ("outcome",),
)
READY: Final = gauge("regulars_ready", "1 while /readyz says ready; 0 in an outage or while draining.")

_area = "Group commit"
GROUP_COMMIT_BATCH: Final = histogram(
    "regulars_group_commit_batch_commands",
    "Commands that shared one transaction; near the limit means the database is the bottleneck.",
    ("name",),
    SIZE_BUCKETS,
)
GROUP_COMMIT_DURATION: Final = histogram(
    "regulars_group_commit_duration_seconds", "One shared transaction from begin to commit.", ("name",)
)
GROUP_COMMIT_QUEUE: Final = gauge(
    "regulars_group_commit_queue_commands", "Commands that wait for the next shared transaction.", ("name",)
)
GROUP_COMMIT_OVERLOADED: Final = counter(
    "regulars_group_commit_overloaded_total",
    "Commands turned away with 503 because the queue was full.",
    ("name",),
)

_area = "Outbox and relay"
OUTBOX_DEPTH: Final = gauge(
    "regulars_outbox_depth_records", "Events committed but not yet published; grows while the bus is away."
)
OUTBOX_AGE: Final = gauge(
    "regulars_outbox_oldest_age_seconds", "Age of the oldest event not yet published; 0 with an empty outbox."
)
HORIZON_AGE: Final = gauge(
    "regulars_outbox_horizon_age_seconds",
    "Age of the oldest open write transaction, which holds the relay back; long ones delay every event.",
)
RELAY_PUBLISHED: Final = counter(
    "regulars_relay_published_total", "Events that the bus acknowledged, by topic.", ("topic",)
)
RELAY_BATCH: Final = histogram(
    "regulars_relay_batch_records", "Events published in one round of the relay.", (), SIZE_BUCKETS
)
RELAY_DURATION: Final = histogram(
    "regulars_relay_publish_duration_seconds", "One round of the relay until all are acknowledged."
)
RELAY_FAILURES: Final = counter(
    "regulars_relay_failures_total",
    "Rounds of the relay that failed and will be repeated, by kind.",
    ("kind",),
)
RELAY_LEADER: Final = gauge(
    "regulars_relay_leader", "1 in the one process per service that publishes its outbox."
)

_area = "Bus and consumer"
BUS_UP: Final = gauge("regulars_bus_up", "1 while the bus answers; the API keeps serving at 0.")
BUS_OFFSETS_LOST: Final = counter(
    "regulars_bus_offsets_lost_total",
    "Records that retention removed before the group read them; raise retention or look why it was away.",
    ("group", "topic"),
)
CONSUMER_LAG: Final = gauge(
    "regulars_consumer_lag_records",
    "Records published and not yet taken in, by group and topic.",
    ("group", "topic"),
)
CONSUMER_LAG_SECONDS: Final = gauge(
    "regulars_consumer_lag_seconds",
    "Age of the newest record taken in when its batch was committed; 0 when caught up.",
    ("group", "topic"),
)
CONSUMER_BATCH: Final = histogram(
    "regulars_consumer_batch_records", "Records in one committed batch.", ("group",), SIZE_BUCKETS
)
CONSUMER_DURATION: Final = histogram(
    "regulars_consumer_batch_duration_seconds", "One batch from its claim to its commit.", ("group",)
)
CONSUMER_EVENTS: Final = counter(
    "regulars_consumer_events_total",
    "Records taken in by type: `handled`, `duplicate` (seen before), `unheard` (no handler), `dead`.",
    ("group", "type", "outcome"),
)
CONSUMER_SPLITS: Final = counter(
    "regulars_consumer_splits_total",
    "Batches cut in two to find the record that a handler refuses.",
    ("group",),
)
CONSUMER_BACKOFFS: Final = counter(
    "regulars_consumer_backoffs_total",
    "Batches put back because of an outage, by what was away: `database`, `bus` or `other`.",
    ("group", "reason"),
)
CONSUMER_STOPPED: Final = gauge(
    "regulars_consumer_stopped",
    "1 when a consumer stopped itself because most of a window was refused; somebody must look.",
    ("group",),
)
DEAD_LETTERS: Final = counter(
    "regulars_dead_letters_total", "Records set aside, by topic and reason.", ("topic", "reason")
)
DEAD_LETTERS_WAITING: Final = gauge(
    "regulars_dead_letters_waiting_records", "Dead letters neither retried nor dropped yet."
)

_area = "Database"
DATABASE_CONNECTIONS: Final = gauge(
    "regulars_database_connections", "Pooled connections by state: `in_use`, `idle`.", ("state",)
)
DATABASE_POOL_LIMIT: Final = gauge(
    "regulars_database_pool_limit_connections", "The most connections that this process may open."
)
DATABASE_TRANSACTION: Final = histogram(
    "regulars_database_transaction_duration_seconds",
    "Transactions from begin to end, by `write` or `read`.",
    ("kind",),
)
DATABASE_ERRORS: Final = counter(
    "regulars_database_errors_total",
    "Failed transactions by kind: `outage`, `serialization`, `deadlock`, `integrity`, `timeout`, `other`.",
    ("kind",),
)

_area = "Jobs"
JOB_RUNS: Final = counter(
    "regulars_job_runs_total",
    "Runs of a timed job by outcome: `done`, `failed`, `outage`.",
    ("job", "outcome"),
)
JOB_ROWS: Final = counter("regulars_job_rows_total", "Rows that a timed job has worked off.", ("job",))
JOB_DURATION: Final = histogram("regulars_job_duration_seconds", "One run of a timed job.", ("job",))
JOB_LAST_SUCCESS: Final = gauge(
    "regulars_job_last_success_timestamp_seconds",
    "Unix time of the last run that succeeded; alert when it stands still.",
    ("job",),
)

_area = "Build"
BUILD: Final = gauge(
    "regulars_build_info",
    "Always 1; its labels say what is running.",
    ("service", "version", "profile", "role"),
)

PLATFORM: Final = tuple(DECLARED)
"""What this module declares; a service's own metrics join `DECLARED` when its modules are imported."""

_METHODS: Final = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"})
UNMATCHED: Final = "unmatched"


def route_template(scope: Scope) -> str:
    """The template of the route that answered (`/v1/members/{member_id}`), or `unmatched`.

    A router that was included with a prefix keeps the whole template in FastAPI's own part of the scope.
    """
    context = scope.get("fastapi", {}).get("effective_route_context")
    route = context if context is not None else scope.get("route")
    template = getattr(route, "path_format", None) or getattr(route, "path", None)
    return template if isinstance(template, str) and template else UNMATCHED


class RequestCounts:
    """Counts and times requests; the labelled children are kept.

    Looking one up takes a lock and a tuple of strings; here it is one dict access.
    """

    def __init__(self) -> None:
        self._counters: dict[tuple[str, str, int], Any] = {}
        self._durations: dict[tuple[str, str], Any] = {}

    def record(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one answered request of a route template."""
        requests = self._counters.get((method, route, status))
        if requests is None:
            requests = HTTP_REQUESTS.labels(method, route, str(status))
            self._counters[method, route, status] = requests
        durations = self._durations.get((method, route))
        if durations is None:
            durations = self._durations[method, route] = HTTP_DURATION.labels(method, route)
        requests.inc()
        durations.observe(seconds)


class RequestMetrics:
    """ASGI middleware that counts and times requests by route template."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self._requests = RequestCounts()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = time.perf_counter()
        status = 500

        async def watched_send(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        HTTP_IN_PROGRESS.inc()
        try:
            await self.app(scope, receive, watched_send)
        finally:
            HTTP_IN_PROGRESS.dec()
            method = scope["method"] if scope["method"] in _METHODS else "OTHER"
            self._requests.record(method, route_template(scope), status, time.perf_counter() - started)


async def metrics_endpoint(request: Request) -> Response:
    """GET /metrics: everything of this process in the Prometheus text format."""
    return Response(generate_latest(REGISTRY), headers={"content-type": CONTENT_TYPE_LATEST})
