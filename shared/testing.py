"""What the tests of every service need."""

import asyncio
import inspect
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar, overload

import httpx
from fastapi import FastAPI

__all__ = ["api_client", "eventually"]

T = TypeVar("T")


@asynccontextmanager
async def api_client(
    app: FastAPI, *, key: str | None = None, client: tuple[str, int] = ("127.0.0.1", 50000)
) -> AsyncIterator[httpx.AsyncClient]:
    """A client that calls `app` in this process, with its lifespan run around it.

    `key` is sent as bearer credential; `client` is the address that the call seems to come from. Errors come
    back as the answers that a caller would see.
    """
    transport = httpx.ASGITransport(app=app, client=client, raise_app_exceptions=False)
    headers = {} if key is None else {"Authorization": f"Bearer {key}"}
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://service.test", headers=headers) as caller,
    ):
        yield caller


@overload
async def eventually(
    condition: Callable[[], Awaitable[T]], deadline_seconds: float = ..., poll_seconds: float = ...
) -> T: ...
@overload
async def eventually(
    condition: Callable[[], T], deadline_seconds: float = ..., poll_seconds: float = ...
) -> T: ...
async def eventually(
    condition: Callable[[], Any], deadline_seconds: float = 30, poll_seconds: float = 0.02
) -> Any:
    """Poll until `condition` returns something true, and return that.

    Raises AssertionError with the last value after `deadline_seconds`. An AssertionError of the condition
    counts as not yet, so that it may assert.
    """
    deadline = time.monotonic() + deadline_seconds
    while True:
        last: object
        try:
            found = condition()
            value = await found if inspect.isawaitable(found) else found
            if value:
                return value
            last = value
        except AssertionError as error:
            last = error
        if time.monotonic() >= deadline:
            raise AssertionError(f"not within {deadline_seconds} s; last: {last!r}")
        await asyncio.sleep(poll_seconds)
