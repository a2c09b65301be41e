"""Who is calling and what they may do: API keys of this service's database, or tokens of an OIDC issuer.

A key reads `rk_<id>_<random>`. Only a SHA-256 of it is stored: the random part has 256 bits, so there is
nothing to guess that a slow hash would protect. Scopes are `<service>:read`, `<service>:write`,
`<service>:admin` (which includes both) and `*`.
"""

import asyncio
import hashlib
import hmac
import ipaddress
import re
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from fastapi.openapi.models import HTTPBearer as HTTPBearerModel
from fastapi.requests import Request
from fastapi.security.base import SecurityBase
from prometheus_client import Counter
from sqlalchemy import Column, DateTime, LargeBinary, MetaData, Row, Table, Text, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from shared import metrics
from shared.oidc import Issuer, TokenRefused
from shared.problems import Forbidden, NotFound, Refusal, Unauthenticated
from shared.settings import ServiceSettings

if TYPE_CHECKING:
    from shared.database import Database

__all__ = [
    "Authenticator",
    "Caller",
    "GeneratedKey",
    "InvalidScope",
    "KeyInfo",
    "api_keys_table",
    "create_key",
    "generate_key",
    "hash_key",
    "is_from_this_machine",
    "is_loopback",
    "list_keys",
    "require",
    "revoke_key",
]

SCOPE = re.compile(r"\*|[a-z][a-z_]{0,31}:(read|write|admin)")
KEY = re.compile(r"rk_([a-z0-9]{4,32})_[A-Za-z0-9_-]{20,200}")
# Longer than any key and than tokens of the issuers we know; it bounds what is hashed per request.
MAX_CREDENTIAL_CHARACTERS = 8192

_ACCEPTED_KEY = metrics.AUTHENTICATIONS.labels("key")
_ACCEPTED_TOKEN = metrics.AUTHENTICATIONS.labels("token")
_ACCEPTED_DEV = metrics.AUTHENTICATIONS.labels("dev")
_REFUSED = metrics.AUTHENTICATIONS.labels("refused")
_MISSING = metrics.AUTHENTICATIONS.labels("missing")


def api_keys_table(metadata: MetaData) -> Table:
    """Declare the keys that open this service. `hash` is the SHA-256 of the whole key."""
    now = text("clock_timestamp()")
    return Table(
        "api_keys",
        metadata,
        Column("id", Text, primary_key=True),
        Column("hash", LargeBinary, nullable=False),
        Column("name", Text, nullable=False),
        Column("scopes", ARRAY(Text), nullable=False),
        Column("created_at", DateTime(timezone=True), nullable=False, server_default=now),
        Column("expires_at", DateTime(timezone=True)),
        Column("revoked_at", DateTime(timezone=True)),
    )


class InvalidScope(Refusal):
    """A scope reads `<service>:read`, `<service>:write`, `<service>:admin` or `*`."""


class GeneratedKey(NamedTuple):
    """A new key. The secret is shown once and stored nowhere."""

    key_id: str
    secret: str


@dataclass(frozen=True, slots=True)
class KeyInfo:
    """What may be shown of a stored key."""

    key_id: str
    name: str
    scopes: tuple[str, ...]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None


@dataclass(frozen=True, slots=True)
class Caller:
    """Who is calling, by the id of the key or `oidc:<subject>`, and the scopes they hold."""

    key_id: str
    scopes: frozenset[str]

    def may(self, scope: str) -> bool:
        """Say whether one of the scopes held covers `scope`; a service's admin may also read and write."""
        return scope in self.scopes or "*" in self.scopes or f"{scope.split(':')[0]}:admin" in self.scopes


def generate_key() -> GeneratedKey:
    """Make a key: 60 bits of public id, 256 bits of secret."""
    key_id = "".join(secrets.choice("abcdefghijkmnpqrstuvwxyz23456789") for _ in range(12))
    return GeneratedKey(key_id, f"rk_{key_id}_{secrets.token_urlsafe(32)}")


def hash_key(secret: str) -> bytes:
    """The 32 bytes that are stored and looked up instead of the secret."""
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).digest()


