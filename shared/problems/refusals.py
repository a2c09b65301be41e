"""Refusals: what a service may say no with, each with its status and its code."""

import re
from typing import Any, ClassVar

__all__ = [
    "PROBLEM_MEDIA_TYPE",
    "BadRequest",
    "Conflict",
    "Forbidden",
    "IdempotencyConflict",
    "InternalError",
    "InvalidItem",
    "InvalidRequest",
    "MalformedJson",
    "MethodNotAllowed",
    "NotFound",
    "Overloaded",
    "PayloadTooLarge",
    "Refusal",
    "TooManyRequests",
    "Unauthenticated",
    "Unavailable",
    "UnsupportedContentEncoding",
    "UnsupportedMediaType",
]

PROBLEM_MEDIA_TYPE = "application/problem+json"


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


class UnsupportedContentEncoding(UnsupportedMediaType):
    """The body is compressed; send it as it is."""

    @property
    def headers(self) -> dict[str, str]:
        return {"Accept-Encoding": "identity"}


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
