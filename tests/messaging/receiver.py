"""A real HTTP server that takes webhooks and answers as it is told."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from shared.testing import eventually
from tests.messaging.sink import free_port


class Receiver:
    """Keeps what it is sent. Every answer other than `answer()` says leads to itself, to catch followers."""

    def __init__(self) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/hook"
        self.taken: list[tuple[dict[str, str], str]] = []
        self.paths: list[str] = []
        self.answer: Callable[[], int] = lambda: 204

    async def take(self, request: Request) -> Response:
        """Keep one webhook."""
        self.paths.append(request.url.path)
        self.taken.append((dict(request.headers), (await request.body()).decode()))
        return Response(status_code=self.answer(), headers={"location": "/elsewhere"})

    @asynccontextmanager
    async def serving(self) -> AsyncIterator["Receiver"]:
        """Serve in this event loop."""
        routes = [Route("/{path:path}", self.take, methods=["GET", "POST"])]
        config = uvicorn.Config(Starlette(routes=routes), port=self.port, log_config=None, lifespan="off")
        server = uvicorn.Server(config)
        # Not `serve()`, which would take over the test process's signals.
        running = asyncio.create_task(server._serve())
        await eventually(lambda: server.started)
        try:
            yield self
        finally:
            server.should_exit = True
            await running
