"""A real mail server for tests, which can be told to refuse and to hang up."""

import email
import socket
from collections import Counter
from collections.abc import Callable
from email.message import Message
from email.policy import SMTP as MAIL_POLICY

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session


class Sink:
    """A mail server that keeps what it takes, and answers as it is told."""

    def __init__(self) -> None:
        self.mails: list[Message] = []
        self.connections = 0
        self.port = free_port()
        self._controller: Controller | None = None
        self.rcpt_answer: Callable[[str], str | None] = lambda address: None
        self.data_answer: Callable[[str], str | None] = lambda address: None

    def start(self) -> None:
        """Listen, also again."""
        self._controller = Controller(self, hostname="127.0.0.1", port=self.port, ready_timeout=30)
        self._controller.start()

    def stop(self) -> None:
        """Hang up, if listening."""
        if self._controller is not None:
            self._controller.stop()
            self._controller = None

    @property
    def message_ids(self) -> Counter[str]:
        """How often each Message-ID arrived."""
        return Counter(mail["Message-ID"] for mail in self.mails)

    async def handle_EHLO(
        self, server: SMTP, session: Session, envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        self.connections += 1
        session.host_name = hostname
        return responses

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        answer = self.rcpt_answer(address)
        if answer is not None:
            return answer
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        answer = self.data_answer(envelope.rcpt_tos[0])
        if answer == "disconnect before":
            server.transport.abort()
            return "451 gone"
        content = envelope.content
        assert isinstance(content, bytes)
        self.mails.append(email.message_from_bytes(content, policy=MAIL_POLICY))
        if answer == "disconnect after":
            server.transport.abort()
            return "451 gone"
        return answer or "250 taken"


def free_port() -> int:
    """A TCP port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
