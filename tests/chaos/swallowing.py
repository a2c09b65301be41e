"""A line that swallows the answer to a request, and has the service killed that gave it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

__all__ = ["swallowing"]

CHUNK_BYTES = 65536


@asynccontextmanager
async def swallowing(url: str, kill: Callable[[], None]) -> AsyncIterator[str]:
    """The address of a line to `url` that carries requests and no answer.

    An answer is given after its commit. So once it begins to come, `kill` is called, and the line hangs up on
    whoever asked: for them, the service died between commit and answer.
    """
    service = urlsplit(url)

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answers, requests = await asyncio.open_connection(service.hostname, service.port)

        async def ask() -> None:
            while said := await reader.read(CHUNK_BYTES):
                requests.write(said)

        asking = asyncio.create_task(ask())
        assert await answers.read(CHUNK_BYTES)
        kill()
        asking.cancel()
        requests.close()
        writer.close()

    line = await asyncio.start_server(carry, "127.0.0.1", 0)
    host, port = line.sockets[0].getsockname()
    try:
        yield f"http://{host}:{port}"
    finally:
        line.close()
        await line.wait_closed()
