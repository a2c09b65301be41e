"""The judge of what may change within a version, on small schemas."""

import pytest

from shared.events.compatibility import breaks, shape_of
from shared.events.schemas import Schema

TEXT: Schema = {"type": "string", "maxLength": 64}
LINE: Schema = {"type": "object", "properties": {"sku": TEXT}, "required": ["sku"]}
OLD: Schema = {
    "type": "object",
    "properties": {
        "title": TEXT | {"description": "A field, not a word about the schema."},
        "tax": {"type": "integer", "default": 0},
        "seat": {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None},
        "lines": {"type": "array", "items": {"$ref": "#/$defs/Line"}},
    },
    "required": ["title", "lines"],
    "$defs": {"Line": LINE},
}


def _changed(**fields: Schema | None) -> Schema:
    """OLD with fields replaced, added, or removed by None."""
    merged = {name: field for name, field in (OLD["properties"] | fields).items() if field is not None}
    return OLD | {"properties": merged}


def _breaks(new: Schema) -> list[str]:
    return breaks(shape_of(OLD), shape_of(new))


@pytest.mark.parametrize(
    "new",
    [
        OLD,
        _changed(note={"type": "string", "default": ""}),
        _changed(title=TEXT | {"description": "Other words."}),
        _changed(title=TEXT | {"default": "x"}) | {"required": ["lines"]},
        OLD | {"$defs": {"Line": LINE | {"properties": {"sku": TEXT, "size": TEXT | {"default": ""}}}}},
        OLD | {"x-heard-by": ["analytics"]},
    ],
    ids=["same", "optional field", "other words", "no longer required", "nested optional", "other listeners"],
)
def test_free_changes(new: Schema) -> None:
    assert _breaks(new) == []


@pytest.mark.parametrize(
    ("new", "complaint"),
    [
        (_changed(title=None, name=TEXT), "record.title is gone"),
        (_changed(title={"type": "integer"}), "record.title: type changed from 'string' to 'integer'"),
        (_changed(title=TEXT | {"maxLength": 65}), "record.title: maxLength changed from 64 to 65"),
        (_changed(tax={"type": "integer", "default": 1}), "record.tax: default changed from 0 to 1"),
        (_changed(seat={"type": "string", "default": None}), "record.seat: type changed"),
        (OLD | {"required": ["title", "lines", "tax"]}, "record.tax is newly required"),
        (_changed(note=TEXT) | {"required": ["title", "lines", "note"]}, "record.note is newly required"),
        (OLD | {"$defs": {"Line": LINE | {"properties": {"code": TEXT}}}}, "record.lines[].sku is gone"),
        (OLD | {"x-key": "title"}, "record: x-key changed"),
    ],
    ids=["renamed", "retyped", "bound", "default", "no null", "required", "new required", "nested", "key"],
)
def test_changes_that_need_a_version(new: Schema, complaint: str) -> None:
    assert any(text.startswith(complaint) for text in _breaks(new)), _breaks(new)
