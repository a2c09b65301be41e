"""JSON Schemas of the catalogue, read off the structs themselves."""

import inspect
from typing import Any

import msgspec

from shared.events.base import Event
from shared.events.codec import schema_uri

Schema = dict[str, Any]

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def file_name(cls: type[Event]) -> str:
    """Name of the files about one version of an event, such as `order.paid.v1.json`."""
    return f"{cls.type}.v{cls.version}.json"


def summary_of(cls: type) -> str:
    """The docstring of a class up to its lines about who states and who hears it."""
    return (inspect.getdoc(cls) or "").partition("\nStated by:")[0].strip()


def schema_of(cls: type[Event]) -> Schema:
    """The JSON Schema (2020-12) of an event's record value; a tombstone's is the schema of null."""
    about = {
        "$schema": DIALECT,
        "$id": schema_uri(cls.type, cls.version),
        "title": cls.type,
        "description": " ".join(summary_of(cls).split()),
        "x-topic": cls.topic,
        "x-key": cls.key_field,
        "x-stated-by": list(cls.stated_by),
        "x-heard-by": list(cls.heard_by),
        **({} if cls.stated_yet else {"x-stated-yet": False}),
    }
    if cls.tombstone:
        return about | {"type": "null"}
    value, definitions = _value_schema(cls)
    schema = about | {name: part for name, part in value.items() if name not in ("title", "description")}
    return schema | ({"$defs": definitions} if definitions else {})


def _value_schema(cls: type[Event]) -> tuple[Schema, dict[str, Schema]]:
    """The schema of the value without its wrapping, and the definitions that it refers to."""
    if cls.body_field is not None:
        body = next(field for field in msgspec.structs.fields(cls) if field.name == cls.body_field)
        (value,), definitions = msgspec.json.schema_components([body.type], ref_template="#/$defs/{name}")
        return value, definitions
    _, definitions = msgspec.json.schema_components([cls], ref_template="#/$defs/{name}")
    for definition in definitions.values():
        # msgspec keeps the indentation of docstrings.
        definition["description"] = " ".join(definition.get("description", "").split())
    return definitions.pop(cls.__name__), definitions


def resolve(schema: Schema, definitions: dict[str, Schema]) -> Schema:
    """The definition that a `$ref` points at, or the schema itself."""
    reference: str | None = schema.get("$ref")
    return definitions[reference.rpartition("/")[2]] if reference else schema
