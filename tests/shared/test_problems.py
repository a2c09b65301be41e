"""Every failure of an application is a problem document (RFC 9457), and none says anything of the inside."""

import gzip
import json
from collections.abc import AsyncIterator
from typing import Annotated, Any

import httpx
import pytest
from fastapi import APIRouter, FastAPI, Query, Request
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from shared.problems import (
    MAX_REPORTED_ERRORS,
    Conflict,
    InvalidItem,
    NotFound,
    Overloaded,
    Refusal,
    error_members,
    install,
    pointer,
    problem_responses,
)
from shared.request_limits import RequestLimits, body_limit
from shared.schemas import ExternalId, MinorUnits, OrRefusal, StrictModel
from shared.testing import api_client


class NotEnoughPoints(Refusal):
    """The member has fewer points
    than this costs.

    More for the reader of the code.
    """


class Line(StrictModel):
    sku: str
    price_minor: MinorUnits


class Order(StrictModel):
    order_id: ExternalId
    lines: list[Line] = Field(default_factory=list)


class Batch(StrictModel):
    items: list[Annotated[Order, OrRefusal]]


def _app() -> FastAPI:
    router = APIRouter(prefix="/v1")

    @router.post("/orders", responses=problem_responses(NotEnoughPoints))
    async def take_order(order: Order) -> dict[str, str]:
        return {"id": order.order_id}

    @router.post("/orders/some")
    async def take_some(body: Order | Annotated[list[Order], Field(max_length=2)]) -> int:
        return len(body) if isinstance(body, list) else 1

    @router.post("/orders/batch")
    @body_limit(5_000)
    async def take_batch(batch: Batch) -> dict[str, Any]:
        bad = {i: item.problem() for i, item in enumerate(batch.items) if isinstance(item, InvalidItem)}
        return {"good": [i for i in range(len(batch.items)) if i not in bad], "bad": bad}

    @router.post("/lines")
    async def take_lines(request: Request) -> dict[str, int]:
        return {"bytes": sum([len(chunk) async for chunk in request.stream()])}

    @router.get("/points")
    async def points(limit: Annotated[int, Query(ge=1, le=200)] = 50) -> int:
        raise NotEnoughPoints("40 points are missing.", missing_points=40)

    @router.get("/busy")
    async def busy() -> int:
        raise Overloaded(retry_after_seconds=3)

    @router.get("/broken")
    async def broken() -> int:
        raise RuntimeError("ann@example.test has the password hunter2")

    @router.get("/away")
    async def away() -> int:
        raise ConnectionRefusedError

    app = FastAPI()
    app.include_router(router)
    install(app, is_outage=lambda error: isinstance(error, ConnectionError))
    app.add_middleware(RequestLimits, max_body_bytes=1_000)
    return app


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with api_client(_app()) as client:
        yield client


def problem(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    document: dict[str, Any] = response.json()
    assert (document["status"], document["code"]) == (status, code)
    assert document["type"] == f"urn:regulars:problem:{code}"
    return document


async def test_a_refusal_is_answered_with_its_class_and_its_members(client: httpx.AsyncClient) -> None:
    document = problem(await client.get("/v1/points"), 422, "not_enough_points")
    assert document["title"] == "The member has fewer points than this costs."
    assert document["detail"] == "40 points are missing."
    assert document["missing_points"] == 40
    assert document["instance"] == "/v1/points"


async def test_retry_after_travels_as_a_header(client: httpx.AsyncClient) -> None:
    response = await client.get("/v1/busy")
    problem(response, 503, "overloaded")
    assert response.headers["retry-after"] == "3"


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b'{"order_id": ', 400, "malformed_json"),
        (b"\xff\xfe", 400, "malformed_json"),
        (b"[" * 100_000, 413, "payload_too_large"),
        (b"[" * 999, 400, "malformed_json"),
        (b'{"order_id": "1", "surprise": 1}', 422, "invalid_request"),
        (b'{"order_id": 7}', 422, "invalid_request"),
        (b'{"order_id": "a\\u0000"}', 422, "invalid_request"),
        (b'{"order_id": "\\ud800"}', 422, "invalid_request"),
        (b'{"\\ud800": "1"}', 422, "invalid_request"),
        (b'{"order_id": "1", "lines": [{"sku": "s", "price_minor": -1}]}', 422, "invalid_request"),
        (
            b'{"order_id": "1", "lines": [{"sku": "s", "price_minor": 9223372036854775808}]}',
            422,
            "invalid_request",
        ),
        (b'{"order_id": "1", "lines": [{"sku": "s", "price_minor": NaN}]}', 422, "invalid_request"),
        (b'{"order_id": "1", "lines": [{"sku": "s", "price_minor": 1e999}]}', 422, "invalid_request"),
        (
            b'{"order_id": "1", "lines": [{"sku": "s\\u0000", "price_minor": 1}]}',
            422,
            "invalid_request",
        ),
        (b"null", 422, "invalid_request"),
        (b"", 422, "invalid_request"),
    ],
)
async def test_bad_bodies_are_told_apart(
    client: httpx.AsyncClient, body: bytes, status: int, code: str
) -> None:
    response = await client.post("/v1/orders", content=body, headers={"content-type": "application/json"})
    problem(response, status, code)


