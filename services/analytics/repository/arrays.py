"""Statements over arrays: one statement for a batch, whatever its size."""

from collections.abc import Sequence
from typing import Any, Final

from msgspec.json import encode
from sqlalchemy import ARRAY, ColumnElement, Select, Table, Text, bindparam, cast, func, select
from sqlalchemy.dialects.postgresql import JSONB, Insert, insert
from sqlalchemy.types import TypeEngine

__all__ = ["columns_of", "insert_rows", "upsert_sums"]

# The columns of type jsonb.
DOCUMENTS: Final = frozenset({"detail", "lines"})


def _rows(table: Table, columns: Sequence[str]) -> Select[Any]:
    # Functions that return sets advance together in a select list, so the arrays become rows.
    return select(*(_unnest(name, table.c[name].type).label(name) for name in columns))


def _unnest(name: str, kind: TypeEngine[Any]) -> ColumnElement[Any]:
    if isinstance(kind, JSONB):
        # A document that is a list would be taken for a further dimension of the array, so it goes as text.
        return cast(func.unnest(bindparam(name, type_=ARRAY(Text))), JSONB)
    return func.unnest(bindparam(name, type_=ARRAY(kind)))


def insert_rows(table: Table, columns: Sequence[str]) -> Insert:
    """An insert of as many rows as the arrays named like the columns are long."""
    return insert(table).from_select(list(columns), _rows(table, columns), include_defaults=False)


def upsert_sums(table: Table, sums: Sequence[str], **other: Any) -> Insert:
    """An insert that adds `sums` to the row that is there, counts its revision and says when.

    `other` sets further columns from `table` and the statement's `excluded` row, given as functions of it.
    """
    keys = [column.name for column in table.primary_key.columns]
    statement = insert_rows(table, [*keys, *sums, *other])
    new: dict[str, Any] = {name: table.c[name] + statement.excluded[name] for name in sums}
    new |= {name: combine(table.c[name], statement.excluded[name]) for name, combine in other.items()}
    if "revision" in table.c:
        new["revision"] = table.c.revision + 1
    new["updated_at"] = func.clock_timestamp()
    return statement.on_conflict_do_update(index_elements=keys, set_=new)


def columns_of(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> dict[str, list[Any]]:
    """Rows turned into the arrays that a statement takes, by name; documents become JSON."""
    arrays = {name: list(column) for name, column in zip(names, zip(*rows, strict=True), strict=True)}
    for name in DOCUMENTS.intersection(arrays):
        arrays[name] = [None if value is None else encode(value).decode() for value in arrays[name]]
    return arrays
