"""Limits at the door: how large a body may be and how it is coded, and what a path or query may hold.

FastAPI's own `max_body_size` would answer in plain text (it replaces even an answer of ours when the declared
length is too large), so this counts the bytes itself and refuses with a problem document.
"""

from collections.abc import Callable
from typing import Any, TypeVar

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.problems import InvalidRequest, UnsupportedContentEncoding, error_members, refuse

__all__ = ["RequestLimits", "body_limit"]

F = TypeVar("F", bound=Callable[..., Any])
_ATTRIBUTE = "regulars_body_max_bytes"


def body_limit(max_bytes: int) -> Callable[[F], F]:
    """Marks an endpoint that accepts bodies of another size than the setting `request_body_max_bytes`.

    Stands below the route decorator: `@router.post(…)`, then `@body_limit(8 * 1024 * 1024)`.
    """

    def mark(endpoint: F) -> F:
        setattr(endpoint, _ATTRIBUTE, max_bytes)
        return endpoint

    return mark


class RequestLimits:
    """ASGI middleware: 413 for too large a body, 415 for a compressed one, 422 for a NUL in path or query."""

    def __init__(self, app: ASGIApp, max_body_bytes: int) -> None:
        self.app = app
        self.max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        # PostgreSQL's text cannot hold a NUL, so no address of ours has one.
        where = "path" if "\x00" in scope["path"] else "query" if b"%00" in scope["query_string"] else None
        if where is not None:
            error = {"loc": (where,), "msg": "NUL characters are not allowed"}
            await refuse(InvalidRequest(**error_members([error])), scope["path"])(scope, receive, send)
            return
        # The limit on a body would say nothing about what a compressed one grows to.
        if any(name == b"content-encoding" and not _is_identity(value) for name, value in scope["headers"]):
            await refuse(UnsupportedContentEncoding(), scope["path"])(scope, receive, send)
            return
        received = 0

        async def counted_receive() -> Message:
            nonlocal received
            # The endpoint is known here, because nothing reads the body before a route is found.
            limit: int = getattr(scope.get("endpoint"), _ATTRIBUTE, self.max_body_bytes)
            if received == 0 and _declared_bytes(scope) > limit:
                raise _too_large(limit)
            message = await receive()
            received += len(message.get("body", b""))
            if received > limit:
                raise _too_large(limit)
            return message

        await self.app(scope, counted_receive, send)


def _is_identity(coding: bytes) -> bool:
    return coding.strip().lower() in (b"", b"identity")


def _declared_bytes(scope: Scope) -> int:
    for name, value in scope["headers"]:
        if name == b"content-length":
            return int(value) if value.isdigit() else 0
    return 0


def _too_large(limit: int) -> HTTPException:
    # FastAPI lets only its own kind of exception through from where it reads the body.
    return HTTPException(413, f"The body may have at most {limit:,} bytes.")
