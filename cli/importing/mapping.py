"""Mappings: how rows become orders, refunds, cancellations or deliveries, said in TOML.

Below `[order]` stands an order document as `POST /v1/orders` takes it; `[refund]`, `[cancellation]` and
`[delivery]` are as their routes take them. A value is a constant, or a table that says where it comes from:

    { column = "date", read = "date", format = "%Y%m%d", time = "12:00", zone = "UTC" }
    { template = "{customer_id}@example.test" }
    { row = true }                              the number of the row, counted from 1
    { first = [ { column = "email" }, { column = "user" } ] }        the first that is not empty
    { sum = ["item-price", "item-tax"], minus = ["discount"], read = "money" }
    { hash = ["buyer", "zip"] }                 a name made of what is there, if nothing better is

`read` is text (the default), integer, boolean, money (a plain decimal in the row's currency), price (as
people write it, `$1,234.56`), currency (of a price), instant (RFC 3339), date, local (a wall-clock time in
`zone`), words (looked up in a table), share_of_total or rest_of_total. `if_empty` is refuse (the default),
leave_out, or leave_out_object, which drops the whole table or list entry around it. `default` stands in for
an empty value or a missing column; `empty` lists texts that mean that there is none.

`[rows] one_order = [columns]` makes one document of all rows that agree in these columns, each a line unless
`line_needs` or `line_unless` say no; a row that is the same as one before is no line more if `one_line` names
the columns that tell lines apart. What stands outside the lines is said once: the rows may leave it empty
but not contradict each other, and `over_rows = "sum"` adds it up. `[status]` says what the words of the
marketplace for an order's state mean; an order that is only placed, with a line that has nothing in the
column `waits_for` yet, is left for a later export.
"""

import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from importlib import resources
from pathlib import Path
from typing import Any

from cli.importing.building import BoundMapping
from cli.importing.layout import FileLayout, LayoutError, read_layout
from cli.importing.sources import (
    EMPTY_CHOICES,
    OPTIONS,
    OVER_ROWS,
    SOURCES,
    MappingError,
    is_source,
    named_columns,
)
from cli.importing.status import STATES, StatusRule
from cli.importing.times import AMBIGUOUS, NONEXISTENT
from cli.importing.values import READERS
from shared.clock import UnknownZone, zone

__all__ = ["KINDS", "FileLayout", "Mapping", "MappingError", "RowsRule", "load_mapping"]

KINDS = ("order", "refund", "cancellation", "delivery", "opening")


@dataclass(frozen=True)
class RowsRule:
    """Which rows are one document, and which of them are lines of it."""

    key: tuple[str, ...]
    line_needs: tuple[str, ...] = ()
    line_unless: tuple[str, frozenset[str]] | None = None
    one_line: tuple[str, ...] = ()
    # A column that holds several lines in one cell, and what one of them looks like.
    lines_in: tuple[str, re.Pattern[str]] | None = None
    # What the goods cost together, where no line says what it cost.
    spread: dict[str, Any] | None = None


@dataclass(frozen=True)
class Mapping:
    """A mapping that was read and checked, not yet bound to a file's columns."""

    name: str
    layout: FileLayout
    kind: str
    document: dict[str, Any]
    latest: str | None
    currency: Any = None
    rows: RowsRule | None = None
    status: StatusRule | None = None

    def with_constants(self, **constants: str | None) -> "Mapping":
        """The mapping with some values of the document set by whoever imports."""
        given = {name: value for name, value in constants.items() if value is not None}
        return replace(self, document={**self.document, **given})

    def with_zone(self, name: str | None) -> "Mapping":
        """The mapping with another zone for all its wall-clock times. Raises MappingError."""
        if name is None:
            return self
        _check_zone(name, "--zone")
        status = self.status
        if status is not None:
            status = replace(status, at=_in_zone(status.at, name))
        return replace(self, document=_in_zone(self.document, name), status=status)

    def for_documents(self) -> "Mapping":
        """The mapping for a file with a document per line, which need no mapping."""
        return replace(
            self, layout=replace(self.layout, format="ndjson"), latest=None, rows=None, status=None
        )

    def bound(self, columns: Sequence[str], shift: timedelta = timedelta()) -> BoundMapping:
        """The mapping for a file with these columns. Raises MappingError if one it needs is missing."""
        return BoundMapping(self, columns, shift)

    @property
    def columns(self) -> set[str]:
        """The columns that it reads, whether or not a file needs to have them."""
        rows, status = self.rows, self.status
        found = named_columns([self.document, self.currency])
        if rows is not None:
            found |= {*rows.key, *rows.one_line, *rows.line_needs} | named_columns(rows.spread)
            found |= {part[0] for part in (rows.line_unless, rows.lines_in) if part is not None}
        if status is not None:
            found |= {status.column, status.waits_for or status.column} | named_columns(status.at)
        return found


