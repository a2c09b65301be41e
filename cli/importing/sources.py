"""Where a value of a document comes from: cells of a row, read as what they mean."""

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

from cli.importing.values import READERS, Context, CurrencyUnclear, fill_template, template_columns

__all__ = [
    "EMPTY_CHOICES",
    "OPTIONS",
    "OVER_ROWS",
    "SOURCES",
    "MappingError",
    "Value",
    "is_source",
    "named_columns",
    "needed_columns",
    "value_of",
]

SOURCES = ("column", "template", "row", "first", "sum", "hash")
OPTIONS = {
    "abbreviations",
    "ambiguous",
    "decimal",
    "default",
    "empty",
    "format",
    "formats",
    "if_empty",
    "minus",
    "nonexistent",
    "over_rows",
    "plus",
    "quantity",
    "read",
    "symbols",
    "time",
    "words",
    "zone",
}
EMPTY_CHOICES = ("refuse", "leave_out", "leave_out_object")
OVER_ROWS = ("same", "first", "sum")

HASH_CHARACTERS = 32

Value = Callable[[Sequence[str], int], Any]
"""A function of (row, number) that gives a value, None if empty, or raises ValueError."""


class MappingError(Exception):
    """A mapping, or a file that does not fit it; the message says which column or key, and what to do."""


def is_source(value: Any) -> bool:
    """Say whether a value of a mapping tells where it comes from, and is no constant."""
    return isinstance(value, dict) and any(source in value for source in SOURCES)


def needed_columns(value: Any) -> set[str]:
    """The columns without which no row could become a document."""
    if is_source(value):
        if value.get("if_empty", "refuse") != "refuse" or "default" in value or "hash" in value:
            return set()
        if "first" in value:
            # Any of them will do, so only the last resort has to be there.
            return needed_columns(value["first"][-1])
        named = [value.get("column"), value.get("quantity"), *value.get("sum", ())[:1]]
        return {name for name in named if name} | template_columns(value.get("template", ""))
    if isinstance(value, dict):
        return set().union(*(needed_columns(inner) for inner in value.values()))
    if isinstance(value, list):
        return set().union(*(needed_columns(inner) for inner in value))
    return set()


def named_columns(value: Any) -> set[str]:
    """Every column that a value of a mapping reads, whether or not a file needs to have it."""
    if isinstance(value, dict) and is_source(value):
        lists = [value.get(name) or () for name in ("sum", "minus", "plus", "hash")]
        said = {value.get("column"), value.get("quantity"), *(column for each in lists for column in each)}
        inner = named_columns(value.get("first", []))
        return {name for name in said if name} | template_columns(value.get("template", "")) | inner
    if isinstance(value, dict):
        return set().union(*(named_columns(part) for part in value.values()))
    if isinstance(value, list):
        return set().union(*(named_columns(part) for part in value))
    return set()


def value_of(source: Any, context: Context) -> Value:
    """A function that gives the value of a source, or of a constant."""
    if not is_source(source):
        return lambda row, number: source
    if "row" in source:
        return lambda row, number: str(number)
    if "template" in source:
        return fill_template(source["template"], context)
    if "hash" in source:
        return _hash(source["hash"], context)
    if "first" in source:
        return _first([value_of(each, context) for each in source["first"]])
    if "sum" in source:
        return _sum(source, context)
    return _cell(source, context)


def _cell(source: dict[str, Any], context: Context) -> Value:
    column, default = source["column"], source.get("default")
    nothing = {"", *(text.casefold() for text in source.get("empty", ()))}
    position = context.index.get(column)
    if position is None:
        return lambda row, number: default
    parse = READERS[source.get("read", "text")](source, context)

    def read(row: Sequence[str], number: int) -> Any:
        text = row[position].strip()
        if text.casefold() in nothing:
            return default
        try:
            value = parse(text, row, number)
        except CurrencyUnclear:
            raise
        except ValueError as error:
            raise ValueError(f"{column}: {error}") from error
        return default if value is None else value

    return read


def _first(values: Sequence[Value]) -> Value:
    def read(row: Sequence[str], number: int) -> Any:
        for value in values:
            found = value(row, number)
            if found is not None:
                return found
        return None

    return read


def _sum(source: dict[str, Any], context: Context) -> Value:
    """The sum of cells, of which all but the first may be empty or missing: None if that one is."""
    options = {name: option for name, option in source.items() if name not in ("sum", "minus", "default")}
    plus = [_cell({**options, "column": column}, context) for column in source["sum"]]
    minus = [_cell({**options, "column": column}, context) for column in source.get("minus", ())]

    def read(row: Sequence[str], number: int) -> Any:
        found = [value(row, number) for value in plus]
        if found[0] is None:
            return source.get("default")
        # Some exports write what is taken off with a minus, some without.
        taken = [abs(value(row, number) or 0) for value in minus]
        return sum(value or 0 for value in found) - sum(taken)

    return read


def _hash(columns: Sequence[str], context: Context) -> Value:
    positions = [context.index[column] for column in columns if column in context.index]

    def read(row: Sequence[str], number: int) -> Any:
        words = [" ".join(row[position].split()).casefold() for position in positions]
        if not any(words):
            return None
        return hashlib.sha256("\x1f".join(words).encode()).hexdigest()[:HASH_CHARACTERS]

    return read
