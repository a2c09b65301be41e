"""Mappings: how a row becomes an order, said in TOML.

Below `[order]` stands an order document as `POST /v1/orders` takes it. A value is a constant, or a table that
says where it comes from:

    { column = "date", read = "date", format = "%Y%m%d", time = "12:00", zone = "UTC" }
    { template = "{customer_id}@example.test" }
    { row = true }                       the number of the row, counted from 1

`read` is text (the default), integer, boolean, money (in the row's currency), instant (RFC 3339), date,
share_of_total or rest_of_total. `if_empty` is refuse (the default), leave_out, or leave_out_object, which
drops the whole table or list entry around it. `default` stands in for an empty value or a missing column.
"""

import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from importlib import resources
from pathlib import Path
from typing import Any, Literal, cast

from cli.importing.values import READERS, Context, RowRefused, fill_template, template_columns

__all__ = ["FileLayout", "Mapping", "MappingError", "load_mapping"]

Format = Literal["csv", "whitespace", "ndjson"]

SOURCES = ("column", "template", "row")
OPTIONS = {"read", "format", "time", "zone", "quantity", "if_empty", "default"}
EMPTY_CHOICES = ("refuse", "leave_out", "leave_out_object")

_LEFT_OUT: Any = object()


class MappingError(Exception):
    """A mapping, or a file that does not fit it; the message says which column or key, and what to do."""


class _LeaveOutObject(Exception):
    """The object around this value is to be left out."""


@dataclass(frozen=True)
class FileLayout:
    """How the rows lie in the file."""

    format: Format
    encoding: str
    delimiter: str = ","


@dataclass(frozen=True)
class Mapping:
    """A mapping that was read and checked, not yet bound to a file's columns."""

    name: str
    layout: FileLayout
    order: dict[str, Any]
    latest: str | None

    @property
    def currency(self) -> Any:
        """The constant or the table that gives a row's currency."""
        return self.order.get("currency")

    def with_constants(self, **constants: str | None) -> "Mapping":
        """The mapping with some values of the order set by whoever imports."""
        given = {name: value for name, value in constants.items() if value is not None}
        return replace(self, order={**self.order, **given})

    def for_documents(self) -> "Mapping":
        """The mapping for a file with an order document per line, which need no mapping."""
        return replace(self, layout=replace(self.layout, format="ndjson"), latest=None)

    def bound(self, columns: Sequence[str], shift: timedelta = timedelta()) -> "BoundMapping":
        """The mapping for a file with these columns. Raises MappingError if one it needs is missing."""
        return BoundMapping(self, columns, shift)


class BoundMapping:
    """Turns rows of one file into order documents."""

    def __init__(self, mapping: Mapping, columns: Sequence[str], shift: timedelta) -> None:
        index = {name: number for number, name in enumerate(columns)}
        _check_columns(mapping, index)
        self.columns = tuple(columns)
        currency = _value(mapping.currency, Context(index, None, shift), "currency")
        context = Context(index, currency, shift)
        self._placed_at = _value(mapping.order.get("placed_at"), context, "placed_at")
        self._build = _compiled(mapping.order, context, "")

    def placed_at(self, row: Sequence[str], number: int) -> str | None:
        """When a row's order was placed, as RFC 3339 in UTC; None if that cannot be told."""
        try:
            return cast(str | None, self._placed_at(row, number))
        except (ValueError, IndexError):
            return None

    def order(self, row: Sequence[str], number: int) -> dict[str, Any]:
        """The order of a row; `number` counts rows from 1. Raises RowRefused with every reason."""
        if len(row) != len(self.columns):
            raise RowRefused([f"{len(row)} columns instead of {len(self.columns)}"])
        reasons: list[str] = []
        document: dict[str, Any] = self._build(row, number, reasons)
        if reasons:
            raise RowRefused(reasons)
        return document


