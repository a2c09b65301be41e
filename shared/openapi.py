"""What the edge adds to every OpenAPI document, because it works the same on every route.

Cursors of lists and the `Idempotency-Key` of writes are read by the library and not by the routes, so FastAPI
does not see them.
"""

from typing import Any, Final

from fastapi import FastAPI

from shared.edge import InvalidIdempotencyKey
from shared.pagination import InvalidCursor
from shared.problems import IdempotencyConflict, document_refusals, extend_openapi

__all__ = ["install"]

WRITING_METHODS: Final = frozenset({"post", "put", "patch", "delete"})

IDEMPOTENCY_KEY: Final[dict[str, Any]] = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "A name of your choice for this request. Sent again with the same key and body, it has no "
    "second effect and is answered as the first time, with `Idempotency-Replayed: true`.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]([ -~]*[!-~])?$"},
}


def install(app: FastAPI) -> None:
    """Document cursors and idempotency keys in the OpenAPI of `app`."""
    extend_openapi(app, _document)


def _document(schema: dict[str, Any]) -> None:
    for path in schema.get("paths", {}).values():
        for method, operation in path.items():
            parameters = operation.setdefault("parameters", [])
            if any(parameter["in"] == "query" and parameter["name"] == "cursor" for parameter in parameters):
                document_refusals(operation["responses"], InvalidCursor)
            # Without a caller there is nobody whose key it could be.
            if method in WRITING_METHODS and "security" in operation:
                parameters.append(IDEMPOTENCY_KEY)
                document_refusals(operation["responses"], InvalidIdempotencyKey, IdempotencyConflict)
