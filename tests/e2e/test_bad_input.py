"""What a storefront gets wrong is answered with the right problem document, and what it got right goes in.

Against the members service as a process of its own, over a socket.
"""

import asyncio
import contextlib
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from cli.embedded.ports import LOOPBACK, free_port
from cli.embedded.postgres import EmbeddedPostgres
from cli.platform.provision import in_own_loop, migrate
from shared.auth import create_key
from shared.database import Database
from shared.settings import DEVELOPMENT_KEY
from shared.testing import eventually

# A fixed id: every process that collects the tests must name them alike.
NOBODY = "01936b2e-7a4f-7c3e-9d2a-111111111111"

MIB = 1024 * 1024
JSON = {"Content-Type": "application/json"}
NDJSON = {"Content-Type": "application/x-ndjson"}
CHUNK = b" " * 65_536


@dataclass(frozen=True)
class Members:
    """A members service that listens."""

    port: int
    reader: str
    expired: str
    log: Path

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://{LOOPBACK}:{self.port}"


async def keys_of(url: str) -> tuple[str, str]:
    """A key that may only read, and one that may do everything but has run out."""
    database = Database(url, pool_size=1)
    async with database.transaction() as session:
        reader = await create_key(session, name="reader", scopes=["members:read", "points:write"])
        expired = await create_key(
            session, name="expired", scopes=["*"], expires_at=datetime.now(UTC) - timedelta(seconds=1)
        )
    await database.close()
    return reader.secret, expired.secret


@pytest.fixture(scope="module")
def members(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Members]:
    """The service, started as a container would start it."""
    name = f"members_{uuid4().hex[:12]}"
    postgres.sql(f'CREATE DATABASE "{name}"')
    url = postgres.url(name)
    in_own_loop(migrate({"members": url}))
    reader, expired = in_own_loop(keys_of(url))
    log = tmp_path_factory.mktemp("members") / "members.log"
    service = Members(free_port(), reader, expired, log)
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "services.members", "--role", "api", "--port", str(service.port)],
            env={**os.environ, "REGULARS_MEMBERS_DATABASE_URL": url, "REGULARS_READINESS_PAUSE_SECONDS": "0"},
            cwd=Path(__file__).resolve().parents[2],
            stdout=out,
            stderr=out,
        )
    try:
        in_own_loop(eventually(lambda: _is_ready(service), deadline_seconds=60, poll_seconds=0.1))
        yield service
    finally:
        process.terminate()
        process.wait(30)
        postgres.sql(f'DROP DATABASE "{name}" WITH (FORCE)')


def _is_ready(service: Members) -> bool:
    try:
        return httpx.get(f"{service.url}/readyz").status_code == 200
    except httpx.TransportError:
        return False


@pytest.fixture
async def client(members: Members) -> AsyncIterator[httpx.AsyncClient]:
    """A caller with the development key."""
    headers = {"Authorization": f"Bearer {DEVELOPMENT_KEY}"}
    async with httpx.AsyncClient(base_url=members.url, headers=headers, timeout=60) as caller:
        yield caller


def order(**fields: Any) -> dict[str, Any]:
    """An order that nobody has seen, of 1.00."""
    return {
        "source": "shop",
        "shop_id": "main",
        "external_order_id": uuid4().hex,
        "external_customer_id": "kim",
        "currency": "USD",
        "placed_at": "2026-03-01T12:00:00Z",
        "paid_at": "2026-03-01T12:00:09Z",
        "lines": [{"sku": "tea", "quantity": 1, "unit_price_minor": 100}],
    } | fields


async def post(client: httpx.AsyncClient, body: Any, headers: dict[str, str] = JSON) -> httpx.Response:
    content = body if isinstance(body, bytes) else json.dumps(body)
    return await client.post("/v1/orders", content=content, headers=headers)


async def orders_taken(client: httpx.AsyncClient) -> int:
    return int((await client.get("/v1/summary")).json()["orders"]["total"])