async def test_a_number_of_ten_thousand_digits_is_malformed(client: httpx.AsyncClient) -> None:
    body = b'{"items": [' + b"9" * 4_900 + b"]}"
    response = await client.post(
        "/v1/orders/batch", content=body, headers={"content-type": "application/json"}
    )
    problem(response, 400, "malformed_json")


async def test_errors_point_to_the_value_and_do_not_repeat_it(client: httpx.AsyncClient) -> None:
    body = {"order_id": "1", "lines": [{"sku": "a", "price_minor": 1}, {"sku": "b", "price_minor": -77}]}
    response = await client.post("/v1/orders", json=body)
    document = problem(response, 422, "invalid_request")
    assert [(error["in"], error["pointer"]) for error in document["errors"]] == [
        ("body", "/lines/1/price_minor")
    ]
    assert "77" not in response.text


async def test_query_errors_say_so(client: httpx.AsyncClient) -> None:
    document = problem(await client.get("/v1/points?limit=201"), 422, "invalid_request")
    assert document["errors"][0]["in"] == "query"
    assert document["errors"][0]["pointer"] == "/limit"


async def test_a_bad_item_does_not_fail_its_neighbours(client: httpx.AsyncClient) -> None:
    items = [{"order_id": "1"}, {"order_id": "", "x": 1}, 5, {"order_id": "2"}]
    answer = (await client.post("/v1/orders/batch", json={"items": items})).json()
    assert answer["good"] == [0, 3]
    assert set(answer["bad"]) == {"1", "2"}
    assert answer["bad"]["1"]["code"] == "invalid_item"
    assert {error["pointer"] for error in answer["bad"]["1"]["errors"]} == {"/order_id", "/x"}


@pytest.mark.parametrize("path", ["/v1/none", "/nowhere"])
async def test_unknown_addresses(client: httpx.AsyncClient, path: str) -> None:
    problem(await client.get(path), 404, "not_found")


async def test_wrong_method_names_the_right_one(client: httpx.AsyncClient) -> None:
    response = await client.delete("/v1/points")
    problem(response, 405, "method_not_allowed")
    assert response.headers["allow"] == "GET"


@pytest.mark.parametrize("path", ["/v1/points%00", "/v1/points?limit=%00"])
async def test_a_nul_in_the_address(client: httpx.AsyncClient, path: str) -> None:
    problem(await client.get(path), 422, "invalid_request")


async def test_declared_and_undeclared_bodies_are_limited(client: httpx.AsyncClient) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b" " * 100

    json_type = {"content-type": "application/json"}
    large = b" " * 1_001
    problem(await client.post("/v1/orders", content=large, headers=json_type), 413, "payload_too_large")
    problem(await client.post("/v1/orders", content=chunks(), headers=json_type), 413, "payload_too_large")
    problem(await client.post("/v1/lines", content=chunks()), 413, "payload_too_large")
    assert (await client.post("/v1/lines", content=b" " * 1_000)).json() == {"bytes": 1_000}


