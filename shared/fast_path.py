"""The fast path: plain requests to hot routes, answered without the layers of the framework.

Most of what such a request costs is finding its route, building request objects, resolving dependencies and
handing every message through each middleware. `FastPath` stands before the application and does at once what
those do for the routes it knows: caller, trace, metrics, idempotency key, problem documents.

It takes only what is plain: a POST or a GET without a query, the headers and the body that nearly all callers
send, a key that was judged a moment ago. All else goes on to the application with nothing consumed or
counted, so what is wrong with a request is judged in one place, and documented there.
"""

import re
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Generic, TypeVar
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared import idempotency, metrics, tracing
from shared.auth import Authenticator, Caller, is_loopback
from shared.database import Database
from shared.edge import Answered, Desk, is_idempotency_key
from shared.problems import Refusal, refuse, unhandled

__all__ = ["FastGlance", "FastPath", "FastRoute"]

C = TypeVar("C")

# One command is some hundred bytes; whoever sends much more has time for the ordinary way.
MAX_BODY_BYTES: Final = 64 * 1024

# An id as we write it ourselves; other spellings are for the application to read.
_ID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


@dataclass(frozen=True)
class FastRoute(Generic[C]):
    """`POST path`, answered by a desk to callers who hold `scope`.

    `read` makes the command of a body, or says None to a body that the ordinary route of the same path shall
    judge. What it takes, that route takes too, and as the same command.
    """

    path: str
    scope: str
    desk: Desk[C, Any]
    read: Callable[[bytes, Caller], C | None]


@dataclass(frozen=True)
class FastGlance:
    """`GET path` with an id in it, such as `/v1/members/{member_id}/points`, for callers who hold `scope`.

    `read` makes the JSON body of the answer by one statement. The ordinary route of the same path gives the
    same answer.
    """

    path: str
    scope: str
    read: Callable[[AsyncSession, UUID], Awaitable[bytes]]


@dataclass(frozen=True, slots=True)
class _Plain:
    """A request that the fast path takes: its route's path, what answers it, and its headers."""

    path: str
    answer: Callable[[], Awaitable[Answered]]
    headers: Mapping[bytes, bytes]


