"""Refusals and the RFC 9457 problem documents they become.

A refusal is an exception whose class carries the HTTP status and a stable `code`, and whose docstring is the
title a client reads:

    class NotEnoughPoints(Refusal):
        \"\"\"The member has fewer points than this costs.\"\"\"

    raise NotEnoughPoints(f"{missing} points are missing.", missing_points=missing)

`install` makes an application answer every failure, its own and the framework's, as
`application/problem+json`. Source: RFC 9457, Problem Details for HTTP APIs.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar

import structlog
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.requests import Request
from fastapi.responses import Response
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared import metrics
from shared.error_locations import in_document
from shared.problem_schema import PROBLEM_SCHEMA

PROBLEM_MEDIA_TYPE = "application/problem+json"

# A hostile body can hold a million mistakes; the first ones are what a person can act on.
MAX_REPORTED_ERRORS = 100
MAX_POINTER_CHARACTERS = 200

_log = structlog.get_logger("regulars.problems")


class Refusal(Exception):
    """The request was refused."""

    status: ClassVar[int] = 422
    code: ClassVar[str] = "refused"

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "code" not in cls.__dict__:
            cls.code = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", cls.__name__).lower()

    def __init__(self, detail: str | None = None, **members: Any) -> None:
        """`detail` says what was wrong this time; `members` are extension members of the document."""
        super().__init__(detail or self.title())
        self.detail = detail
        self.members = members

    @classmethod
    def title(cls) -> str:
        """The first paragraph of the docstring on one line: the same for every occurrence."""
        paragraph = (cls.__doc__ or cls.__name__).strip().split("\n\n")[0]
        return " ".join(paragraph.split())

    @property
    def headers(self) -> dict[str, str]:
        """Response headers that this refusal calls for."""
        return {}

    def problem(self, instance: str | None = None) -> dict[str, Any]:
        """The RFC 9457 document; `instance` is the path of the request that was refused."""
        document: dict[str, Any] = {
            **self.members,
            "type": f"urn:regulars:problem:{self.code}",
            "title": self.title(),
            "status": self.status,
            "code": self.code,
        }
        if self.detail:
            document["detail"] = self.detail
        if instance is not None:
            document["instance"] = instance
        return document


class BadRequest(Refusal):
    """The request could not be understood."""

    status = 400


class MalformedJson(BadRequest):
    """The body is not well-formed JSON in UTF-8."""


class Unauthenticated(Refusal):
    """A valid API key or access token is required."""

    status = 401

    @property
    def headers(self) -> dict[str, str]:
        return {"WWW-Authenticate": "Bearer"}


class Forbidden(Refusal):
    """The caller may not do this."""

    status = 403


class NotFound(Refusal):
    """There is nothing here under that name."""

    status = 404


class MethodNotAllowed(Refusal):
    """This address does not answer that method."""

    status = 405


class Conflict(Refusal):
    """The request contradicts the present state."""

    status = 409


class IdempotencyConflict(Conflict):
    """This Idempotency-Key was used before with another request."""


class PayloadTooLarge(Refusal):
    """The body is larger than this address accepts."""

    status = 413


class UnsupportedMediaType(Refusal):
    """The body is of a media type that this address does not read."""

    status = 415


class InvalidRequest(Refusal):
    """The request does not have the documented shape.

    Carries `errors`, a list of {in, pointer, message}.
    """


class InvalidItem(Refusal):
    """This item does not have the documented shape.

    Carries `errors` as InvalidRequest does, with pointers that start at the item.
    """


class TooManyRequests(Refusal):
    """Too many requests came in too short a time."""

    status = 429

    def __init__(self, detail: str | None = None, *, retry_after_seconds: int = 1, **members: Any) -> None:
        super().__init__(detail, **members)
        self.retry_after_seconds = retry_after_seconds

    @property
    def headers(self) -> dict[str, str]:
        return {"Retry-After": str(self.retry_after_seconds)}


class Overloaded(TooManyRequests):
    """The service has more work than it can take on; try again shortly."""

    status = 503


class Unavailable(Overloaded):
    """Something that this service needs is away; try again shortly."""


class InternalError(Refusal):
    """Something went wrong on our side; it has been recorded."""

    status = 500


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


def pointer(location: Iterable[str | int]) -> str:
    """A JSON pointer (RFC 6901) of a pydantic error location, cut to MAX_POINTER_CHARACTERS."""
    steps = (str(step).replace("~", "~0").replace("/", "~1") for step in location)
    whole = "".join(f"/{step}" for step in steps)
    return whole[:MAX_POINTER_CHARACTERS].encode("utf-8", "backslashreplace").decode()


def error_members(errors: Sequence[Mapping[str, Any]], place: str | None = None) -> dict[str, Any]:
    """pydantic's errors as members of a problem document, without the offending values.

    `place` names where the locations start (body, query, path, header, cookie); without it the first step of
    each location says so, as FastAPI's do.
    """
    reported = []
    for error in errors[:MAX_REPORTED_ERRORS]:
        location = tuple(error["loc"])
        where = place
        if where is None:
            where, location = (str(location[0]), location[1:]) if location else ("body", ())
        reported.append(
            {
                "in": where,
                "pointer": pointer(location),
                "message": str(error["msg"]).removeprefix("Value error, "),
            }
        )
    members: dict[str, Any] = {"errors": reported}
    if len(errors) > MAX_REPORTED_ERRORS:
        members["errors_omitted"] = len(errors) - MAX_REPORTED_ERRORS
    return members


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
    generate = app.openapi

    def documented_openapi() -> dict[str, Any]:
        fresh = app.openapi_schema is None
        schema = generate()
        if fresh:
            _document_problems(schema)
        return schema

    app.openapi = documented_openapi  # type: ignore[method-assign]  # FastAPI's documented way to extend it


def problem_responses(*refusals: type[Refusal]) -> dict[int | str, dict[str, Any]]:
    """The `responses=` of a route that may refuse so: by status, with an example per code."""
    responses: dict[int | str, dict[str, Any]] = {}
    for refusal in sorted(refusals, key=lambda refusal: (refusal.status, refusal.code)):
        entry = responses.setdefault(
            refusal.status,
            {
                "description": "",
                "content": {
                    PROBLEM_MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}, "examples": {}}
                },
            },
        )
        entry["description"] = f"{entry['description']} {refusal.title()}".strip()
        example = {
            "type": f"urn:regulars:problem:{refusal.code}",
            "title": refusal.title(),
            "status": refusal.status,
            "code": refusal.code,
        }
        entry["content"][PROBLEM_MEDIA_TYPE]["examples"][refusal.code] = {"value": example}
    return responses


def document_refusals(responses: dict[str, Any], *refusals: type[Refusal]) -> None:
    """Adds refusals to the `responses` of an operation in an OpenAPI document, beside those it states."""
    for status, entry in problem_responses(*dict.fromkeys(refusals)).items():
        known = responses.setdefault(str(status), entry)
        examples = known.get("content", {}).get(PROBLEM_MEDIA_TYPE, {}).get("examples", {})
        examples.update(entry["content"][PROBLEM_MEDIA_TYPE]["examples"])


def _document_problems(schema: dict[str, Any]) -> None:
    """Adds to an OpenAPI document the refusals that come from around the routes."""
    schemas = schema.setdefault("components", {}).setdefault("schemas", {})
    schemas["Problem"] = PROBLEM_SCHEMA
    for path in schema.get("paths", {}).values():
        for operation in path.values():
            refusals: list[type[Refusal]] = []
            responses = operation.setdefault("responses", {})
            if "HTTPValidationError" in json.dumps(responses.get("422", {})):
                del responses["422"]
                refusals.append(InvalidRequest)
            if "requestBody" in operation:
                refusals += [MalformedJson, InvalidRequest, PayloadTooLarge]
            if "security" in operation:
                refusals += [Unauthenticated, Forbidden, Unavailable]
            document_refusals(responses, *refusals)
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
