"""A mail server that keeps no mail: it accepts everything and notes who was written to.

`python -m cli.mail_sink FILE PORT` stands in for a relay on one machine. One line of JSON per recipient goes
to FILE: when, to whom, with which Message-ID and subject.
"""

import asyncio
import contextlib
import email.parser
import email.policy
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from aiosmtpd.smtp import SMTP

from cli.embedded.ports import LOOPBACK

__all__ = ["Delivery", "deliveries"]

MAX_MESSAGE_BYTES = 10 * 1024 * 1024
# The notes are for looking at; beyond this the older half moves aside once, and what was aside is dropped.
MAX_FILE_BYTES = 64 * 1024 * 1024

_headers = email.parser.BytesHeaderParser(policy=email.policy.default)


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

    async def handle_DATA(self, server: SMTP, session: Any, envelope: Any) -> str:
        """Note each recipient, on disk before the sender is told that the mail was accepted."""
        head, _, _ = envelope.content.partition(b"\r\n\r\n")
        headers = _headers.parsebytes(head)
        message_id, subject = str(headers.get("Message-ID", "")), str(headers.get("Subject", ""))
        notes = [Delivery(to=to, message_id=message_id, subject=subject) for to in envelope.rcpt_tos]
        self._file.write(b"".join(msgspec.json.encode(note) + b"\n" for note in notes))
        if self._file.tell() > MAX_FILE_BYTES:
            self._file.close()
            self._path.replace(self._path.with_suffix(".older.ndjson"))
            self._file = self._path.open("ab", buffering=0)
        return "250 OK"


async def serve(path: Path, port: int) -> None:
    """Accept mail until SIGTERM or SIGINT."""
    sink, stopping = Sink(path), asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)

    def session() -> SMTP:
        return SMTP(
            sink, hostname="localhost", data_size_limit=MAX_MESSAGE_BYTES, enable_SMTPUTF8=True, loop=loop
        )

    server = await loop.create_server(session, LOOPBACK, port)
    try:
        await stopping.wait()
    finally:
        server.close()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(Path(sys.argv[1]), int(sys.argv[2])))
