"""Requests are counted by route template, and the page of metrics is what the declarations say."""

import re
import time
from pathlib import Path

from fastapi import APIRouter, FastAPI
from starlette.routing import Mount
from starlette.types import Message, Receive, Scope, Send

from shared import metrics, observability
from shared.metrics import REGISTRY, RequestMetrics, metrics_endpoint
from shared.problems import install
from shared.testing import api_client
from tests.architecture.tree import lines, python_files


def counted(method: str, route: str, status: int) -> float:
    labels = {"method": method, "route": route, "status": str(status)}
    return REGISTRY.get_sample_value("regulars_http_requests_total", labels) or 0.0


def application() -> FastAPI:
    inner = APIRouter(prefix="/things")

    @inner.get("/{thing_id}")
    async def thing(thing_id: int) -> int:
        if thing_id == 13:
            raise RuntimeError
        return thing_id

    outer = APIRouter(prefix="/metrics-test")
    outer.include_router(inner)
    app = FastAPI()
    app.include_router(outer)
    app.add_route("/metrics", metrics_endpoint)
    install(app)
    app.add_middleware(RequestMetrics)
    return app


async def test_requests_are_counted_by_template() -> None:
    template = "/metrics-test/things/{thing_id}"
    unmatched = counted("GET", "unmatched", 404)
    other = counted("OTHER", template, 405)
    async with api_client(application()) as client:
        for path in ("1", "2", "x", "13"):
            await client.get(f"/metrics-test/things/{path}")
        await client.get("/metrics-test/nothing/here")
        await client.request("BREW", "/metrics-test/things/1")
        page = (await client.get("/metrics")).text
    assert counted("GET", template, 200) == 2
    assert counted("GET", template, 422) == 1
    assert counted("GET", template, 500) == 1
    assert counted("GET", "unmatched", 404) == unmatched + 1
    assert counted("OTHER", template, 405) == other + 1
    durations = {"method": "GET", "route": template}
    assert REGISTRY.get_sample_value("regulars_http_request_duration_seconds_count", durations) == 4
    assert REGISTRY.get_sample_value("regulars_http_requests_in_progress") == 0
    assert "regulars_http_requests_total{" in page
    assert "process_cpu_seconds_total" in page


async def test_counting_a_request_costs_next_to_nothing() -> None:
    async def bare(scope: Scope, receive: Receive, send: Send) -> None:
        scope["route"] = mount
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def receive() -> Message:
        return {"type": "http.request"}

    async def send(message: Message) -> None:
        return None

    async def fastest(app: RequestMetrics | None) -> float:
        # The fastest of many rounds is what the code costs; the rest is what else the machine does.
        rounds = []
        for _ in range(40):
            started = time.perf_counter()
            for _ in range(100):
                await (app or bare)({"type": "http", "method": "GET"}, receive, send)
            rounds.append((time.perf_counter() - started) / 100)
        return min(rounds)

    mount = Mount("/cheap", app=bare)
    added_seconds = await fastest(RequestMetrics(bare)) - await fastest(None)
    assert added_seconds < 20e-6


def test_every_metric_is_named_and_explained() -> None:
    declared = observability.declared()
    names = [metric.name for metric in declared]
    assert len(names) == len(set(names))
    for metric in declared:
        assert re.fullmatch(r"regulars_[a-z_]+", metric.name)
        assert (metric.kind == "counter") == metric.name.endswith("_total")
        assert len(metric.meaning) > 20
        assert not {"id", "member_id", "key", "path"} & set(metric.labels)


def test_every_declared_metric_is_used() -> None:
    root = Path(metrics.__file__).parent
    sources = "".join(
        path.read_text(encoding="utf-8") for path in root.rglob("*.py") if path.name != "metrics.py"
    )
    own = Path(metrics.__file__).read_text(encoding="utf-8")
    declared = re.findall(r"^([A-Z_]+): Final = (?:counter|gauge|histogram)\(", own, re.MULTILINE)
    assert len(declared) == len(metrics.PLATFORM)
    unused = [name for name in declared if name not in sources and own.count(name) < 2]
    assert unused == []


def test_the_page_is_up_to_date() -> None:
    assert observability.main(["--check"]) == 0


def test_the_page_has_what_only_one_service_has() -> None:
    """Found by reading the sources, so that a module which nothing imports would be missed on the page."""
    page = observability.PAGE.read_text(encoding="utf-8")
    own = {
        (path.parts[1], name)
        for path in python_files("services")
        for name in re.findall(r'(?:counter|gauge|histogram)\(\s*"(regulars_\w+)"', "\n".join(lines(path)))
    }
    assert {service for service, _ in own} == {"points", "campaigns", "messaging", "analytics"}
    for service, name in own:
        section = page.partition(f"## Only in {service}\n")[2].partition("\n## ")[0]
        assert f"| `{name}` |" in section, f"{name} is not on the page among what only {service} has"
