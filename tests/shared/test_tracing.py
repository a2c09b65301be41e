"""A trace goes on through HTTP and context, and nothing malformed becomes part of one."""

import httpx
import pytest
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st

from shared import tracing
from shared.testing import api_client

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
VALID = f"00-{TRACE}-00f067aa0ba902b7-01"


@pytest.mark.parametrize(
    ("value", "valid"),
    [
        (VALID, True),
        (VALID.replace("00-", "01-", 1), True),
        (VALID.replace("00-", "01-", 1) + "-more", True),
        (VALID + "-more", False),
        (VALID.replace("00-", "ff-", 1), False),
        (VALID.upper(), False),
        (f"00-{'0' * 32}-00f067aa0ba902b7-01", False),
        (f"00-{TRACE}-{'0' * 16}-01", False),
        (VALID[:-1], False),
        (VALID + "\n", False),
        ("", False),
        (None, False),
    ],
)
def test_what_is_a_traceparent(value: str | None, valid: bool) -> None:
    assert tracing.is_traceparent(value) is valid


def test_a_child_stays_in_the_trace() -> None:
    child = tracing.child(VALID)
    assert tracing.is_traceparent(child)
    assert child[3:35] == TRACE
    assert child != VALID
    with tracing.use_traceparent(VALID):
        assert tracing.child()[3:35] == TRACE


@given(st.text())
def test_whatever_comes_in_what_goes_out_is_valid(text: str) -> None:
    assert tracing.is_traceparent(tracing.child(text))


def test_the_current_trace_ends_with_its_work() -> None:
    assert tracing.current_traceparent() is None
    with tracing.use_traceparent(VALID):
        assert tracing.current_traceparent() == VALID
        assert tracing.trace_id() == TRACE
        with tracing.use_traceparent("nonsense"):
            assert tracing.current_traceparent() is None
        assert tracing.current_traceparent() == VALID
    assert tracing.current_traceparent() is None


def application() -> FastAPI:
    app = FastAPI()

    @app.get("/")
    async def inside() -> dict[str, str | None]:
        return {"traceparent": tracing.current_traceparent(), "request_id": tracing.request_id()}

    app.add_middleware(tracing.TraceContext)
    return app


async def call(**headers: str) -> httpx.Response:
    async with api_client(application()) as client:
        return await client.get("/", headers={name.replace("_", "-"): v for name, v in headers.items()})


async def test_a_request_continues_the_callers_trace() -> None:
    response = await call(traceparent=VALID, x_request_id="order-77")
    inside = response.json()
    assert inside["traceparent"][3:35] == TRACE
    assert inside["traceparent"] == response.headers["traceparent"] != VALID
    assert inside["request_id"] == response.headers["x-request-id"] == "order-77"


async def test_a_request_without_a_usable_trace_starts_one() -> None:
    response = await call(traceparent="00-bad", x_request_id="no spaces please")
    assert tracing.is_traceparent(response.headers["traceparent"])
    assert response.headers["x-request-id"] != "no spaces please"
    assert (await call()).headers["traceparent"] != response.headers["traceparent"]


def test_spans_cost_nothing_unless_they_are_recorded() -> None:
    assert tracing.configure("points", None) is False
    with tracing.use_traceparent(VALID), tracing.span("batch", links=[VALID], records=1):
        assert tracing.current_traceparent() == VALID


async def test_recorded_spans_carry_route_parent_and_links(monkeypatch: pytest.MonkeyPatch) -> None:
    sdk = pytest.importorskip("opentelemetry.sdk.trace", reason="the extra `otel` is not installed")
    export = pytest.importorskip("opentelemetry.sdk.trace.export")
    memory = pytest.importorskip("opentelemetry.sdk.trace.export.in_memory_span_exporter")
    recorded = memory.InMemorySpanExporter()
    provider = sdk.TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(export.SimpleSpanProcessor(recorded))
    monkeypatch.setattr(tracing, "_tracer", provider.get_tracer("test"))
    response = await call(traceparent=VALID)
    with tracing.span("consume", links=[response.headers["traceparent"], None], records=2):
        assert tracing.is_traceparent(tracing.current_traceparent())
    request, batch = recorded.get_finished_spans()
    assert request.name == "GET /"
    assert format(request.context.trace_id, "032x") == TRACE
    assert response.headers["traceparent"][36:52] == format(request.context.span_id, "016x")
    assert batch.attributes["records"] == 2
    assert batch.links[0].context.span_id == request.context.span_id
