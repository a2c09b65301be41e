"""Signed tokens for links that travel outside: share links, unsubscribe links.

A token is `<key id>.<payload>.<signature>`, each part base64url without padding. The signature is
HMAC-SHA-256 (RFC 2104) over key id and payload. Keys rotate: the first signs, all of them verify, and the key
id says which one it was. The payload is readable by anyone, so it holds ids and never anything personal.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence

from pydantic import SecretStr

from shared.problems import Refusal

__all__ = ["InvalidToken", "key_id", "sign", "verify"]

# Links end up in short messages; far longer ones are not ours, and need not be decoded to know it.
MAX_TOKEN_CHARACTERS = 2048


class InvalidToken(Refusal):
    """This link is not one of ours, or was signed with a key that is no longer in use."""

    status = 404


def sign(payload: bytes, keys: Sequence[SecretStr]) -> str:
    """Sign `payload` with the first of `keys`. Raises ValueError if the token would be too long."""
    secret = keys[0].get_secret_value()
    signed = f"{key_id(secret)}.{_encode(payload)}"
    token = f"{signed}.{_encode(_signature(signed, secret))}"
    if len(token) > MAX_TOKEN_CHARACTERS:
        raise ValueError(f"a payload of {len(payload)} bytes is too long for a link")
    return token


def verify(token: str, keys: Sequence[SecretStr]) -> bytes:
    """The payload of `token` if one of `keys` signed it. Raises InvalidToken."""
    parts = token.split(".")
    if len(token) > MAX_TOKEN_CHARACTERS or len(parts) != 3 or not token.isascii():
        raise InvalidToken()
    identity, payload, signature = parts
    for key in keys:
        secret = key.get_secret_value()
        if key_id(secret) != identity:
            continue
        # Compared as text: base64 reads several spellings as the same bytes, and one token must be one text.
        if hmac.compare_digest(signature, _encode(_signature(f"{identity}.{payload}", secret))):
            return _decode(payload)
    raise InvalidToken()


def key_id(secret: str) -> str:
    """A public name of a key, 8 characters, that says nothing of it."""
    return _encode(hashlib.sha256(b"regulars key id\x00" + secret.encode()).digest()[:6])


def _signature(signed: str, secret: str) -> bytes:
    return hmac.digest(secret.encode(), b"regulars link\x00" + signed.encode(), "sha256")


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")


def _decode(text: str) -> bytes:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except binascii.Error as error:
        raise InvalidToken() from error
