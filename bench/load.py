"""An HTTP load generator that costs little: prepared requests, keep-alive connections, a bare parser.

A general client would use more of the two cores than the server it measures.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

__all__ = ["Line", "Load", "drive", "pace", "request_bytes"]


@dataclass(slots=True)
class Load:
    """What came back: how many answers by status, each one's latency in seconds, and the whole time."""

    seconds: float = 0.0
    latencies_seconds: list[float] = field(default_factory=list)
    statuses: dict[int, int] = field(default_factory=dict)

    @property
    def rate(self) -> float:
        """Answers per second."""
        return len(self.latencies_seconds) / self.seconds


def request_bytes(method: str, path: str, body: bytes, headers: dict[str, str]) -> bytes:
    """Return one HTTP/1.1 request as it goes over the wire."""
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", f"Content-Length: {len(body)}"]
    lines += ["Content-Type: application/json", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


async def drive(port: int, requests: Sequence[bytes], *, connections: int) -> Load:
    """Send every request once over `connections` keep-alive connections, each one at a time."""
    load = Load()
    pending = iter(requests)
    started = time.perf_counter()
    await asyncio.gather(*(_connection(port, pending, load) for _ in range(connections)))
    load.seconds = time.perf_counter() - started
    return load


async def _connection(port: int, pending: Iterator[bytes], load: Load) -> None:
    async with Line.open(port) as line:
        for request in pending:
            sent = time.perf_counter()
            status, _ = await line.ask(request)
            load.latencies_seconds.append(time.perf_counter() - sent)
            load.statuses[status] = load.statuses.get(status, 0) + 1


async def pace(port: int, requests: Sequence[bytes], *, per_second: float, connections: int) -> Load:
    """Send every request at its time, whatever became of those before it.

    A latency counts from when the request was due, so that one that had to wait for a connection is not
    flattered. Source: Gil Tene, "How NOT to measure latency", on coordinated omission.
    """
    load = Load()
    idle: asyncio.Queue[Line] = asyncio.Queue()
    async with AsyncExitStack() as lines:
        for _ in range(connections):
            idle.put_nowait(await lines.enter_async_context(Line.open(port)))
        started = time.perf_counter()
        async with asyncio.TaskGroup() as sending:
            for number, request in enumerate(requests):
                due = started + number / per_second
                await asyncio.sleep(max(0.0, due - time.perf_counter()))
                sending.create_task(_send(request, due, idle, load))
        load.seconds = time.perf_counter() - started
    return load


async def _send(request: bytes, due: float, idle: "asyncio.Queue[Line]", load: Load) -> None:
    line = await idle.get()
    status, _ = await line.ask(request)
    load.latencies_seconds.append(time.perf_counter() - due)
    load.statuses[status] = load.statuses.get(status, 0) + 1
    idle.put_nowait(line)


class Line:
    """One keep-alive connection, on which one request after the other is asked."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    @asynccontextmanager
    async def open(cls, port: int) -> "AsyncIterator[Line]":
        """Yield a connection to the port."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            yield cls(reader, writer)
        finally:
            writer.close()
            await writer.wait_closed()

    async def ask(self, request: bytes) -> tuple[int, bytes]:
        """Send a request and return the status and the body of its answer."""
        self._writer.write(request)
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = 0
        for line in head.split(b"\r\n"):
            if line[:15].lower() == b"content-length:":
                length = int(line[15:])
        body = await self._reader.readexactly(length) if length else b""
        return int(head[9:12]), body