def load_mapping(name: str) -> Mapping:
    """A mapping by the name of one that comes along (`cdnow`, `generic`), or by the path of a TOML file."""
    folder = resources.files("cli") / "mappings"
    names = [entry.name for entry in folder.iterdir()]
    known = sorted(file.removesuffix(".toml") for file in names if file.endswith(".toml"))
    try:
        if name in known:
            text = (folder / f"{name}.toml").read_text(encoding="utf-8")
        else:
            text = Path(name).read_text(encoding="utf-8")
        return _checked(Path(name).stem, tomllib.loads(text))
    except OSError as error:
        raise MappingError(
            f"There is no mapping {name!r}: name one of {', '.join(known)}, or a TOML file of your own."
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise MappingError(f"{name} is not TOML: {error}") from error


def _checked(name: str, document: dict[str, Any]) -> Mapping:
    file = document.get("file", {})
    layout = FileLayout(
        format=file.get("format", "csv"),
        encoding=file.get("encoding", "utf-8"),
        delimiter=file.get("delimiter", ","),
    )
    if layout.format not in ("csv", "whitespace", "ndjson"):
        raise MappingError(f"file.format {layout.format!r} is none of csv, whitespace, ndjson")
    if len(layout.delimiter) != 1:
        raise MappingError("file.delimiter must be one character")
    try:
        "".encode(layout.encoding)
    except LookupError as error:
        raise MappingError(f"file.encoding {layout.encoding!r} is not known") from error
    if not isinstance(document.get("order"), dict):
        raise MappingError("the mapping has no [order]")
    _check_values(document["order"], "order")
    latest = document.get("dates", {}).get("latest")
    if latest not in (None, "yesterday"):
        raise MappingError(f"dates.latest {latest!r} is not 'yesterday'")
    return Mapping(name, layout, document["order"], latest)


def _is_source(value: Any) -> bool:
    return isinstance(value, dict) and any(source in value for source in SOURCES)


def _check_values(value: Any, where: str) -> None:
    if _is_source(value):
        unknown = set(value) - set(SOURCES) - OPTIONS
        if unknown:
            raise MappingError(f"{where}: {', '.join(sorted(unknown))} is not known")
        if value.get("read", "text") not in READERS:
            raise MappingError(f"{where}: read = {value['read']!r} is none of {', '.join(READERS)}")
        if value.get("if_empty", "refuse") not in EMPTY_CHOICES:
            choices = ", ".join(EMPTY_CHOICES)
            raise MappingError(f"{where}: if_empty = {value['if_empty']!r} is none of {choices}")
    elif isinstance(value, dict):
        for key, inner in value.items():
            _check_values(inner, f"{where}.{key}")
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            _check_values(inner, f"{where}.{number}")


def _check_columns(mapping: Mapping, index: dict[str, int]) -> None:
    missing = sorted(_needed(mapping.order) - set(index))
    if missing:
        raise MappingError(
            f"The mapping {mapping.name!r} needs the columns {', '.join(missing)}; the file has"
            f" {', '.join(index) or 'none'}. Is it the right --mapping (and delimiter) for this file?"
        )


def _needed(value: Any) -> set[str]:
    """The columns without which no row could become an order."""
    if _is_source(value):
        if value.get("if_empty", "refuse") != "refuse" or "default" in value:
            return set()
        named = [value.get("column"), value.get("quantity")]
        return {name for name in named if name} | template_columns(value.get("template", ""))
    if isinstance(value, dict):
        return set().union(*(_needed(inner) for inner in value.values()))
    if isinstance(value, list):
        return set().union(*(_needed(inner) for inner in value))
    return set()


Build = Callable[[Sequence[str], int, list[str]], Any]


def _compiled(value: Any, context: Context, where: str) -> Build:
    """A function of (row, number, reasons) for one value of the mapping; reasons are added, not raised."""
    if _is_source(value):
        return _source(value, context, where)
    if _is_constant(value):
        # Most of a document is the same for every row, so it is not built again for each.
        return lambda row, number, reasons: value
    if isinstance(value, dict):
        parts = {key: _compiled(inner, context, f"{where}.{key}") for key, inner in value.items()}
        return _object(parts, frozenset(key for key, inner in value.items() if _is_source(inner)))
    if isinstance(value, list):
        return _list([_compiled(inner, context, f"{where}.{n}") for n, inner in enumerate(value)])
    raise MappingError(f"{where}: a value of an unexpected kind")


def _is_constant(value: Any) -> bool:
    if _is_source(value):
        return False
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return all(_is_constant(part) for part in inner)


def _object(parts: dict[str, Build], cells: frozenset[str]) -> Build:
    """A table; `cells` names those of its values that are read from the row themselves."""
    items = list(parts.items())

    def build(row: Sequence[str], number: int, reasons: list[str]) -> Any:
        document = {}
        for key, part in items:
            try:
                value = part(row, number, reasons)
            except _LeaveOutObject:
                if key in cells:
                    raise
                continue
            if value is not _LEFT_OUT:
                document[key] = value
        return document

    return build


def _list(parts: list[Build]) -> Build:
    def build(row: Sequence[str], number: int, reasons: list[str]) -> Any:
        values = []
        for part in parts:
            try:
                value = part(row, number, reasons)
            except _LeaveOutObject:
                continue
            if value is not _LEFT_OUT:
                values.append(value)
        return values

    return build


def _source(source: dict[str, Any], context: Context, where: str) -> Build:
    read = _value(source, context, where.lstrip("."))
    choice = source.get("if_empty", "refuse")

    def build(row: Sequence[str], number: int, reasons: list[str]) -> Any:
        try:
            value = read(row, number)
        except ValueError as error:
            reasons.append(str(error))
            return _LEFT_OUT
        if value is not None:
            return value
        if choice == "leave_out":
            return _LEFT_OUT
        if choice == "leave_out_object":
            raise _LeaveOutObject
        reasons.append(f"{source.get('column', where)} is empty")
        return _LEFT_OUT

    return build


def _value(source: Any, context: Context, where: str) -> Callable[[Sequence[str], int], Any]:
    """A function of (row, number) that gives a value, None if empty, or raises ValueError."""
    if not _is_source(source):
        return lambda row, number: source
    if "row" in source:
        return lambda row, number: str(number)
    if "template" in source:
        return fill_template(source["template"], context)
    column, default = source["column"], source.get("default")
    position = context.index.get(column)
    if position is None:
        return lambda row, number: default
    parse = READERS[source.get("read", "text")](source, context)

    def read(row: Sequence[str], number: int) -> Any:
        text = row[position].strip()
        if not text:
            return default
        try:
            return parse(text, row, number)
        except ValueError as error:
            raise ValueError(f"{column}: {error}") from error

    return read
