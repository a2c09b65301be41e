"""What may change in an event without a new version: optional fields may be added, nothing else.

A record lives for years and services of two releases run side by side, so a field keeps its name, its type,
its bounds and its default for as long as its version exists.
"""

from typing import Any

from shared.events.schemas import Schema

_WORDS = frozenset({"$schema", "$id", "$defs", "title", "description"})


def shape_of(schema: Schema) -> Schema:
    """The schema with its definitions put in place and its words left out: what a machine depends on."""
    shape: Schema = _without_words(schema, schema.get("$defs", {}))
    return shape


def _without_words(part: Any, definitions: dict[str, Schema]) -> Any:
    if isinstance(part, list):
        return [_without_words(item, definitions) for item in part]
    if not isinstance(part, dict):
        return part
    if "$ref" in part:
        part = definitions[part["$ref"].rpartition("/")[2]]
    shape = {
        name: _without_words(value, definitions)
        for name, value in part.items()
        if name not in _WORDS and not name.startswith(("x-stated", "x-heard")) and name != "properties"
    }
    if "properties" in part:
        # Field names are not keywords: a field called `title` stays.
        fields = part["properties"].items()
        shape["properties"] = {name: _without_words(field, definitions) for name, field in fields}
    return shape


def breaks(old: Schema, new: Schema) -> list[str]:
    """What in `new` breaks readers or records of `old`, both as `shape_of` gives them; empty if nothing."""
    return list(_breaks(old, new, "record"))


def _breaks(old: Any, new: Any, where: str) -> list[str]:
    if not isinstance(old, dict) or not isinstance(new, dict):
        return [] if old == new else [f"{where} changed from {old!r} to {new!r}"]
    found = _object_breaks(old, new, where)
    for name in sorted((old.keys() | new.keys()) - {"properties", "required"}):
        if name == "default" and name not in old:
            continue  # A field that was always written may become optional: readers still find it.
        if name in ("anyOf", "items"):
            found += _nested_breaks(old.get(name), new.get(name), where)
        elif old.get(name) != new.get(name):
            found.append(f"{where}: {name} changed from {old.get(name)!r} to {new.get(name)!r}")
    return found


def _nested_breaks(old: Any, new: Any, where: str) -> list[str]:
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        return [
            text for before, after in zip(old, new, strict=True) for text in _breaks(before, after, where)
        ]
    return _breaks(old, new, f"{where}[]")


def _object_breaks(old: Schema, new: Schema, where: str) -> list[str]:
    before, after = old.get("properties", {}), new.get("properties", {})
    found = [f"{where}.{name} is gone" for name in before if name not in after]
    added = set(new.get("required", [])) - set(old.get("required", []))
    found += [f"{where}.{name} is newly required" for name in sorted(added)]
    for name in before.keys() & after.keys():
        found += _breaks(before[name], after[name], f"{where}.{name}")
    return found