def problem_of(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The problem document of an answer, which must be one in every respect (RFC 9457)."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = answer.json()
    assert (problem["status"], problem["code"]) == (status, code), problem
    assert problem["type"] == f"urn:regulars:problem:{code}"
    assert problem["title"].endswith(".")
    return problem


BAD_ITEMS: dict[str, tuple[dict[str, Any], str]] = {
    "unknown field": ({"colour": "red"}, "/colour"),
    "unknown field inside": (
        {"lines": [{"sku": "tea", "quantity": 1, "unit_price_minor": 1, "colour": "red"}]},
        "/lines/0/colour",
    ),
    "text for a number": ({"shipping_minor": "100"}, "/shipping_minor"),
    "number for a text": ({"external_order_id": 7}, "/external_order_id"),
    "object for a list": ({"lines": {"sku": "tea"}}, "/lines"),
    "null for a text": ({"source": None}, "/source"),
    "fraction of a cent": ({"shipping_minor": 1.5}, "/shipping_minor"),
    "negative amount": (
        {"lines": [{"sku": "tea", "quantity": 1, "unit_price_minor": -1}]},
        "/lines/0/unit_price_minor",
    ),
    "amount beyond bigint": ({"shipping_minor": 2**63}, "/shipping_minor"),
    "amount beyond everything": ({"shipping_minor": 10**300}, "/shipping_minor"),
    "no units": ({"lines": [{"sku": "tea", "quantity": 0, "unit_price_minor": 1}]}, "/lines/0/quantity"),
    "no lines": ({"lines": []}, "/lines"),
    "unknown currency": ({"currency": "XYZ"}, "/currency"),
    "currency in small letters": ({"currency": "usd"}, "/currency"),
    "far future": ({"placed_at": "2999-01-01T00:00:00Z"}, "/placed_at"),
    "end of the calendar": ({"placed_at": "9999-12-31T23:59:59-14:00"}, "/placed_at"),
    "far past": ({"placed_at": "0001-01-01T00:00:00+14:00"}, "/placed_at"),
    "no offset": ({"placed_at": "2026-03-01T12:00:00"}, "/placed_at"),
    "no instant": ({"placed_at": "yesterday"}, "/placed_at"),
    "seconds since 1970": ({"placed_at": 1_772_366_400}, "/placed_at"),
    "NUL": ({"external_order_id": "a\x00b"}, "/external_order_id"),
    "lone surrogate": ({"external_customer_id": "\ud800"}, "/external_customer_id"),
    "too long": ({"external_customer_id": "x" * 201}, "/external_customer_id"),
}


@pytest.mark.parametrize("mistake", BAD_ITEMS)
async def test_a_bad_order_is_pointed_at(client: httpx.AsyncClient, mistake: str) -> None:
    fields, place = BAD_ITEMS[mistake]
    problem = problem_of(await post(client, order(**fields)), 422, "invalid_request")
    assert problem["instance"] == "/v1/orders"
    (error,) = problem["errors"]
    assert (error["in"], error["pointer"]) == ("body", place)
    assert error["message"]


@pytest.mark.parametrize("headers", [JSON, NDJSON], ids=["array", "lines"])
async def test_bad_items_are_refused_one_by_one_and_the_good_ones_go_in(
    client: httpx.AsyncClient, headers: dict[str, str]
) -> None:
    before = await orders_taken(client)
    items: list[Any] = []
    for fields, _ in BAD_ITEMS.values():
        items += [order(), order(**fields)]
    items += [7, None, "order", [], {}]
    body: Any = items
    if headers is NDJSON:
        lines = [json.dumps(item).encode() for item in items]
        body = b"\n".join([*lines, b'{"source": "shop", ', b"\xff\xfe", json.dumps(order()).encode()])
    answer = await post(client, body, headers)
    assert answer.status_code == 200, answer.text
    results = answer.json()["results"]
    for index, (mistake, (_, place)) in enumerate(BAD_ITEMS.items()):
        good, bad = results[2 * index], results[2 * index + 1]
        assert good["status"] == "accepted", mistake
        assert (bad["status"], bad["problem"]["code"]) == ("refused", "invalid_item"), mistake
        assert [error["pointer"] for error in bad["problem"]["errors"]] == [place], mistake
    rest = [result["status"] for result in results[2 * len(BAD_ITEMS) :]]
    assert rest[:5] == ["refused"] * 5
    assert rest[5:] == ([] if headers is JSON else ["refused", "refused", "accepted"])
    accepted = sum(result["status"] == "accepted" for result in results)
    assert (answer.json()["accepted"], answer.json()["refused"]) == (accepted, len(results) - accepted)
    assert await orders_taken(client) == before + accepted


async def test_rules_refuse_with_codes_of_their_own(client: httpx.AsyncClient) -> None:
    known = order()
    contrary = known | {"currency": "EUR"}
    answer = await post(client, [known, known, contrary, order(total_minor=99)])
    statuses = [result["status"] for result in answer.json()["results"]]
    assert statuses == ["accepted", "unchanged", "refused", "refused"]
    codes = [result["problem"]["code"] for result in answer.json()["results"][2:]]
    assert codes == ["order_conflict", "order_total_mismatch"]
    problem_of(await post(client, contrary), 409, "order_conflict")
    problem_of(await post(client, order(total_minor=99)), 422, "order_total_mismatch")


BODIES: dict[str, tuple[bytes, int, str]] = {
    "nothing": (b"", 400, "malformed_json"),
    "half an object": (b'{"source": ', 400, "malformed_json"),
    "half an array": (b"[{}, ", 400, "malformed_json"),
    "not UTF-8": (b"\xff\xfe", 400, "malformed_json"),
    "a form": (b"source=shop&shop_id=main", 400, "malformed_json"),
    "deep nesting": (b"[" * 100_000, 400, "malformed_json"),
    "deep nesting inside": (b'{"source":' + b"[" * 50_000 + b"]" * 50_000 + b"}", 400, "malformed_json"),
    "a number of ten thousand digits": (b'{"shipping_minor": ' + b"9" * 10_000 + b"}", 400, "malformed_json"),
    "null": (b"null", 422, "invalid_request"),
    "a text": (b'"order"', 422, "invalid_request"),
    "no items": (b"[]", 422, "invalid_request"),
}


@pytest.mark.parametrize("body", BODIES)
async def test_a_body_that_is_no_order(client: httpx.AsyncClient, body: str) -> None:
    content, status, code = BODIES[body]
    problem_of(await post(client, content), status, code)


@pytest.mark.parametrize("headers", [JSON, NDJSON], ids=["array", "lines"])
async def test_1001_orders_are_too_many_and_none_goes_in(
    client: httpx.AsyncClient, headers: dict[str, str]
) -> None:
    before = await orders_taken(client)
    documents = [json.dumps(order()) for _ in range(1_001)]
    body = "\n".join(documents) if headers is NDJSON else f"[{','.join(documents)}]"
    problem = problem_of(await post(client, body.encode(), headers), 422, "too_many_items")
    assert problem["limit"] == 1_000
    assert await orders_taken(client) == before


@pytest.mark.parametrize("media_type", ["text/csv", "application/xml", "multipart/form-data; boundary=x"])
async def test_another_media_type_is_not_read(client: httpx.AsyncClient, media_type: str) -> None:
    answer = await post(client, order(), {"Content-Type": media_type})
    problem_of(answer, 415, "unsupported_media_type")


async def test_10_mib_are_read_and_not_a_byte_more(client: httpx.AsyncClient) -> None:
    document = json.dumps(order()).encode()
    full = document + b" " * (10 * MIB - len(document))
    assert (await post(client, full)).status_code == 201
    problem_of(await post(client, full + b" "), 413, "payload_too_large")


async def raw_answer(members: Members, head: list[str], body: AsyncIterator[bytes]) -> tuple[int, bytes]:
    """The status and the body of the answer to a request that is still being sent when it comes."""
    reader, writer = await asyncio.open_connection(LOOPBACK, members.port)
    lines = ["POST /v1/orders HTTP/1.1", "Host: members", f"Authorization: Bearer {DEVELOPMENT_KEY}", *head]
    writer.write("\r\n".join([*lines, "Content-Type: application/json", "", ""]).encode())

    async def send() -> None:
        async for piece in body:
            writer.write(piece)
            await writer.drain()
            # Where the other side reads as fast as this one writes, draining never lets the answer be read.
            await asyncio.sleep(0)

    sending = asyncio.create_task(send())
    try:
        answer_head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = next(line for line in answer_head.split("\r\n") if line.startswith("content-length:"))
        return int(answer_head.split()[1]), await reader.readexactly(int(length.split()[1]))
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        # What is still to be sent would never be read.
        writer.transport.abort()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def test_a_body_is_refused_by_the_length_that_it_declares(members: Members) -> None:
    async def beginning() -> AsyncIterator[bytes]:
        yield b"["

    status, body = await raw_answer(members, [f"Content-Length: {10 * MIB + 1}"], beginning())
    assert (status, json.loads(body)["code"]) == (413, "payload_too_large")


async def test_an_endless_body_without_a_length_is_refused_on_the_way(members: Members) -> None:
    sent = 0

    async def chunks() -> AsyncIterator[bytes]:
        nonlocal sent
        yield b"1\r\n[\r\n"
        while True:
            yield b"%x\r\n%s\r\n" % (len(CHUNK), CHUNK)
            sent += len(CHUNK)

    status, body = await raw_answer(members, ["Transfer-Encoding: chunked"], chunks())
    assert (status, json.loads(body)["code"]) == (413, "payload_too_large")
    assert sent < 40 * MIB


async def test_keys(members: Members) -> None:
    wrong = {
        "no key": {},
        "unknown key": {"Authorization": f"Bearer rk_abcdefgh_{'x' * 43}"},
        "no key at all": {"Authorization": "Bearer 7"},
        "another scheme": {"Authorization": "Basic cmtfZGV2ZWxvcG1lbnQ6"},
        "expired": {"X-API-Key": members.expired},
        "hostile": {"X-API-Key": "' OR 1=1 --"},
        "endless": {"X-API-Key": "x" * 20_000},
        "the development key through a proxy": {"X-API-Key": DEVELOPMENT_KEY, "X-Forwarded-For": "10.0.0.1"},
    }
    async with httpx.AsyncClient(base_url=members.url) as client:
        for name, headers in wrong.items():
            answer = await post(client, order(), JSON | headers)
            problem_of(answer, 401, "unauthenticated")
            assert answer.headers["www-authenticate"] == "Bearer", name
        answer = await post(client, order(), JSON | {"X-API-Key": members.reader})
        assert problem_of(answer, 403, "forbidden")["required_scope"] == "members:write"
        allowed = await client.get("/v1/summary", headers={"X-API-Key": members.reader})
        assert allowed.status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/v1/nothing", 404, "not_found"),
        ("GET", "/v1/orders/7", 422, "invalid_request"),
        ("GET", f"/v1/orders/{NOBODY}", 404, "order_not_found"),
        ("GET", f"/v1/members/{NOBODY}", 404, "member_not_found"),
        ("DELETE", "/v1/orders", 405, "method_not_allowed"),
        ("GET", "/v1/members?limit=0", 422, "invalid_request"),
        ("GET", "/v1/members?limit=many", 422, "invalid_request"),
        ("GET", "/v1/members?cursor=nonsense", 400, "invalid_cursor"),
        ("GET", "/v1/members?source=%00&external_id=1", 422, "invalid_request"),
        ("GET", "/v1/orders/%00", 422, "invalid_request"),
        ("GET", "/v1/members?source=%FF&external_id=%ED%A0%80", 200, ""),
    ],
)
async def test_addresses(client: httpx.AsyncClient, method: str, path: str, status: int, code: str) -> None:
    answer = await client.request(method, path)
    if code:
        problem_of(answer, status, code)
    else:
        assert answer.status_code == status


async def test_an_impossible_idempotency_key(client: httpx.AsyncClient) -> None:
    answer = await post(client, order(), JSON | {"Idempotency-Key": "x" * 256})
    problem_of(answer, 400, "invalid_idempotency_key")


async def test_nothing_of_this_was_an_error_of_ours(client: httpx.AsyncClient, members: Members) -> None:
    """Runs last: whatever was sent, nothing failed inside, and the log quotes none of it."""
    metrics = (await client.get("/metrics")).text
    assert 'code="internal_error"' not in metrics
    log = members.log.read_text(errors="replace")
    assert '"level": "error"' not in log
    assert "Traceback" not in log
    assert members.reader not in log
    assert (await client.get("/readyz")).json()["status"] == "ready"
