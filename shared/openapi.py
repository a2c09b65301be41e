"""What the edge adds to every OpenAPI document, because it works the same on every route.

Cursors of lists and the `Idempotency-Key` of writes are read by the library and not by the routes, so FastAPI
does not see them. And whoever reads the document sees how several items are sent at once.
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
    """Document cursors, idempotency keys and batches in the OpenAPI of `app`."""
    extend_openapi(app, _document)


def _document(schema: dict[str, Any]) -> None:
    for path in schema.get("paths", {}).values():
        for method, operation in path.items():
            parameters = operation.setdefault("parameters", [])
            if any(parameter["in"] == "query" and parameter["name"] == "cursor" for parameter in parameters):
                document_refusals(operation["responses"], InvalidCursor)
            _show_several(operation, schema)
            # Without a caller there is nobody whose key it could be.
            if method in WRITING_METHODS and "security" in operation:
                parameters.append(IDEMPOTENCY_KEY)
                document_refusals(operation["responses"], InvalidIdempotencyKey, IdempotencyConflict)


def _show_several(operation: dict[str, Any], document: dict[str, Any]) -> None:
    """Show two items to a route that takes an array, beside a single one if it takes that too."""
    content = operation.get("requestBody", {}).get("content", {}).get("application/json")
    if content is None or "examples" in content:
        return
    forms = _alternatives(content["schema"], document)
    array = next((form for form in forms if form.get("type") == "array"), None)
    if array is None or len(forms) > 2:
        return
    item = next((shown for form in _alternatives(array["items"], document) if (shown := _shown(form))), None)
    if item is None:
        return
    several = {"summary": "Several at once", "value": [item, _another(item)]}
    one = {"one": {"summary": "One alone", "value": item}} if len(forms) == 2 else {}
    content["examples"] = {**one, "several": several}


def _alternatives(schema: dict[str, Any], document: dict[str, Any]) -> list[dict[str, Any]]:
    """The schemas of which a value meets one, with references followed."""
    while "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    choices = schema.get("oneOf") or schema.get("anyOf")
    if choices is None or _shown(schema):
        return [schema]
    return [form for choice in choices for form in _alternatives(choice, document)]


def _shown(schema: dict[str, Any]) -> Any:
    return schema.get("example") or next(iter(schema.get("examples", ())), None)


def _another(item: Any) -> Any:
    """The same about something else: its ids, or its name, end otherwise."""
    if not isinstance(item, dict):
        return item
    named = [name for name, value in item.items() if name.endswith("_id") and isinstance(value, str)]
    ends = {name: item[name][:-1] + ("3" if item[name].endswith("2") else "2") for name in named or ["name"]}
    return item | ends