@pytest.mark.parametrize("coding", ["gzip", "br", "deflate, gzip", "GZIP", "rot13"])
async def test_a_compressed_body_is_not_read(client: httpx.AsyncClient, coding: str) -> None:
    headers = {"content-type": "application/json", "content-encoding": coding}
    for path in ("/v1/orders", "/v1/lines"):
        response = await client.post(path, content=gzip.compress(b'{"order_id": "1"}'), headers=headers)
        problem(response, 415, "unsupported_content_encoding")
        assert response.headers["accept-encoding"] == "identity"


async def test_a_body_that_is_said_to_be_as_it_is_is_read(client: httpx.AsyncClient) -> None:
    headers = {"content-type": "application/json", "content-encoding": "Identity"}
    assert (await client.post("/v1/lines", content=b"abc", headers=headers)).json() == {"bytes": 3}


async def test_an_endpoint_may_accept_more(client: httpx.AsyncClient) -> None:
    body = {"items": [{"order_id": "1" * 150} for _ in range(20)]}
    assert 1_000 < len(json.dumps(body)) < 5_000
    assert (await client.post("/v1/orders/batch", json=body)).status_code == 200
    body["items"] *= 2
    problem(await client.post("/v1/orders/batch", json=body), 413, "payload_too_large")


async def test_an_unexpected_error_says_nothing_of_the_inside(client: httpx.AsyncClient) -> None:
    response = await client.get("/v1/broken")
    problem(response, 500, "internal_error")
    assert "hunter2" not in response.text


async def test_an_outage_asks_to_come_back(client: httpx.AsyncClient) -> None:
    response = await client.get("/v1/away")
    problem(response, 503, "unavailable")
    assert response.headers["retry-after"] == "1"


async def test_openapi_documents_the_problems(client: httpx.AsyncClient) -> None:
    schema = (await client.get("/openapi.json")).json()
    assert "HTTPValidationError" not in json.dumps(schema)
    responses = schema["paths"]["/v1/orders"]["post"]["responses"]
    assert set(responses) == {"200", "400", "413", "415", "422"}
    examples = responses["422"]["content"]["application/problem+json"]["examples"]
    assert set(examples) == {"invalid_request", "not_enough_points"}
    assert schema["components"]["schemas"]["Problem"]["title"] == "Problem"


def test_codes_come_from_class_names() -> None:
    assert NotEnoughPoints.code == "not_enough_points"
    assert type("HTTPSNeeded", (Refusal,), {}).code == "https_needed"
    assert type("Kept", (Conflict,), {"code": "own"}).code == "own"
    assert NotFound().problem()["status"] == 404


def test_members_cannot_replace_the_standard_ones() -> None:
    refusal = Conflict("x", status=200, code="fine", why="because")
    assert refusal.problem()["status"] == 409
    assert refusal.problem()["code"] == "conflict"
    assert refusal.problem()["why"] == "because"


def test_reported_errors_are_bounded() -> None:
    errors = [{"loc": ("body", number), "msg": "no"} for number in range(MAX_REPORTED_ERRORS + 5)]
    members = error_members(errors)
    assert len(members["errors"]) == MAX_REPORTED_ERRORS
    assert members["errors_omitted"] == 5


@given(st.lists(st.text(alphabet=st.characters(codec=None, categories=None)) | st.integers()))
def test_any_location_becomes_a_pointer_that_utf8_can_hold(location: list[str | int]) -> None:
    pointer(location).encode()


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        ({"order_id": "1", "lines": [{"sku": "a"}]}, ["/lines/0/price_minor"]),
        ({"order_id": 1}, ["/order_id"]),
        ({"order_id": "1", "more": 1}, ["/more"]),
        ([{"order_id": "1"}, {}], ["/1/order_id"]),
        ([{"order_id": "1"}] * 3, [""]),
        ("text", ["", ""]),
    ],
)
async def test_a_body_of_one_kind_or_another_is_told_where_it_is_wrong(
    body: Any, pointers: list[str]
) -> None:
    async with api_client(_app()) as client:
        answer = await client.post("/v1/orders/some", json=body)
    assert [error["pointer"] for error in answer.json()["errors"]] == pointers
