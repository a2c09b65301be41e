"""E-mail over SMTP: a pool of connections, many mails over each, and every failure put into its class."""

import asyncio
import re
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import aiosmtplib
import structlog

from services.messaging.channels import metrics
from services.messaging.channels.base import Outgoing
from services.messaging.channels.mail import compose, is_mail_address
from services.messaging.domain import Outcome, OutcomeKind
from services.messaging.settings import MessagingSettings
from shared.clock import utc_now

__all__ = ["EmailChannel"]

log = structlog.get_logger("regulars.messaging.email")

# Enhanced status codes (RFC 3463) that say the address is wrong, not that this mail is unwelcome.
_BAD_ADDRESS: Final = re.compile(r"5\.1\.[0-9]+")
_SERVICE_CLOSING: Final = 421
# "OK" and, for RCPT, "will forward".
_TAKEN: Final = (250, 251)
# How long goodbyes may take; nothing is lost if one is not said.
_QUIT_SECONDS: Final = 1.0

# A wave that takes longer than this hands back what it has not begun, so that its dispatcher stays alive.
_WAVE_SECONDS: Final = 30.0

ACCEPTED: Final = Outcome(OutcomeKind.ACCEPTED, "smtp_250")
UNAVAILABLE: Final = Outcome(OutcomeKind.UNAVAILABLE, "smtp_unreachable")


@dataclass(slots=True)
class _Slot:
    """One place of the pool. A connection is made when it is first needed."""

    connection: aiosmtplib.SMTP | None = None
    sent: int = 0
    used_at: float = 0.0
    phase: str = "mail"


