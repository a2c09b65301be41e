"""The JSON Schema of a problem document (RFC 9457), as the OpenAPI documents show it."""

from typing import Any, Final

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