class FastPath:
    """ASGI application in front of another, which gets whatever is not plain."""

    def __init__(
        self,
        app: ASGIApp,
        routes: Sequence[FastRoute[Any] | FastGlance],
        authenticator: Callable[[Scope], Authenticator],
        database: Callable[[Scope], Database],
        is_outage: Callable[[BaseException], bool],
    ) -> None:
        self.app = app
        self._routes = {route.path: route for route in routes if isinstance(route, FastRoute)}
        # By what stands before and behind the id.
        self._glances = {
            (path[0], path[2]): route
            for route in routes
            if isinstance(route, FastGlance) and (path := re.split(r"({\w+})", route.path))
        }
        self._authenticator = authenticator
        self._database = database
        self._is_outage = is_outage
        self._requests = metrics.RequestCounts()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not scope["query_string"] and not tracing.records_spans():
            started = time.perf_counter()
            if scope["method"] == "POST":
                route = self._routes.get(scope["path"])
                if route is not None and _says_small_body(scope):
                    taken = await _whole_body(receive)
                    receive = _beginning_with(taken, receive)
                    plain = self._plain_command(route, scope, taken)
                    if plain is not None:
                        await self._answer(plain, started, scope, receive, send)
                        return
            elif scope["method"] == "GET":
                plain = self._plain_glance(scope)
                if plain is not None:
                    await self._answer(plain, started, scope, receive, send)
                    return
        await self.app(scope, receive, send)

    def _plain_command(self, route: FastRoute[C], scope: Scope, taken: Sequence[Message]) -> _Plain | None:
        """Return the request as the fast path takes it, or None; `taken` is its body."""
        if taken[-1]["type"] != "http.request":
            return None
        body = b"".join([message.get("body", b"") for message in taken])
        headers = dict(scope["headers"])
        # Where a name comes twice, which of the two counts is the application's to know.
        if len(headers) != len(scope["headers"]):
            return None
        if headers.get(b"content-type") != b"application/json" or b"content-encoding" in headers:
            return None
        caller = self._caller(scope, headers)
        if caller is None or not caller.may(route.scope):
            return None
        claim = None
        key = headers.get(b"idempotency-key")
        if key is not None:
            written = key.decode("latin-1")
            if not is_idempotency_key(written):
                return None
            claim = idempotency.claim_of(
                caller=caller.key_id, method="POST", path=route.path, query="", key=written, body=body
            )
        command = route.read(body, caller)
        if command is None:
            return None
        return _Plain(route.path, partial(route.desk.submit, command, claim), headers)

    def _plain_glance(self, scope: Scope) -> _Plain | None:
        found = _ID.search(scope["path"])
        if found is None:
            return None
        route = self._glances.get((scope["path"][: found.start()], scope["path"][found.end() :]))
        headers = dict(scope["headers"])
        if route is None or len(headers) != len(scope["headers"]):
            return None
        if b"transfer-encoding" in headers or headers.get(b"content-length", b"0") != b"0":
            return None
        caller = self._caller(scope, headers)
        if caller is None or not caller.may(route.scope):
            return None
        return _Plain(route.path, partial(self._glance, route, UUID(found[0]), scope), headers)

    async def _glance(self, route: FastGlance, id_: UUID, scope: Scope) -> Answered:
        async with self._database(scope).glance() as session:
            return Answered(200, await route.read(session, id_))

    def _caller(self, scope: Scope, headers: Mapping[bytes, bytes]) -> Caller | None:
        scheme, _, credential = headers.get(b"authorization", b"").partition(b" ")
        if scheme.lower() != b"bearer":
            return None
        client = scope.get("client")
        is_direct = b"x-forwarded-for" not in headers and b"forwarded" not in headers
        return self._authenticator(scope).recalled(
            credential.decode("latin-1").strip(),
            from_this_machine=is_direct and client is not None and is_loopback(client[0]),
        )

    async def _answer(
        self, plain: _Plain, started: float, scope: Scope, receive: Receive, send: Send
    ) -> None:
        status = 500
        metrics.HTTP_IN_PROGRESS.inc()
        try:
            status = await self._send_answer(plain, scope, receive, send)
        finally:
            metrics.HTTP_IN_PROGRESS.dec()
            self._requests.record(scope["method"], plain.path, status, time.perf_counter() - started)

    async def _send_answer(self, plain: _Plain, scope: Scope, receive: Receive, send: Send) -> int:
        """Carry the request out, send the answer, and return its status."""
        incoming = plain.headers.get(b"traceparent", b"").decode("latin-1")
        with tracing.Request(incoming, plain.headers.get(b"x-request-id")) as request:
            try:
                answered = await plain.answer()
            except Refusal as refusal:
                response = refuse(refusal, scope["path"])
            except Exception as error:
                response = unhandled(error, scope, self._is_outage)
            else:
                response = answered.response()
            response.raw_headers += request.echoed
            await response(scope, receive, send)
            return response.status_code


def _says_small_body(scope: Scope) -> bool:
    """Say whether a request states that its body is a small one.

    A large one is refused before it has come, and one of unknown length on the way: the application's to do.
    """
    lengths = [value for name, value in scope["headers"] if name == b"content-length"]
    return len(lengths) == 1 and lengths[0].isdigit() and int(lengths[0]) <= MAX_BODY_BYTES


async def _whole_body(receive: Receive) -> list[Message]:
    """Take the messages of a body to its end, or until the caller is gone."""
    taken = [await receive()]
    while taken[-1].get("more_body", False):
        taken.append(await receive())
    return taken


def _beginning_with(taken: Sequence[Message], receive: Receive) -> Receive:
    """Give the messages that were taken already, and then whatever comes."""
    messages = iter(taken)

    async def receive_again() -> Message:
        message = next(messages, None)
        return message if message is not None else await receive()

    return receive_again
