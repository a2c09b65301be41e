"""W3C trace context: one trace from a request through outbox and bus to whatever it causes.

The current `traceparent` lives in a context variable; the outbox stores it with each event and the consumer
takes it up again. Ids are always there. Spans are recorded only if the extra `otel` is installed and
`configure` was called with an endpoint. Source: https://www.w3.org/TR/trace-context-2/.
"""

import re
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Self

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.ids import new_id
from shared.metrics import route_template

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer

__all__ = [
    "Request",
    "TraceContext",
    "child",
    "configure",
    "current_traceparent",
    "is_traceparent",
    "new_traceparent",
    "records_spans",
    "request_id",
    "span",
    "trace_id",
    "use_traceparent",
]

# A later version may append fields, which a reader of version 00 ignores.
_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
# What a caller may send as a request id: it is echoed and logged, so nothing that could forge either.
_REQUEST_ID = re.compile(rb"[A-Za-z0-9_.:-]{1,64}")
_SAMPLED = "01"

_traceparent: ContextVar[str | None] = ContextVar("traceparent", default=None)
_request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
_tracer: "Tracer | None" = None


def is_traceparent(value: str | None) -> bool:
    """Say whether `value` is a valid traceparent header."""
    if value is None or (match := _TRACEPARENT.fullmatch(value)) is None:
        return False
    version, trace, parent, _, rest = match.groups()
    if version == "ff" or (version == "00" and rest):
        return False
    return trace != "0" * 32 and parent != "0" * 16


def new_traceparent() -> str:
    """A traceparent that starts a new trace."""
    # One call of the system for both ids.
    digits = secrets.token_hex(24)
    return f"00-{digits[:32]}-{digits[32:]}-{_SAMPLED}"


def child(traceparent: str | None = None) -> str:
    """A traceparent with a span id of its own in the trace of `traceparent`, or of the current one.

    Without a valid one it starts a trace.
    """
    parent = traceparent if traceparent is not None else _traceparent.get()
    if parent is None or not is_traceparent(parent):
        return new_traceparent()
    _, trace, _, flags = parent.split("-")[:4]
    return f"00-{trace}-{secrets.token_hex(8)}-{flags}"


def current_traceparent() -> str | None:
    """The traceparent of the work at hand, if it is part of a trace."""
    return _traceparent.get()


def trace_id() -> str | None:
    """The trace id (32 hex digits) of the work at hand."""
    current = _traceparent.get()
    return None if current is None else current[3:35]


def records_spans() -> bool:
    """Say whether spans are recorded, beside ids."""
    return _tracer is not None


def request_id() -> str | None:
    """The id of the HTTP request at hand."""
    return _request_id.get()


@contextmanager
def use_traceparent(value: str | None) -> Iterator[None]:
    """Make `value` the current traceparent; an invalid one counts as none."""
    token = _traceparent.set(value if is_traceparent(value) else None)
    try:
        yield
    finally:
        _traceparent.reset(token)


class Request:
    """Makes an HTTP request the work at hand; `echoed` are the headers that tell the caller of it.

    It continues the trace of `traceparent`, or starts one if that is no valid one, and is known by the
    caller's `x-request-id` if that can do no harm. `current` is a traceparent that was found before.
    """

    __slots__ = ("_identity", "_request_token", "_trace_token", "current", "echoed")

    def __init__(self, incoming: str | None, identity: bytes | None, *, current: str | None = None) -> None:
        self.current = current or child(incoming or "")
        if identity is not None and _REQUEST_ID.fullmatch(identity):
            self._identity = identity.decode("ascii")
        else:
            self._identity = str(new_id())
        self.echoed = [
            (b"traceparent", self.current.encode()),
            (b"x-request-id", self._identity.encode()),
        ]

    def __enter__(self) -> Self:
        self._trace_token = _traceparent.set(self.current)
        self._request_token = _request_id.set(self._identity)
        return self

    def __exit__(self, *_: object) -> None:
        _request_id.reset(self._request_token)
        _traceparent.reset(self._trace_token)


class TraceContext:
    """ASGI middleware: continues or starts a trace, and echoes `traceparent` and `x-request-id`."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        incoming, identity = None, None
        for name, value in scope["headers"]:
            if name == b"traceparent":
                incoming = value.decode("latin-1")
            elif name == b"x-request-id":
                identity = value
        with (
            _request_span(scope, incoming) as current,
            Request(incoming, identity, current=current) as request,
        ):

            async def echoing_send(message: Message) -> None:
                if message["type"] == "http.response.start":
                    message["headers"] = [*message.get("headers", ()), *request.echoed]
                await send(message)

            await self.app(scope, receive, echoing_send)


@contextmanager
def _request_span(scope: Scope, incoming: str | None) -> Iterator[str]:
    if _tracer is None:
        yield child(incoming or "")
        return
    from opentelemetry.trace import SpanKind

    with _recording(scope["method"], SpanKind.SERVER, incoming, ()) as (current, recorded):
        recorded.set_attribute("http.request.method", scope["method"])
        yield current
        # Only after routing is it known which template answered; raw paths hold ids.
        template = route_template(scope)
        recorded.update_name(f"{scope['method']} {template}")
        recorded.set_attribute("http.route", template)


@contextmanager
def span(
    name: str, *, parent: str | None = None, links: Iterable[str | None] = (), **attributes: str | int
) -> Iterator[None]:
    """Record a piece of work (a relay round, a consumer batch) as a span, if spans are recorded at all.

    `links` are the traceparents that the work combines; at most 128 of them are kept, as OpenTelemetry does.
    """
    if _tracer is None:
        yield
        return
    from opentelemetry.trace import SpanKind

    with _recording(name, SpanKind.INTERNAL, parent or _traceparent.get(), links) as (current, recorded):
        recorded.set_attributes(attributes)
        with use_traceparent(current):
            yield


@contextmanager
def _recording(
    name: str, kind: Any, parent: str | None, links: Iterable[str | None]
) -> Iterator[tuple[str, Any]]:
    from opentelemetry.trace import Link, get_current_span
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    propagator = TraceContextTextMapPropagator()

    def context_of(traceparent: str) -> Any:
        return propagator.extract({"traceparent": traceparent})

    linked = [
        Link(get_current_span(context_of(value)).get_span_context())
        for value in list(dict.fromkeys(links))[:128]
        if value is not None and is_traceparent(value)
    ]
    context = context_of(parent) if parent is not None and is_traceparent(parent) else None
    assert _tracer is not None
    with _tracer.start_as_current_span(name, context=context, kind=kind, links=linked) as recorded:
        current = recorded.get_span_context()
        flags = format(int(current.trace_flags), "02x")
        yield f"00-{current.trace_id:032x}-{current.span_id:016x}-{flags}", recorded


def configure(service: str, endpoint: str | None) -> bool:
    """Record spans and send them to an OTLP/HTTP `endpoint`; returns whether they are recorded.

    Without an endpoint or without the extra `otel` nothing is recorded and nothing is imported.
    """
    global _tracer
    if not endpoint:
        return False
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.instrumentation.asyncpg import AsyncPGInstrumentor
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        structlog.get_logger("regulars.tracing").warning("otel_extra_not_installed")
        return False
    provider = TracerProvider(resource=Resource.create({"service.name": f"regulars-{service}"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint)))
    # The statements, not their parameters: those hold personal data.
    AsyncPGInstrumentor(capture_parameters=False).instrument(tracer_provider=provider)
    _tracer = provider.get_tracer("regulars")
    return True
