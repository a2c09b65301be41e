"""Pages and cursors: what was given out comes back, and nothing else is taken."""

import base64
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import httpx
import msgspec
import pytest
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st

from shared.pagination import (
    MAX_CURSOR_CHARACTERS,
    Cursor,
    InvalidCursor,
    Limit,
    Page,
    cut,
    decode_cursor,
    encode_cursor,
)
from shared.problems import install


class Position(msgspec.Struct):
    placed_at: datetime
    order_id: UUID


POSITION = Position(datetime(2026, 1, 1, tzinfo=UTC), UUID(int=7))

values = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(max_size=20)


@given(st.dictionaries(st.text(max_size=10), values, max_size=5))
def test_a_position_comes_back(position: dict[str, Any]) -> None:
    cursor = encode_cursor(position)
    assert decode_cursor(cursor) == position
    assert httpx.QueryParams({"cursor": cursor})["cursor"] == cursor
    assert cursor in str(httpx.QueryParams({"cursor": cursor})), "a cursor needs no escaping in a URL"


def test_a_shape_gives_types_back_and_refuses_the_cursor_of_another_list() -> None:
    assert decode_cursor(encode_cursor(POSITION), Position) == POSITION
    with pytest.raises(InvalidCursor):
        decode_cursor(encode_cursor({"name": "x"}), Position)


@given(st.data())
def test_a_cursor_with_anything_changed_is_refused(data: st.DataObject) -> None:
    cursor = encode_cursor(POSITION)
    index = data.draw(st.integers(0, len(cursor) - 1))
    other = data.draw(st.characters().filter(lambda character: character != cursor[index]))
    for changed in (
        cursor[:index],
        cursor[:index] + other + cursor[index + 1 :],
        cursor[:index] + other + cursor[index:],
    ):
        if changed != cursor:
            with pytest.raises(InvalidCursor):
                decode_cursor(changed)


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "1",
        "page2",
        "💶",
        "\ud800",
        base64.urlsafe_b64encode(b'{"order_id":1}').decode(),
        base64.urlsafe_b64encode(b"\0" * 6 + b'{"order_id":1}').decode(),
        encode_cursor({"a": 1}) + "=",
        encode_cursor({"a": 1}) + "\n",
        "A" * (MAX_CURSOR_CHARACTERS + 1),
    ],
)
def test_what_was_never_given_out_is_refused(cursor: str) -> None:
    with pytest.raises(InvalidCursor) as caught:
        decode_cursor(cursor)
    assert (caught.value.status, caught.value.code) == (400, "invalid_cursor")


def test_a_position_too_long_for_a_cursor_is_an_error_of_the_code() -> None:
    with pytest.raises(ValueError, match="too long"):
        encode_cursor({"a": "x" * MAX_CURSOR_CHARACTERS})


def numbers(after: int, count: int) -> Sequence[int]:
    return range(after + 1, min(after + count, 10) + 1)


async def client() -> httpx.AsyncClient:
    app = FastAPI()
    install(app)

    @app.get("/numbers")
    async def page(limit: Limit = 4, cursor: Cursor = None) -> Page[int]:
        after = decode_cursor(cursor)["n"] if cursor is not None else 0
        items, next_cursor = cut(numbers(after, limit + 1), limit, lambda n: {"n": n})
        return Page[int](items=list(items), next_cursor=next_cursor)

    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://service.test")


@pytest.mark.parametrize("limit", [1, 3, 5, 10, 11, 200])
async def test_the_pages_together_are_the_list(limit: int) -> None:
    seen: list[int] = []
    parameters: dict[str, str | int] = {"limit": limit}
    async with await client() as http:
        while True:
            page = (await http.get("/numbers", params=parameters)).json()
            seen += page["items"]
            if page["next_cursor"] is None:
                break
            assert len(page["items"]) == limit
            parameters["cursor"] = page["next_cursor"]
    assert seen == list(range(1, 11))


@pytest.mark.parametrize(
    ("parameters", "status", "code"),
    [
        ({"cursor": "x"}, 400, "invalid_cursor"),
        ({"limit": "0"}, 422, "invalid_request"),
        ({"limit": "201"}, 422, "invalid_request"),
    ],
)
async def test_a_bad_page_is_refused_clearly(parameters: dict[str, str], status: int, code: str) -> None:
    async with await client() as http:
        answer = await http.get("/numbers", params=parameters)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
