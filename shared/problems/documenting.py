"""Problems and refusals in OpenAPI documents."""

import json
from collections.abc import Callable
from typing import Any, Final

from fastapi import FastAPI

from shared.problems.refusals import (
    PROBLEM_MEDIA_TYPE,
    Forbidden,
    InvalidRequest,
    MalformedJson,
    PayloadTooLarge,
    Refusal,
    Unauthenticated,
    Unavailable,
    UnsupportedContentEncoding,
)

__all__ = ["document_problems", "document_refusals", "extend_openapi", "problem_responses"]

PROBLEM_SCHEMA: Final[dict[str, Any]] = {
    "title": "Problem",
    "description": "Why a request was refused (RFC 9457).",
    "type": "object",
    "required": ["type", "title", "status", "code"],
    "properties": {
        "type": {"type": "string", "description": "A URI that names the kind of problem."},
        "title": {"type": "string", "description": "The kind of problem, in words."},
        "status": {"type": "integer", "description": "The HTTP status."},
        "code": {"type": "string", "description": "A stable name to branch on."},
        "detail": {"type": "string", "description": "What was wrong this time."},
        "instance": {"type": "string", "description": "The path of the refused request."},
        "errors": {
            "type": "array",
            "description": "One entry per offending value.",
            "items": {
                "type": "object",
                "required": ["in", "pointer", "message"],
                "properties": {
                    "in": {"type": "string", "description": "body, query, path, header or cookie"},
                    "pointer": {"type": "string", "description": "A JSON pointer to the value (RFC 6901)."},
                    "message": {"type": "string"},
                },
            },
        },
    },
    "additionalProperties": True,
}


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


def extend_openapi(app: FastAPI, document: Callable[[dict[str, Any]], None]) -> None:
    """Have `document` add to the OpenAPI of `app` when it is made, after all that were given before."""
    generate = app.openapi

    def documented_openapi() -> dict[str, Any]:
        fresh = app.openapi_schema is None
        schema = generate()
        if fresh:
            document(schema)
        return schema

    app.openapi = documented_openapi  # type: ignore[method-assign]  # FastAPI's documented way to extend it


def document_problems(schema: dict[str, Any]) -> None:
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
                refusals += [MalformedJson, InvalidRequest, PayloadTooLarge, UnsupportedContentEncoding]
            if "security" in operation:
                refusals += [Unauthenticated, Forbidden, Unavailable]
            document_refusals(responses, *refusals)
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
