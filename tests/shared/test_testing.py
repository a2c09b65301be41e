"""The support for tests is tested too."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from fastapi import FastAPI

from shared.testing import api_client, eventually


async def test_eventually_returns_the_first_true_value() -> None:
    values = iter([0, None, 7])

    async def turn() -> int | None:
        return next(values)

    assert await eventually(turn, poll_seconds=0) == 7


async def test_eventually_lets_a_condition_assert_and_tells_its_last_word() -> None:
    def never() -> bool:
        raise AssertionError("still three")

    with pytest.raises(AssertionError, match="still three"):
        await eventually(never, deadline_seconds=0.01, poll_seconds=0.001)


async def test_a_client_runs_the_lifespan_and_sends_the_key() -> None:
    seen: list[str] = []

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        seen.append("open")
        yield
        seen.append("closed")

    app = FastAPI(lifespan=lifespan)
    async with api_client(app, key="k") as client:
        assert client.headers["authorization"] == "Bearer k"
        assert (await client.get("/")).status_code == 404
        assert seen == ["open"]
    assert seen == ["open", "closed"]
