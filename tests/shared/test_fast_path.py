"""The fast path: it answers what is plain exactly as the application would, and leaves the rest to it."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any
from uuid import UUID

import httpx
import pytest
from fastapi import APIRouter, Depends, FastAPI, Request, Response
from pydantic import ValidationError
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.types import ASGIApp, Receive, Scope, Send

from shared import metrics, problems, tracing
from shared.auth import Authenticator, Caller, create_key, require
from shared.database import Database, is_outage
from shared.edge import Desk, DryRun, Platform, Transaction, TransactionalRoute, desk, glance
from shared.fast_path import FastGlance, FastPath, FastRoute
from shared.problems import Refusal
from shared.request_limits import RequestLimits
from shared.schemas import StrictModel
from shared.settings import ServiceSettings

PATH = "/v1/toasts"


class Toast(StrictModel):
    """What is to be done."""

    to: str
    times: int = 1


class NoToast(Refusal):
    """There is no toast to that."""


async def give_toasts(session: object, toasts: Sequence[tuple[Toast, str]]) -> list[str | Refusal]:
    """Give toasts, refuse some, and break down at others."""
    for toast, _ in toasts:
        if toast.to == "the wall":
            raise ValueError("nobody expects a wall")
        if toast.to == "the sea":
            raise ConnectionResetError
    return [
        NoToast(f"Not to {toast.to}.", to=toast.to) if toast.times > 3 else f"{caller}: {toast.to}"
        for toast, caller in toasts
    ]


def read_toast(body: bytes, caller: Caller) -> tuple[Toast, str] | None:
    try:
        return Toast.model_validate_json(body), caller.key_id
    except ValidationError:
        return None


class Given(StrictModel):
    """A toast that was given."""

    toast_id: UUID
    sips: int


async def look_at_toast(session: AsyncSession, toast_id: UUID) -> Given:
    """Look at a toast; some were never given, and some looks fail."""
    if toast_id.int == 0:
        raise NoToast("It was never given.")
    if toast_id.int == 1:
        raise ValueError("nobody expects the first toast")
    return Given(toast_id=toast_id, sips=await session.scalar(text("SELECT 7")))


async def read_given(session: AsyncSession, toast_id: UUID) -> bytes:
    return (await look_at_toast(session, toast_id)).model_dump_json().encode()


def toasts_router() -> APIRouter:
    router = APIRouter(route_class=TransactionalRoute)

    @router.get(f"{PATH}/{{toast_id}}")
    @glance
    async def look(
        session: Transaction, toast_id: UUID, caller: Annotated[Caller, Depends(require("toys:read"))]
    ) -> Given:
        return await look_at_toast(session, toast_id)

    hot = APIRouter()

    @hot.post(PATH, status_code=201)
    async def toast(
        request: Request,
        body: Toast,
        caller: Annotated[Caller, Depends(require("toys:write"))],
        dry_run: DryRun = False,
    ) -> Response:
        return await desk(request, "toasts").answer(request, (body, caller.key_id))

    router.include_router(hot)
    return router


@dataclass
class Both:
    """One application twice: on its own, and behind a fast path; `reached` are requests that got through."""

    slow: httpx.AsyncClient
    fast: httpx.AsyncClient
    reached: list[str] = field(default_factory=list)

    async def ask(self, **request: Any) -> tuple[httpx.Response, bool]:
        """Ask both, hold their answers together, and return the fast one's and whether it was fast."""
        slow = await self.slow.request(**{"method": "POST", "url": PATH} | request)
        self.reached.clear()
        fast = await self.fast.request(**{"method": "POST", "url": PATH} | request)
        assert (fast.status_code, fast.content) == (slow.status_code, slow.content)
        unlike = {"traceparent", "x-request-id"}
        assert [h for h in fast.headers.raw if h[0].decode() not in unlike] == [
            h for h in slow.headers.raw if h[0].decode() not in unlike
        ]
        assert fast.headers.keys() == slow.headers.keys()
        return fast, not self.reached


@pytest.fixture
async def both(platform_database: Database) -> AsyncIterator[Both]:
    app = FastAPI()
    problems.install(app, is_outage=is_outage)
    app.include_router(toasts_router())
    app.add_middleware(RequestLimits, max_body_bytes=100_000)
    app.add_middleware(tracing.TraceContext)
    app.add_middleware(metrics.RequestMetrics)
    settings = ServiceSettings(service="toys")
    authenticator = Authenticator(platform_database, settings)
    toasts: Desk[tuple[Toast, str], str] = Desk(
        "toasts", give_toasts, lambda said: json.dumps(said).encode(), status=201
    )
    toasts.open(platform_database, max_batch=64, max_queue=512)
    app.state.authenticator = authenticator
    app.state.platform = Platform(settings, platform_database, authenticator.authenticate, {"toasts": toasts})
    reached: list[str] = []
    routes = [
        FastRoute(PATH, "toys:write", toasts, read_toast),
        FastGlance(f"{PATH}/{{toast_id}}", "toys:read", read_given),
    ]
    fast = FastPath(
        noting(app, reached), routes, lambda _: authenticator, lambda _: platform_database, is_outage
    )
    async with calling(app) as slow_client, calling(fast) as fast_client:
        yield Both(slow_client, fast_client, reached)
    await toasts.close()


