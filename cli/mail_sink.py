"""A mail server that keeps no mail: it accepts everything and notes who was written to.

`python -m cli.mail_sink FILE PORT` stands in for a relay on one machine. One line of JSON per recipient goes
to FILE: when, to whom, with which Message-ID and subject.
"""

import asyncio
import contextlib
import importlib.util
import re
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import msgspec
from aiosmtpd.smtp import SMTP

from cli.embedded.ports import LOOPBACK

__all__ = ["Delivery", "Sink", "deliveries", "listening"]

MAX_MESSAGE_BYTES = 10 * 1024 * 1024
# The notes are for looking at; beyond this the older half moves aside once, and what was aside is dropped.
MAX_FILE_BYTES = 64 * 1024 * 1024

# Not a mail parser, because that would make the sink slower than the sender it is there to receive from.
MESSAGE_ID = re.compile(rb"^message-id:\s*(\S+)", re.IGNORECASE | re.MULTILINE)
SUBJECT = re.compile(rb"^subject:[ \t]*(.*?)\r?$", re.IGNORECASE | re.MULTILINE)


class Delivery(msgspec.Struct, frozen=True):
    """One accepted mail to one recipient."""

    to: str
    message_id: str
    subject: str


def deliveries(path: Path) -> Iterator[Delivery]:
    """What a sink has noted so far."""
    if not path.exists():
        return
    decoder = msgspec.json.Decoder(Delivery)
    with path.open("rb") as file:
        for line in file:
            # The last line may still be in writing.
            if line.endswith(b"\n"):
                yield decoder.decode(line)


class Sink:
    """Handles aiosmtpd's hook for a whole message."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("ab", buffering=0)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    async def handle_DATA(self, server: SMTP, session: Any, envelope: Any) -> str:
        """Note each recipient, on disk before the sender is told that the mail was accepted."""
        head, _, _ = envelope.content.partition(b"\r\n\r\n")
        message_id, subject = _first(MESSAGE_ID, head), _first(SUBJECT, head)
        notes = [Delivery(to=to, message_id=message_id, subject=subject) for to in envelope.rcpt_tos]
        self._file.write(b"".join(msgspec.json.encode(note) + b"\n" for note in notes))
        if self._file.tell() > MAX_FILE_BYTES:
            self._file.close()
            self._path.replace(self._path.with_suffix(".older.ndjson"))
            self._file = self._path.open("ab", buffering=0)
        return "250 OK"


def _first(pattern: re.Pattern[bytes], head: bytes) -> str:
    found = pattern.search(head)
    return found[1].decode("utf-8", "replace") if found else ""


@contextlib.asynccontextmanager
async def listening(sink: Sink, port: int) -> AsyncIterator[None]:
    """Accept mail inside."""
    loop = asyncio.get_running_loop()

    def session() -> SMTP:
        limit = MAX_MESSAGE_BYTES
        return SMTP(sink, hostname="localhost", data_size_limit=limit, enable_SMTPUTF8=True, loop=loop)

    server = await loop.create_server(session, LOOPBACK, port)
    try:
        yield
    finally:
        server.close()
        sink.close()


async def serve(path: Path, port: int) -> None:
    """Accept mail until SIGTERM or SIGINT."""
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    async with listening(Sink(path), port):
        await stopping.wait()


if __name__ == "__main__":
    if importlib.util.find_spec("uvloop"):
        import uvloop

        uvloop.install()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(Path(sys.argv[1]), int(sys.argv[2])))