def load_mapping(name: str) -> Mapping:
    """A mapping by the name of one that comes along (`amazon`, `generic`), or by the path of a TOML file."""
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
    except LayoutError as error:
        raise MappingError(str(error)) from error


def _checked(name: str, document: dict[str, Any]) -> Mapping:
    layout = read_layout(document)
    kinds = [kind for kind in KINDS if isinstance(document.get(kind), dict)]
    if len(kinds) != 1:
        raise MappingError(
            "the mapping has no [order]; or one of [refund], [cancellation], [delivery] and [opening]"
        )
    (kind,) = kinds
    _check_values(document[kind], kind)
    latest = document.get("dates", {}).get("latest")
    if latest not in (None, "yesterday"):
        raise MappingError(f"dates.latest {latest!r} is not 'yesterday'")
    currency = document[kind].get("currency", document.get("amounts", {}).get("currency"))
    _check_values(currency, "amounts.currency")
    return Mapping(
        name,
        layout,
        kind,
        document[kind],
        latest,
        currency,
        _rows_rule(document.get("rows")),
        _status_rule(document.get("status")),
    )


def _rows_rule(rows: dict[str, Any] | None) -> RowsRule | None:
    if rows is None:
        return None
    if not rows.get("one_order"):
        raise MappingError("rows.one_order names the columns that tell orders apart")
    _check_values(rows.get("spread"), "rows.spread")
    unless, inside = rows.get("line_unless"), rows.get("lines_in")
    try:
        return RowsRule(
            tuple(rows["one_order"]),
            tuple(rows.get("line_needs", ())),
            (unless["column"], frozenset(word.casefold() for word in unless["is"])) if unless else None,
            tuple(rows.get("one_line", ())),
            (inside["column"], re.compile(inside["pattern"])) if inside else None,
            rows.get("spread"),
        )
    except (KeyError, re.error) as error:
        raise MappingError(f"rows: {error}") from error


def _status_rule(status: dict[str, Any] | None) -> StatusRule | None:
    if status is None:
        return None
    words = {word.casefold(): state for word, state in status.get("words", {}).items()}
    if wrong := sorted(set(words.values()) - set(STATES)):
        raise MappingError(f"status.words: {wrong[0]!r} is none of {', '.join(STATES)}")
    if "column" not in status or not words:
        raise MappingError("status needs a column and words")
    at = status.get("at")
    if at is not None:
        _check_values(at, "status.at")
    return StatusRule(status["column"], words, at, status.get("waits_for"))


def _check_values(value: Any, where: str) -> None:
    if is_source(value):
        _check_source(value, where)
    elif isinstance(value, dict):
        for key, inner in value.items():
            _check_values(inner, f"{where}.{key}")
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            _check_values(inner, f"{where}.{number}")


def _check_source(value: dict[str, Any], where: str) -> None:
    unknown = set(value) - set(SOURCES) - OPTIONS
    if unknown:
        raise MappingError(f"{where}: {', '.join(sorted(unknown))} is not known")
    choices = {
        "read": READERS,
        "if_empty": EMPTY_CHOICES,
        "over_rows": OVER_ROWS,
        "ambiguous": AMBIGUOUS,
        "nonexistent": NONEXISTENT,
        "decimal": ("auto", ".", ","),
    }
    for option, allowed in choices.items():
        if option in value and value[option] not in allowed:
            raise MappingError(f"{where}: {option} = {value[option]!r} is none of {', '.join(allowed)}")
    if "zone" in value:
        _check_zone(value["zone"], where)
    for inner in value.get("first", ()):
        _check_values(inner, where)


def _check_zone(name: str, where: str) -> None:
    try:
        zone(name)
    except UnknownZone as error:
        raise MappingError(f"{where}: {error}") from error


def _in_zone(value: Any, name: str) -> Any:
    if isinstance(value, dict):
        changed = {key: _in_zone(inner, name) for key, inner in value.items()}
        return {**changed, "zone": name} if is_source(value) and "zone" in value else changed
    if isinstance(value, list):
        return [_in_zone(inner, name) for inner in value]
    return value