def noting(app: ASGIApp, reached: list[str]) -> ASGIApp:
    async def note(scope: Scope, receive: Receive, send: Send) -> None:
        reached.append(scope["path"])
        await app(scope, receive, send)

    return note


def calling(app: ASGIApp) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app=app, client=("127.0.0.1", 5), raise_app_exceptions=False)
    headers = {"Authorization": "Bearer rk_development"}
    return httpx.AsyncClient(transport=transport, base_url="http://toys", headers=headers)


GIVEN = f"{PATH}/0196b0f0-7d1c-7a3e-9c7b-3f1d2a4b5c6d"

KIM = {"to": "kim"}
JSON = {"Content-Type": "application/json"}

PLAIN = {
    "an answer": {"json": KIM},
    "a refusal": {"json": {"to": "kim", "times": 4}},
    "a mistake of ours": {"json": {"to": "the wall"}},
    "an outage": {"json": {"to": "the sea"}},
    "a trace": {
        "json": KIM,
        "headers": {"traceparent": "00-" + "a" * 32 + "-" + "b" * 16 + "-01", "X-Request-Id": "r.1"},
    },
    "a look": {"method": "GET", "url": GIVEN},
    "a look that says it has no body": {"method": "GET", "url": GIVEN, "headers": {"Content-Length": "0"}},
    "a look at nothing": {"method": "GET", "url": f"{PATH}/{UUID(int=0)}"},
    "a look that fails": {"method": "GET", "url": f"{PATH}/{UUID(int=1)}"},
    "no trace at all": {"json": KIM, "headers": {"traceparent": "nonsense", "X-Request-Id": "r 1"}},
}


@pytest.mark.parametrize("request_", PLAIN.values(), ids=list(PLAIN))
async def test_what_is_plain_is_answered_at_once_and_alike(both: Both, request_: dict[str, Any]) -> None:
    answer, was_fast = await both.ask(**request_)
    assert was_fast
    asked = request_.get("headers", {})
    if "traceparent" in asked:
        continued = asked["traceparent"][3:35] if asked["traceparent"] != "nonsense" else ""
        assert answer.headers["traceparent"][3:].startswith(continued)
        assert (answer.headers["x-request-id"] == "r.1") == (asked["X-Request-Id"] == "r.1")


UNUSUAL = {
    "a dry run": {"json": KIM, "params": {"dry_run": "true"}},
    "a query that says nothing": {"json": KIM, "params": {"x": "1"}},
    "another method": {"method": "PUT", "json": KIM},
    "an option": {"method": "OPTIONS"},
    "another path": {"url": f"{PATH}/", "json": KIM},
    "no body": {},
    "no JSON": {"content": b"{", "headers": JSON},
    "an array": {"json": [KIM]},
    "an unknown field": {"json": KIM | {"hat": 1}},
    "a number in quotes": {"json": KIM | {"times": "1"}},
    "a NUL": {"content": rb'{"to": "\u0000"}', "headers": JSON},
    "a lone surrogate": {"content": rb'{"to": "\ud800"}', "headers": JSON},
    "bytes that are not UTF-8": {"content": b'{"to": "\xff"}', "headers": JSON},
    "UTF-16": {"content": json.dumps(KIM).encode("utf-16"), "headers": JSON},
    "a large body": {"content": json.dumps(KIM).encode() + b" " * 70_000, "headers": JSON},
    "a body beyond the limit": {"content": json.dumps(KIM).encode() + b" " * 100_000, "headers": JSON},
    "no media type": {"content": json.dumps(KIM).encode()},
    "a media type with a parameter": {
        "content": json.dumps(KIM).encode(),
        "headers": {"Content-Type": "application/json; charset=utf-8"},
    },
    "another media type": {"content": json.dumps(KIM).encode(), "headers": {"Content-Type": "text/plain"}},
    "a compressed body": {
        "content": gzip.compress(json.dumps(KIM).encode()),
        "headers": JSON | {"Content-Encoding": "gzip"},
    },
    "a body said to be as it is": {"json": KIM, "headers": {"Content-Encoding": "identity"}},
    "an unknown key": {"json": KIM, "headers": {"Authorization": "Bearer rk_nobody"}},
    "no key": {"json": KIM, "headers": {"Authorization": ""}},
    "another scheme": {"json": KIM, "headers": {"Authorization": "Basic rk_development"}},
    "from elsewhere": {"json": KIM, "headers": {"X-Forwarded-For": "203.0.113.9"}},
    "an impossible idempotency key": {"json": KIM, "headers": {"Idempotency-Key": "x" * 256}},
    "a look with a query": {"method": "GET", "url": GIVEN, "params": {"x": "1"}},
    "a look by an id in capitals": {"method": "GET", "url": GIVEN.upper().replace("/V1/TOASTS", PATH)},
    "a look by no id": {"method": "GET", "url": f"{PATH}/kim"},
    "a look further on": {"method": "GET", "url": f"{GIVEN}/sips"},
    "a look with a body": {"method": "GET", "url": GIVEN, "json": KIM},
    "a look without a key": {"method": "GET", "url": GIVEN, "headers": {"Authorization": ""}},
    "a look from elsewhere": {"method": "GET", "url": GIVEN, "headers": {"X-Forwarded-For": "203.0.113.9"}},
    "no look but its headers": {"method": "HEAD", "url": GIVEN},
}


