"""The fields that a condition may speak of, each with its type."""

import re
from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Final

__all__ = ["FieldSet", "FieldType"]

_NAME: Final = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*")


class FieldType(StrEnum):
    """The type of a field; in parentheses what a fact of it is in Python and in PostgreSQL."""

    STRING = "string"  # (str; text in any deterministic collation, so not citext)
    INTEGER = "integer"  # (int; any integer type up to bigint)
    DECIMAL = "decimal"  # (finite Decimal or int; numeric)
    BOOLEAN = "boolean"  # (bool; boolean)
    INSTANT = "instant"  # (aware datetime; timestamptz)
    ID = "id"  # (UUID; uuid)
    STRINGS = "strings"  # (list, tuple or set of str; text[])


class FieldSet(Mapping[str, FieldType]):
    """Field names such as `order.total_minor` and their types; two sets are joined by `|`."""

    def __init__(self, fields: Mapping[str, FieldType | str]) -> None:
        for name in fields:
            if not _NAME.fullmatch(name):
                raise ValueError(f"{name!r} is not a field name such as 'order.total_minor'")
        self._fields = {name: FieldType(kind) for name, kind in fields.items()}

    def __getitem__(self, name: str) -> FieldType:
        return self._fields[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields)

    def __len__(self) -> int:
        return len(self._fields)

    def __or__(self, other: "FieldSet") -> "FieldSet":
        clashes = sorted(name for name in self.keys() & other.keys() if self[name] != other[name])
        if clashes:
            raise ValueError(f"fields with two types: {', '.join(clashes)}")
        return FieldSet({**self, **other})

    def __repr__(self) -> str:
        return f"FieldSet({self._fields!r})"