async def create_key(
    connection: AsyncSession | AsyncConnection,
    *,
    name: str,
    scopes: Iterable[str],
    expires_at: datetime | None = None,
    key: GeneratedKey | None = None,
) -> GeneratedKey:
    """Store a new key and return it; the caller commits. Raises InvalidScope.

    `key` is one that was generated before, so that several services can know the same one.
    """
    wanted = sorted(set(scopes))
    for scope in wanted:
        if not SCOPE.fullmatch(scope):
            raise InvalidScope(f"{scope!r} is not a scope.")
    if not wanted:
        raise InvalidScope("A key needs at least one scope.")
    key = key or generate_key()
    await connection.execute(
        text(
            "INSERT INTO api_keys (id, hash, name, scopes, expires_at)"
            " VALUES (:id, :hash, :name, CAST(:scopes AS text[]), :expires_at)"
        ),
        {
            "id": key.key_id,
            "hash": hash_key(key.secret),
            "name": name,
            "scopes": wanted,
            "expires_at": expires_at,
        },
    )
    return key


async def list_keys(connection: AsyncSession | AsyncConnection) -> list[KeyInfo]:
    """All keys, the newest first, revoked ones included."""
    rows = await connection.execute(
        text(
            "SELECT id, name, scopes, created_at, expires_at, revoked_at FROM api_keys"
            " ORDER BY created_at DESC, id"
        )
    )
    return [
        KeyInfo(row.id, row.name, tuple(row.scopes), row.created_at, row.expires_at, row.revoked_at)
        for row in rows
    ]


async def revoke_key(connection: AsyncSession | AsyncConnection, key_id: str) -> None:
    """Revoke a key; running processes notice within `key_cache_seconds`. Raises NotFound."""
    revoked = await connection.execute(
        text(
            "UPDATE api_keys SET revoked_at = coalesce(revoked_at, clock_timestamp())"
            " WHERE id = :id RETURNING id"
        ),
        {"id": key_id},
    )
    if revoked.first() is None:
        raise NotFound(f"There is no key {key_id!r}.")


@dataclass(frozen=True, slots=True)
class _Judgement:
    caller: Caller | None
    until: float