@pytest.mark.parametrize("request_", UNUSUAL.values(), ids=list(UNUSUAL))
async def test_what_is_unusual_is_left_to_the_application(both: Both, request_: dict[str, Any]) -> None:
    _, was_fast = await both.ask(**request_)
    assert not was_fast


async def pieces() -> AsyncIterator[bytes]:
    yield b'{"to":'
    yield b' "kim"}'


async def test_a_body_in_pieces_arrives_whole(both: Both) -> None:
    # With a length it is known to be small; without one, only the application can say when it is too large.
    for length, passed_on in (({"Content-Length": "13"}, []), ({}, [PATH])):
        answer = await both.fast.post(PATH, content=pieces(), headers=JSON | length)
        assert (answer.status_code, answer.json(), both.reached) == (201, "development: kim", passed_on)


async def test_a_large_body_is_refused_before_it_has_come(both: Both) -> None:
    async def never_more() -> AsyncIterator[bytes]:
        yield b"["
        await asyncio.Event().wait()

    headers = JSON | {"Content-Length": "100001"}
    answer = await both.fast.post(PATH, content=never_more(), headers=headers)
    assert (answer.status_code, both.reached) == (413, [PATH])


async def test_a_header_that_comes_twice_is_left_to_the_application(both: Both) -> None:
    for name, value in (("Idempotency-Key", "k1"), ("X-Anything", "1")):
        headers = [("Authorization", "Bearer rk_development"), (name, value), (name, f"{value}x")]
        answer = await both.fast.post(PATH, json=KIM, headers=headers)
        assert (answer.status_code, both.reached.pop()) == (201, PATH)


async def test_a_stored_key_is_judged_by_the_application_and_then_recalled(
    both: Both, platform_database: Database
) -> None:
    async with platform_database.transaction() as session:
        writer = await create_key(session, name="till", scopes=["toys:write"])
        reader = await create_key(session, name="clerk", scopes=["toys:read"])
    for key, status, is_recalled in ((writer, 201, True), (reader, 403, False)):
        headers = {"Authorization": f"bearer {key.secret}"}
        # The first of the two asks has it judged, so it is known by the time the fast path is asked.
        answer, was_fast = await both.ask(json=KIM, headers=headers)
        assert (answer.status_code, was_fast) == (status, is_recalled)


async def test_keys_are_shared_with_the_ordinary_route(both: Both) -> None:
    headers = {"Idempotency-Key": "k1"}
    first = await both.slow.post(PATH, json=KIM, headers=headers)
    again = await both.fast.post(PATH, json=KIM, headers=headers)
    assert again.headers["idempotency-replayed"] == "true"
    assert again.content == first.content
    other, was_fast = await both.ask(json={"to": "ann"}, headers=headers)
    assert (other.status_code, other.json()["code"], was_fast) == (409, "idempotency_conflict", True)


def requests_counted(status: str) -> float:
    labels = {"method": "POST", "route": PATH, "status": status}
    return metrics.REGISTRY.get_sample_value("regulars_http_requests_total", labels) or 0.0


async def test_fast_requests_are_counted_by_route_and_status(both: Both) -> None:
    before = requests_counted("201"), requests_counted("422")
    asked = [both.fast.post(PATH, json=KIM | {"times": times}) for times in (1, 2, 3, 4)]
    await asyncio.gather(*asked)
    assert (requests_counted("201"), requests_counted("422")) == (before[0] + 3, before[1] + 1)
    assert metrics.REGISTRY.get_sample_value("regulars_http_requests_in_progress") == 0
