"""The fast path: plain requests to hot routes, answered without the layers of the framework.

Most of what such a request costs is finding its route, building request objects, resolving dependencies and
handing every message through each middleware. `FastPath` stands before the application and does at once what
those do for the routes it knows: caller, trace, metrics, idempotency key, problem documents.

It takes only what is plain: a POST without a query, the headers and the body that nearly all callers send, a
key that was judged a moment ago. All else goes on to the application with nothing consumed or counted, so
what is wrong with a request is judged in one place, and documented there.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared import idempotency, metrics, tracing
from shared.auth import Authenticator, Caller, is_loopback
from shared.edge import Answered, Desk, is_idempotency_key
from shared.idempotency import Claim
from shared.problems import Refusal, refuse, unhandled

__all__ = ["FastPath", "FastRoute"]

C = TypeVar("C")

# One command is some hundred bytes; whoever sends much more has time for the ordinary way.
MAX_BODY_BYTES: Final = 64 * 1024


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


@dataclass(frozen=True, slots=True)
class _Plain(Generic[C]):
    """A request that the fast path takes."""

    route: FastRoute[C]
    command: C
    claim: Claim | None
    headers: Mapping[bytes, bytes]


class FastPath:
    """ASGI application in front of another, which gets whatever is not plain."""

    def __init__(
        self,
        app: ASGIApp,
        routes: Sequence[FastRoute[Any]],
        authenticator: Callable[[Scope], Authenticator],
        is_outage: Callable[[BaseException], bool],
    ) -> None:
        self.app = app
        self._routes = {route.path: route for route in routes}
        self._authenticator = authenticator
        self._is_outage = is_outage
        self._requests = metrics.RequestCounts()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        route = self._routes.get(scope["path"]) if scope["type"] == "http" else None
        if (
            route is None
            or scope["method"] != "POST"
            or scope["query_string"]
            or tracing.records_spans()
            or not _says_small_body(scope)
        ):
            await self.app(scope, receive, send)
            return
        started = time.perf_counter()
        taken = await _whole_body(receive)
        plain = self._plain(route, scope, taken)
        if plain is None:
            await self.app(scope, _beginning_with(taken, receive), send)
            return
        status = 500
        metrics.HTTP_IN_PROGRESS.inc()
        try:
            status = await self._answer(plain, scope, receive, send)
        finally:
            metrics.HTTP_IN_PROGRESS.dec()
            self._requests.record("POST", route.path, status, time.perf_counter() - started)

    def _plain(self, route: FastRoute[C], scope: Scope, taken: Sequence[Message]) -> _Plain[C] | None:
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
        return None if command is None else _Plain(route, command, claim, headers)

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

    async def _answer(self, plain: _Plain[Any], scope: Scope, receive: Receive, send: Send) -> int:
        """Carry the command out, send the answer, and return its status."""
        incoming = plain.headers.get(b"traceparent", b"").decode("latin-1")
        with tracing.Request(incoming, plain.headers.get(b"x-request-id")) as request:
            try:
                answered: Answered = await plain.route.desk.submit(plain.command, plain.claim)
            except Refusal as refusal:
                response = refuse(refusal, plain.route.path)
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
