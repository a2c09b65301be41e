"""How an application answers with problem documents, whatever fails."""

import json
from collections.abc import Callable

import structlog
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.requests import Request
from fastapi.responses import Response
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared import metrics
from shared.error_locations import in_document
from shared.problems.documenting import document_problems, extend_openapi
from shared.problems.faults import error_members
from shared.problems.refusals import (
    PROBLEM_MEDIA_TYPE,
    BadRequest,
    Conflict,
    Forbidden,
    InternalError,
    InvalidRequest,
    MalformedJson,
    MethodNotAllowed,
    NotFound,
    PayloadTooLarge,
    Refusal,
    TooManyRequests,
    Unauthenticated,
    Unavailable,
    UnsupportedMediaType,
)

__all__ = ["UnhandledErrors", "install", "problem_response", "refuse", "unhandled"]

_log = structlog.get_logger("regulars.problems")
_BY_STATUS: dict[int, type[Refusal]] = {
    refusal.status: refusal
    for refusal in (
        BadRequest,
        Unauthenticated,
        Forbidden,
        NotFound,
        MethodNotAllowed,
        Conflict,
        PayloadTooLarge,
        UnsupportedMediaType,
        InvalidRequest,
        TooManyRequests,
        InternalError,
        Unavailable,
    )
}


def problem_response(refusal: Refusal, instance: str | None = None) -> Response:
    """`refusal` as an HTTP response."""
    return Response(
        # ASCII escapes let any string through, even the lone surrogates of a hostile field name.
        json.dumps(refusal.problem(instance), default=str).encode(),
        status_code=refusal.status,
        headers=refusal.headers,
        media_type=PROBLEM_MEDIA_TYPE,
    )


def _from_validation(error: RequestValidationError) -> Refusal:
    errors = error.errors()
    if len(errors) == 1 and errors[0]["type"] == "json_invalid":
        position = errors[0]["loc"][-1]
        return MalformedJson(f"{errors[0]['ctx']['error']} at character {position}.")
    return InvalidRequest(**error_members(in_document(errors, error.body)))


def _from_http(error: HTTPException) -> Refusal:
    if error.status_code == 400 and isinstance(error.__cause__, ValueError | RecursionError):
        # FastAPI hides why a body could not be parsed: bytes that are not UTF-8, a number of ten thousand
        # digits, or nesting deeper than the stack.
        return MalformedJson()
    refusal = _BY_STATUS.get(error.status_code)
    if refusal is None:
        refusal = type(f"Http{error.status_code}", (Refusal,), {"status": error.status_code})
        refusal.__doc__ = str(error.detail)
        return refusal()
    standard = {"Not Found", "Method Not Allowed", "Unauthorized", "Content Too Large"}
    return refusal(None if error.detail in standard else str(error.detail))


def refuse(refusal: Refusal, path: str) -> Response:
    """Count a refusal and return the answer to the request for `path`."""
    metrics.REFUSALS.labels(refusal.code).inc()
    return problem_response(refusal, path)


def _refuse(request: Request, refusal: Refusal) -> Response:
    return refuse(refusal, request.url.path)


async def _answer_refusal(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refusal)
    return _refuse(request, error)


async def _answer_validation(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return _refuse(request, _from_validation(error))


async def _answer_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code in (204, 304):
        return Response(status_code=error.status_code, headers=error.headers)
    response = _refuse(request, _from_http(error))
    response.headers.update(error.headers or {})
    return response


class UnhandledErrors:
    """Turns what nobody caught into a 500 (or, for an outage, a 503) that says nothing of the inside.

    It stands inside Starlette's own last resort, which would also raise the error on into the server's log,
    where messages with personal data are not masked.
    """

    def __init__(self, app: ASGIApp, is_outage: Callable[[BaseException], bool]) -> None:
        self.app = app
        self.is_outage = is_outage

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = False

        async def watched_send(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self.app(scope, receive, watched_send)
        except Exception as error:
            if started:
                # Half an answer is out; only closing the connection tells the client that it is broken.
                raise
            await unhandled(error, scope, self.is_outage)(scope, receive, send)


def unhandled(error: Exception, scope: Scope, is_outage: Callable[[BaseException], bool]) -> Response:
    """Log and count what nobody caught, and return the answer to it. Call it where the error is caught."""
    refusal: Refusal = Unavailable() if is_outage(error) else InternalError()
    if isinstance(refusal, InternalError):
        _log.exception("request_failed", method=scope["method"], error=type(error).__name__)
    else:
        _log.warning("request_met_outage", method=scope["method"], error=type(error).__name__)
    return refuse(refusal, scope["path"])


def install(app: FastAPI, *, is_outage: Callable[[BaseException], bool] = lambda error: False) -> None:
    """Makes every failure of `app` a problem document, and documents them in its OpenAPI.

    `is_outage` tells errors that will pass when a database or bus comes back (503) from mistakes (500).
    Call it before other middleware is added, so that what counts or traces requests sees the answers.
    """
    app.add_exception_handler(Refusal, _answer_refusal)
    app.add_exception_handler(RequestValidationError, _answer_validation)
    app.add_exception_handler(HTTPException, _answer_http)
    app.add_middleware(UnhandledErrors, is_outage=is_outage)
    extend_openapi(app, document_problems)