class EmailChannel:
    """Sends over at most `smtp_connections` connections, which stay open between batches."""

    name = "email"
    needs_address = True

    def __init__(self, settings: MessagingSettings) -> None:
        self._settings = settings
        self._slots: asyncio.LifoQueue[_Slot] = asyncio.LifoQueue()
        for _ in range(settings.smtp_connections):
            self._slots.put_nowait(_Slot())

    async def send(self, batch: Sequence[Outgoing]) -> list[Outcome]:
        """Try every mail once, concurrently over the pool."""
        outcomes: list[Outcome] = [UNAVAILABLE] * len(batch)
        waiting = deque(enumerate(batch))
        width = min(len(batch), max(1, self._settings.smtp_connections // self._settings.dispatch_lanes))
        await asyncio.gather(*(self._drain(waiting, outcomes) for _ in range(width)))
        return outcomes

    async def _drain(self, waiting: deque[tuple[int, Outgoing]], outcomes: list[Outcome]) -> None:
        """Send what waits over one connection until nothing is left, or no connection can be made."""
        slot = await self._slots.get()
        until = time.monotonic() + _WAVE_SECONDS
        try:
            while waiting and time.monotonic() < until:
                index, message = waiting.popleft()
                outcomes[index] = outcome = await self._attempt(slot, message)
                if outcome.kind is OutcomeKind.UNAVAILABLE:
                    return
        finally:
            slot.used_at = time.monotonic()
            self._slots.put_nowait(slot)

    async def _attempt(self, slot: _Slot, message: Outgoing) -> Outcome:
        if message.address is None or not is_mail_address(message.address):
            return Outcome(OutcomeKind.REFUSED, "invalid_address")
        try:
            connection = await self._connected(slot)
        except (aiosmtplib.SMTPException, OSError, TimeoutError) as error:
            self._discard(slot)
            log.warning("smtp.unreachable", error=type(error).__name__)
            return Outcome(OutcomeKind.UNAVAILABLE, _connect_reason(error))
        settings = self._settings
        content = compose(
            message,
            from_name=settings.mail_from_name,
            from_address=settings.mail_from_address,
            date=utc_now(),
        )
        slot.sent += 1
        slot.phase = "mail"
        try:
            async with asyncio.timeout(settings.smtp_timeout_seconds):
                await self._transmit(slot, connection, message.address, content)
        except aiosmtplib.SMTPResponseException as error:
            await self._recover(slot, connection, error.code)
            return _classify(slot.phase, error.code, error.message)
        except (aiosmtplib.SMTPException, OSError, TimeoutError) as error:
            self._discard(slot)
            reason = "smtp_timeout" if isinstance(error, TimeoutError) else "smtp_connection_lost"
            # From the DATA command on, a broken connection leaves the fate of the mail unknown.
            kind = OutcomeKind.AMBIGUOUS if slot.phase == "data" else OutcomeKind.DEFERRED
            return Outcome(kind, reason)
        except asyncio.CancelledError:
            # In the middle of a transaction the connection is of no use to anybody else.
            self._discard(slot)
            raise
        return ACCEPTED

    async def _transmit(self, slot: _Slot, connection: aiosmtplib.SMTP, address: str, content: bytes) -> None:
        """One mail transaction; the caller bounds its time, so that one timer serves all its commands.

        MAIL and RCPT are written out because the library parses each address again, which costs more than
        sending it; what goes in here has passed `is_mail_address`.
        """
        sender = self._settings.mail_from_address
        await _command(connection, b"MAIL", f"FROM:<{sender}>".encode())
        slot.phase = "rcpt"
        await _command(connection, b"RCPT", f"TO:<{address}>".encode())
        slot.phase = "data"
        await connection.data(content, timeout=None)

    async def _recover(self, slot: _Slot, connection: aiosmtplib.SMTP, code: int) -> None:
        """After a refusal, begin a clean transaction, or a new connection if the relay closes this one."""
        if code == _SERVICE_CLOSING or code < 0:
            self._discard(slot)
            return
        try:
            await connection.rset()
        except (aiosmtplib.SMTPException, OSError, TimeoutError):
            self._discard(slot)

    async def _connected(self, slot: _Slot) -> aiosmtplib.SMTP:
        """The slot's connection, replaced if it is gone, worn out or was idle for long."""
        connection = slot.connection
        if connection is not None and connection.is_connected:
            idle_seconds = time.monotonic() - slot.used_at
            if (
                slot.sent < self._settings.smtp_messages_per_connection
                and idle_seconds < self._settings.smtp_idle_seconds
            ):
                slot.used_at = time.monotonic()
                return connection
            await self._quit(connection)
        self._discard(slot)
        slot.connection = connection = self._new_connection()
        await connection.connect()
        if connection.is_ehlo_or_helo_needed:
            await connection.ehlo()
        metrics.SMTP_CONNECTIONS.inc()
        slot.sent, slot.used_at = 0, time.monotonic()
        return connection

    def _new_connection(self) -> aiosmtplib.SMTP:
        settings = self._settings
        password = settings.smtp_password
        return aiosmtplib.SMTP(
            hostname=settings.smtp_host,
            port=settings.smtp_port,
            username=settings.smtp_username,
            password=None if password is None else password.get_secret_value(),
            local_hostname=settings.mail_from_address.rpartition("@")[2],
            timeout=settings.smtp_timeout_seconds,
            use_tls=settings.smtp_tls == "tls",
            start_tls=settings.smtp_tls == "starttls",
        )

    def _discard(self, slot: _Slot) -> None:
        if slot.connection is not None:
            slot.connection.close()
            slot.connection = None

    async def _quit(self, connection: aiosmtplib.SMTP) -> None:
        try:
            await connection.quit(timeout=_QUIT_SECONDS)
        except (aiosmtplib.SMTPException, OSError, TimeoutError):
            connection.close()

    async def close(self) -> None:
        """Say goodbye on every idle connection."""
        for slot in self._idle():
            if slot.connection is not None:
                await self._quit(slot.connection)
                self._discard(slot)

    def _idle(self) -> Iterator[_Slot]:
        while not self._slots.empty():
            yield self._slots.get_nowait()


async def _command(connection: aiosmtplib.SMTP, verb: bytes, argument: bytes) -> None:
    response = await connection.execute_command(verb, argument, timeout=None)
    if response.code not in _TAKEN:
        raise aiosmtplib.SMTPResponseException(response.code, response.message)


def _connect_reason(error: Exception) -> str:
    if isinstance(error, aiosmtplib.SMTPResponseException):
        return f"smtp_connect_{error.code}"
    return UNAVAILABLE.reason


def _classify(phase: str, code: int, words: str) -> Outcome:
    """The class of a reply: who is at fault, and whether another try makes sense (RFC 5321, section 4.2)."""
    if code == _SERVICE_CLOSING:
        return Outcome(OutcomeKind.UNAVAILABLE, "smtp_421")
    if code < 0:
        kind = OutcomeKind.AMBIGUOUS if phase == "data" else OutcomeKind.DEFERRED
        return Outcome(kind, "smtp_garbled")
    if code < 500:
        return Outcome(OutcomeKind.DEFERRED, f"smtp_{code}")
    if phase == "mail":
        # Every message has this sender, so the account is at fault and no message should pay for it.
        return Outcome(OutcomeKind.UNAVAILABLE, f"smtp_sender_{code}")
    bad_address = phase == "rcpt" and _BAD_ADDRESS.match(words.strip()) is not None
    return Outcome(OutcomeKind.REFUSED, f"smtp_{code}", suppress=bad_address)
