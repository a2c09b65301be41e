"""Access tokens of an OIDC issuer: signature, issuer, audience and times, checked with its published keys.

Source: RFC 7519 (JWT), RFC 7517 (JWK sets) and RFC 8725 (pinned algorithms, no key from the token itself).
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx
import jwt
import structlog

from shared.problems import Unavailable
from shared.settings import ServiceSettings

__all__ = ["Issuer", "Token", "TokenRefused"]

# The clocks of two machines in one deployment may differ by about this much.
LEEWAY_SECONDS = 30
FETCH_TIMEOUT_SECONDS = 5.0
# A flood of tokens with made-up key ids must not become a flood of requests to the issuer.
MINIMUM_REFRESH_SECONDS = 10.0

_log = structlog.get_logger("regulars.oidc")


class TokenRefused(Exception):
    """The access token is not valid here."""


@dataclass(frozen=True, slots=True)
class Token:
    """What a valid token says; `seconds_left` until it expires."""

    subject: str
    scopes: tuple[str, ...]
    seconds_left: float


class Issuer:
    """One issuer and the keys that it publishes, fetched when first needed and when one is unknown."""

    def __init__(
        self,
        *,
        issuer: str,
        jwks_url: str,
        audience: str,
        algorithms: list[str],
        cache_seconds: float,
        client: httpx.AsyncClient | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._issuer = issuer
        self._jwks_url = jwks_url
        self._audience = audience
        self._algorithms = algorithms
        self._cache_seconds = cache_seconds
        self._client = client
        self._clock = clock
        self._keys: dict[str, jwt.PyJWK] = {}
        self._fetched_at: float | None = None
        self._fetching = asyncio.Lock()

    @classmethod
    def of(cls, settings: ServiceSettings) -> "Issuer | None":
        """The issuer that the settings name, if any."""
        if not (settings.oidc_issuer and settings.oidc_jwks_url and settings.oidc_audience):
            return None
        return cls(
            issuer=settings.oidc_issuer,
            jwks_url=settings.oidc_jwks_url,
            audience=settings.oidc_audience,
            algorithms=settings.oidc_algorithms,
            cache_seconds=settings.oidc_jwks_cache_seconds,
        )

    async def verify(self, credential: str) -> Token:
        """Return what the token says. Raises TokenRefused, or Unavailable without the issuer's keys."""
        try:
            key_id = jwt.get_unverified_header(credential).get("kid")
            key = await self._key(str(key_id))
            claims = jwt.decode(
                credential,
                key,
                algorithms=self._algorithms,
                audience=self._audience,
                issuer=self._issuer,
                leeway=LEEWAY_SECONDS,
                options={"require": ["exp", "sub", "iss", "aud"]},
            )
        except (jwt.PyJWTError, ValueError) as error:
            raise TokenRefused from error
        return Token(str(claims["sub"]), _scopes(claims), max(0.0, float(claims["exp"]) - time.time()))

    async def close(self) -> None:
        """Close the connection to the issuer."""
        if self._client is not None:
            await self._client.aclose()

    async def _key(self, key_id: str) -> jwt.PyJWK:
        if key_id not in self._keys or self._age() >= self._cache_seconds:
            async with self._fetching:
                minimum = self._cache_seconds if key_id in self._keys else MINIMUM_REFRESH_SECONDS
                if self._age() >= min(minimum, self._cache_seconds):
                    await self._fetch()
        if key_id not in self._keys:
            raise TokenRefused
        return self._keys[key_id]

    def _age(self) -> float:
        return float("inf") if self._fetched_at is None else self._clock() - self._fetched_at

    async def _fetch(self) -> None:
        if self._client is None:
            self._client = httpx.AsyncClient(timeout=FETCH_TIMEOUT_SECONDS, follow_redirects=False)
        try:
            response = await self._client.get(self._jwks_url)
            response.raise_for_status()
            keys = jwt.PyJWKSet.from_dict(response.json()).keys
        except (httpx.HTTPError, ValueError, jwt.PyJWTError) as error:
            _log.warning("issuer_keys_not_fetched", error=type(error).__name__)
            if not self._keys:
                raise Unavailable("The issuer of access tokens does not answer.") from error
            # The keys of a moment ago are better than turning everyone away; the next look comes soon.
            self._fetched_at = self._clock() - self._cache_seconds + MINIMUM_REFRESH_SECONDS
            return
        self._keys = {key.key_id: key for key in keys if key.key_id}
        self._fetched_at = self._clock()


def _scopes(claims: dict[str, Any]) -> tuple[str, ...]:
    """Scopes as issuers state them: `scope` is a space-separated string (RFC 8693), `scp` often a list."""
    stated = claims.get("scope", claims.get("scp", ""))
    if isinstance(stated, str):
        return tuple(stated.split())
    return tuple(str(scope) for scope in stated) if isinstance(stated, list) else ()
