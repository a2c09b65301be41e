"""Signed webhooks, as the Standard Webhooks specification says, to addresses on the public internet only.

The name is resolved once, every address it has is checked, and the connection goes to a checked address, so
that a name that resolves differently a moment later leads nowhere.
Source: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import asyncio
import binascii
import ipaddress
import secrets
import socket
from base64 import b64encode
from collections.abc import Sequence
from typing import Final
from urllib.parse import urlsplit

import httpx
import msgspec
import standardwebhooks

from services.messaging.channels.base import Endpoint, Outgoing
from services.messaging.domain import Outcome, OutcomeKind
from services.messaging.settings import MessagingSettings
from shared.clock import utc_now

__all__ = [
    "AddressRefused",
    "WebhookCaller",
    "WebhookChannel",
    "check_url",
    "new_secret",
    "valid_secret",
]

SECRET_PREFIX: Final = "whsec_"  # noqa: S105 - the public prefix of every secret
SECRET_BYTES: Final = 32
MAX_URL_CHARACTERS: Final = 2000
MAX_RETRY_AFTER_SECONDS: Final = 86_400.0
_GONE: Final = 410
_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")
USER_AGENT: Final = "regulars-webhooks/1"


class AddressRefused(Exception):
    """The address is not one that webhooks may go to; the message says why."""


def new_secret() -> str:
    """A fresh signing secret."""
    return SECRET_PREFIX + b64encode(secrets.token_bytes(SECRET_BYTES)).decode("ascii")


def valid_secret(secret: str) -> bool:
    """Whether a secret is `whsec_` and 24 to 64 bytes in base64, as the specification asks."""
    if not secret.startswith(SECRET_PREFIX):
        return False
    try:
        raw = binascii.a2b_base64(secret.removeprefix(SECRET_PREFIX), strict_mode=True)
    except binascii.Error:
        return False
    return 24 <= len(raw) <= 64


def check_url(url: str, *, allow_private: bool) -> None:
    """Raise AddressRefused for an address that no webhook may go to, as far as its text tells."""
    if len(url) > MAX_URL_CHARACTERS or not url.isascii() or not url.isprintable() or " " in url:
        raise AddressRefused("not a URL in ASCII of at most 2000 characters")
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
        httpx.URL(url)
    except (ValueError, httpx.InvalidURL) as error:
        raise AddressRefused("not a URL") from error
    if parts.scheme != "https" and not (allow_private and parts.scheme == "http"):
        raise AddressRefused("not https")
    if not host or parts.username is not None or parts.password is not None or parts.fragment:
        raise AddressRefused("no host, or credentials or a fragment in the URL")
    try:
        literal = ipaddress.ip_address(host)
    except ValueError:
        return
    if not allow_private:
        _check_address(literal)


def _check_address(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    """Raise AddressRefused unless the address is on the public internet."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo or (None, None))[1]
        if address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            _check_address(inner)
    if not address.is_global or address.is_multicast or address.is_reserved:
        raise AddressRefused("not an address on the public internet")


class _CheckedTransport(httpx.AsyncBaseTransport):
    """Connects to addresses that were checked, whatever the name resolves to later."""

    def __init__(self, *, connections: int, allow_private: bool) -> None:
        limits = httpx.Limits(max_connections=connections, max_keepalive_connections=connections)
        self._inner = httpx.AsyncHTTPTransport(limits=limits, trust_env=False)
        self._allow_private = allow_private

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        host = request.url.host
        address = await self._resolve(host, request.url.port or 443)
        # The Host header was set from the name already; TLS goes on asking for the name's certificate.
        request.url = request.url.copy_with(host=address)
        request.extensions = {**request.extensions, "sni_hostname": host}
        return await self._inner.handle_async_request(request)

    async def _resolve(self, host: str, port: int) -> str:
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise httpx.ConnectError("the name does not resolve") from error
        addresses = [ipaddress.ip_address(str(entry[4][0]).partition("%")[0]) for entry in found]
        if not addresses:
            raise httpx.ConnectError("the name does not resolve")
        if not self._allow_private:
            for address in addresses:
                _check_address(address)
        return str(addresses[0])

    async def aclose(self) -> None:
        await self._inner.aclose()