class Authenticator:
    """Judges the credential of a request, and remembers each judgement for a few seconds.

    The memory is keyed by a hash of the credential and bounded; a revoked key therefore dies within
    `settings.key_cache_seconds`.
    """

    def __init__(
        self,
        database: "Database",
        settings: ServiceSettings,
        *,
        issuer: Issuer | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._clock = clock
        self._cache_seconds = settings.key_cache_seconds
        self._cache_entries = settings.key_cache_entries
        self._issuer = issuer or Issuer.of(settings)
        self._dev_key: bytes | None = None
        if settings.profile == "embedded" and settings.dev_key is not None:
            self._dev_key = settings.dev_key.get_secret_value().encode()
        self._judgements: OrderedDict[bytes, _Judgement] = OrderedDict()
        self._running: dict[bytes, asyncio.Task[_Judgement]] = {}

    async def authenticate(self, request: Request) -> Caller:
        """Say who calls and note it at `request.state.caller`. Raises Unauthenticated."""
        known: Caller | None = getattr(request.state, "caller", None)
        if known is not None:
            return known
        credential = _credential(request)
        if credential is None:
            _MISSING.inc()
            raise Unauthenticated()
        from_this_machine = self._dev_key is not None and is_from_this_machine(request)
        caller = self._developer(credential, from_this_machine) or await self._remembered(credential)
        if caller is None:
            _REFUSED.inc()
            raise Unauthenticated("The API key or access token is not valid.")
        request.state.caller = caller
        return caller

    def recalled(self, credential: str, *, from_this_machine: bool) -> Caller | None:
        """Return whom a credential is known to belong to right now; None if that has to be judged first."""
        caller = self._developer(credential, from_this_machine)
        if caller is not None:
            return caller
        known = self._judgements.get(hash_key(credential)) if len(credential) > 0 else None
        if known is None or known.caller is None or known.until <= self._clock():
            return None
        _accepted(credential).inc()
        return known.caller

    async def close(self) -> None:
        """Give up connections to the issuer."""
        if self._issuer is not None:
            await self._issuer.close()

    def _developer(self, credential: str, from_this_machine: bool) -> Caller | None:
        if self._dev_key is None or not from_this_machine:
            return None
        if not hmac.compare_digest(credential.encode(), self._dev_key):
            return None
        _ACCEPTED_DEV.inc()
        return _DEVELOPER

    async def _remembered(self, credential: str) -> Caller | None:
        digest = hash_key(credential)
        known = self._judgements.get(digest)
        if known is None or known.until <= self._clock():
            # Many requests share a key; when its judgement runs out, one of them asks and the rest wait.
            running = self._running.get(digest)
            if running is None:
                running = asyncio.create_task(self._judge(credential, digest))
                self._running[digest] = running
                running.add_done_callback(lambda task: self._judged(digest, task))
            known = await asyncio.shield(running)
        if known.caller is not None:
            _accepted(credential).inc()
        return known.caller

    def _judged(self, digest: bytes, task: asyncio.Task[_Judgement]) -> None:
        del self._running[digest]
        if task.cancelled() or task.exception() is not None:
            return
        self._judgements[digest] = task.result()
        self._judgements.move_to_end(digest)
        while len(self._judgements) > self._cache_entries:
            self._judgements.popitem(last=False)

    async def _judge(self, credential: str, digest: bytes) -> _Judgement:
        caller, valid_seconds = None, self._cache_seconds
        if match := KEY.fullmatch(credential):
            row = await self._stored_key(match[1])
            if row is not None and hmac.compare_digest(bytes(row.hash), digest):
                caller = Caller(match[1], frozenset(row.scopes))
                if row.seconds_left is not None:
                    valid_seconds = min(valid_seconds, float(row.seconds_left))
        elif self._issuer is not None and credential.count(".") == 2:
            try:
                token = await self._issuer.verify(credential)
            except TokenRefused:
                pass
            else:
                scopes = (scope for scope in token.scopes if SCOPE.fullmatch(scope))
                caller = Caller(f"oidc:{token.subject}", frozenset(scopes))
                valid_seconds = min(valid_seconds, token.seconds_left)
        return _Judgement(caller, self._clock() + valid_seconds)

    async def _stored_key(self, key_id: str) -> Row[tuple[object, ...]] | None:
        async with self._database.reading() as session:
            rows = await session.execute(
                text(
                    "SELECT hash, scopes, extract(epoch FROM expires_at - clock_timestamp()) AS seconds_left"
                    " FROM api_keys WHERE id = :id AND revoked_at IS NULL"
                    " AND (expires_at IS NULL OR expires_at > clock_timestamp())"
                ),
                {"id": key_id},
            )
            return rows.first()


_DEVELOPER = Caller("development", frozenset({"*"}))


def _accepted(credential: str) -> Counter:
    return _ACCEPTED_KEY if credential.startswith("rk_") else _ACCEPTED_TOKEN


def _credential(request: Request) -> str | None:
    header = request.headers.get("authorization")
    if header is not None:
        scheme, _, credential = header.partition(" ")
        credential = credential.strip() if scheme.lower() == "bearer" else ""
    else:
        credential = request.headers.get("x-api-key", "").strip()
    return credential if 0 < len(credential) <= MAX_CREDENTIAL_CHARACTERS else None


def is_from_this_machine(request: Request) -> bool:
    """Whether a request comes from a loopback address, and not through a proxy that says so."""
    if request.client is None:
        return False
    # A proxy on this machine makes everyone look local, but says that it forwards.
    if "x-forwarded-for" in request.headers or "forwarded" in request.headers:
        return False
    return is_loopback(request.client.host)


@lru_cache(maxsize=1024)
def is_loopback(host: str) -> bool:
    """Whether an address is this machine's own."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


class Requirement(SecurityBase):
    """A FastAPI dependency that returns the Caller if they hold `scope`.

    The Authenticator is found at `app.state.authenticator`, unless the route has judged the caller before.
    """

    def __init__(self, scope: str) -> None:
        if not SCOPE.fullmatch(scope):
            raise InvalidScope(f"{scope!r} is not a scope.")
        self.scope = scope
        self.scheme_name = "ApiKey"
        self.model = HTTPBearerModel(
            bearerFormat="rk_<id>_<secret> or JWT",
            description="`Authorization: Bearer <key>`, or the key in `X-API-Key`.",
        )

    async def __call__(self, request: Request) -> Caller:
        authenticator: Authenticator = request.app.state.authenticator
        caller = await authenticator.authenticate(request)
        if not caller.may(self.scope):
            raise Forbidden(f"This needs the scope {self.scope}.", required_scope=self.scope)
        return caller


def require(scope: str) -> Requirement:
    """`Depends(require("points:write"))`: 401 without a valid credential, 403 without the scope."""
    return Requirement(scope)
