"""Bodies that hold one item, an array of items, or a line per item."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Generic, TypeVar

from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from services.members.errors import TooManyItems
from shared.batches import good_items
from shared.problems import (
    InvalidItem,
    InvalidRequest,
    MalformedJson,
    UnsupportedMediaType,
    error_members,
)
from shared.schemas import OrRefusal, validate_items

__all__ = ["MAX_ITEMS", "Batch", "batch_body", "read_batch"]

# One transaction holds the batch, and its locks; a thousand items are committed within about 0.2 s.
MAX_ITEMS = 1000
NDJSON = "application/x-ndjson"

M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Batch(Generic[M]):
    """The items of a body, each good or refused; `is_single` if the body was one object."""

    items: Sequence[M | InvalidItem]
    is_single: bool

    @property
    def good(self) -> list[M]:
        """The items that could be read, in order."""
        return good_items(self.items)


def read_batch(model: type[M], body: bytes, content_type: str) -> Batch[M]:
    """Read a body into items, in order; a bad item becomes its refusal and spares its neighbours.

    Raises UnsupportedMediaType, MalformedJson, TooManyItems, and InvalidRequest for an empty batch or a
    single item that is bad.
    """
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type == NDJSON:
        return Batch(_lines(model, body), is_single=False)
    if media_type not in ("", "application/json"):
        raise UnsupportedMediaType(f"Send application/json or {NDJSON}.")
    if body.lstrip()[:1] == b"[":
        return Batch(_array(model, body), is_single=False)
    (item,) = validate_items(model, [_parsed(body)])
    if isinstance(item, InvalidItem):
        raise InvalidRequest(**item.members)
    return Batch([item], is_single=True)


@cache
def _array_of(model: type[M]) -> TypeAdapter[Any]:
    item: Any = Annotated[model, OrRefusal]
    return TypeAdapter(Annotated[list[item], Field(max_length=MAX_ITEMS)])


def _array(model: type[M], body: bytes) -> Sequence[M | InvalidItem]:
    try:
        items: Sequence[M | InvalidItem] = _array_of(model).validate_json(body)
    except ValidationError as error:
        if error.errors()[0]["type"] == "too_long":
            raise _too_many(None) from error
        # The fast reader gives up on a whole body over one lone surrogate; this one leaves it to its item.
        items = _counted(model, _parsed(body))
    if not items:
        raise _nothing()
    return items


def _counted(model: type[M], items: Any) -> Sequence[M | InvalidItem]:
    if len(items) > MAX_ITEMS:
        raise _too_many(len(items))
    return validate_items(model, items)


def _lines(model: type[M], body: bytes) -> Sequence[M | InvalidItem]:
    lines = [line for line in body.split(b"\n") if line.strip()]
    if len(lines) > MAX_ITEMS:
        raise _too_many(len(lines))
    if not lines:
        raise _nothing()
    return [_line(model, line) for line in lines]


def _line(model: type[M], line: bytes) -> M | InvalidItem:
    try:
        return model.model_validate_json(line)
    except ValidationError:
        try:
            (item,) = validate_items(model, [_parsed(line)])
        except MalformedJson as malformed:
            error = {"loc": (), "msg": malformed.detail or malformed.title()}
            return InvalidItem(**error_members([error], place="body"))
        return item


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body)
    except RecursionError as error:
        raise MalformedJson("It is nested too deep.") from error
    except json.JSONDecodeError as error:
        raise MalformedJson(f"{error.msg} at character {error.pos}.") from error
    except ValueError as error:
        # Bytes that are not UTF-8, or a number of more digits than Python reads.
        raise MalformedJson() from error


def _too_many(count: int | None) -> TooManyItems:
    return TooManyItems(
        f"Send at most {MAX_ITEMS} items.", limit=MAX_ITEMS, **({"items": count} if count else {})
    )


def _nothing() -> InvalidRequest:
    return InvalidRequest(**error_members([{"loc": (), "msg": "the batch holds no items"}], place="body"))


def batch_body(model: type[BaseModel], *, lines: bool = False) -> dict[str, Any]:
    """The OpenAPI description of a body that `read_batch` reads, for `openapi_extra`.

    The schema is written out in place, because such a route declares no model that FastAPI would collect.
    """
    schema = model.model_json_schema()
    item = _inlined(schema, schema.get("$defs", {}))
    array = {"type": "array", "items": item, "minItems": 1, "maxItems": MAX_ITEMS}
    content: dict[str, Any] = {"application/json": {"schema": {"oneOf": [item, array]}}}
    if lines:
        content[NDJSON] = {
            "schema": {"type": "string", "description": f"An object per line, at most {MAX_ITEMS} lines."}
        }
    return {"requestBody": {"required": True, "content": content}}


def _inlined(schema: Any, definitions: dict[str, Any]) -> Any:
    if isinstance(schema, list):
        return [_inlined(part, definitions) for part in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return _inlined(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    return {name: _inlined(part, definitions) for name, part in schema.items() if name != "$defs"}
