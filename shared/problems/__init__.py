"""Refusals and the RFC 9457 problem documents they become.

A refusal is an exception whose class carries the HTTP status and a stable `code`, and whose docstring is the
title a client reads:

    class NotEnoughPoints(Refusal):
        \"\"\"The member has fewer points than this costs.\"\"\"

    raise NotEnoughPoints(f"{missing} points are missing.", missing_points=missing)

`install` makes an application answer every failure, its own and the framework's, as
`application/problem+json`. Source: RFC 9457, Problem Details for HTTP APIs.
"""

from shared.problems.answering import install, problem_response, refuse, unhandled
from shared.problems.documenting import document_refusals, extend_openapi, problem_responses
from shared.problems.faults import MAX_REPORTED_ERRORS, error_members, pointer
from shared.problems.refusals import (
    PROBLEM_MEDIA_TYPE,
    BadRequest,
    Conflict,
    Forbidden,
    IdempotencyConflict,
    InternalError,
    InvalidItem,
    InvalidRequest,
    MalformedJson,
    MethodNotAllowed,
    NotFound,
    Overloaded,
    PayloadTooLarge,
    Refusal,
    TooManyRequests,
    Unauthenticated,
    Unavailable,
    UnsupportedContentEncoding,
    UnsupportedMediaType,
)

__all__ = [
    "MAX_REPORTED_ERRORS",
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
    "document_refusals",
    "error_members",
    "extend_openapi",
    "install",
    "pointer",
    "problem_response",
    "problem_responses",
    "refuse",
    "unhandled",
]