class WebhookCaller:
    """Posts signed documents. Follows no redirect and reads no answer beyond its status."""

    def __init__(self, settings: MessagingSettings) -> None:
        self._timeout_seconds = settings.webhook_timeout_seconds
        self._limit = asyncio.Semaphore(settings.webhook_connections)
        self._allow_private = settings.webhook_allow_private
        self._client = httpx.AsyncClient(
            transport=_CheckedTransport(
                connections=settings.webhook_connections, allow_private=settings.webhook_allow_private
            ),
            timeout=settings.webhook_timeout_seconds,
            follow_redirects=False,
            trust_env=False,
        )

    async def call(self, endpoint: Endpoint, identity: str, payload: str) -> Outcome:
        """One attempt. A repeat carries the same `webhook-id`, so a receiver can tell it."""
        now = utc_now()
        headers = {
            "content-type": "application/json",
            "user-agent": USER_AGENT,
            "webhook-id": identity,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": standardwebhooks.Webhook(endpoint.secret).sign(identity, now, payload),
        }
        try:
            check_url(endpoint.url, allow_private=self._allow_private)
            async with (
                self._limit,
                asyncio.timeout(self._timeout_seconds),
                self._client.stream(
                    "POST", endpoint.url, content=payload.encode(), headers=headers
                ) as response,
            ):
                return _judge(response)
        except AddressRefused:
            return Outcome(OutcomeKind.REFUSED, "address_not_allowed")
        except TimeoutError:
            return Outcome(OutcomeKind.DEFERRED, "timeout")
        except httpx.TimeoutException:
            return Outcome(OutcomeKind.DEFERRED, "timeout")
        except (httpx.HTTPError, OSError):
            return Outcome(OutcomeKind.DEFERRED, "unreachable")

    async def close(self) -> None:
        """Let go of connections."""
        await self._client.aclose()


def _judge(response: httpx.Response) -> Outcome:
    status = response.status_code
    if 200 <= status < 300:
        return Outcome(OutcomeKind.DELIVERED, f"http_{status}")
    if status == _GONE:
        return Outcome(OutcomeKind.REFUSED, "http_410")
    retry_after = response.headers.get("retry-after", "")
    seconds = float(retry_after) if retry_after.isdecimal() and len(retry_after) < 10 else None
    wait = None if seconds is None else min(seconds, MAX_RETRY_AFTER_SECONDS)
    return Outcome(OutcomeKind.DEFERRED, f"http_{status}", retry_after_seconds=wait)


class WebhookChannel:
    """Hands messages to a system of the shop's own, such as a chat room or a help desk."""

    name = "webhook"
    needs_address = False

    def __init__(self, caller: WebhookCaller) -> None:
        self._caller = caller

    async def send(self, batch: Sequence[Outgoing]) -> list[Outcome]:
        """Try every message once, concurrently."""
        return list(await asyncio.gather(*(self._send(message) for message in batch)))

    async def _send(self, message: Outgoing) -> Outcome:
        if message.endpoint is None:
            return Outcome(OutcomeKind.REFUSED, "webhook_missing")
        document = {
            "type": "message",
            "timestamp": utc_now(),
            "data": {
                "message_id": message.id,
                "member_id": message.member_id,
                "purpose": message.purpose,
                "trigger": message.trigger,
                "subject": message.subject,
                "text": message.text,
            },
        }
        return await self._caller.call(
            message.endpoint, str(message.id), msgspec.json.encode(document).decode()
        )

    async def close(self) -> None:
        """The caller is closed by whoever made it."""
