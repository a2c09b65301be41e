"""Making documents of rows: a mapping, bound to the columns of one file."""

import re
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast

from cli.importing.sources import MappingError, is_source, needed_columns, value_of
from cli.importing.status import Documents, following
from cli.importing.values import Context, RowRefused
from shared.money import allocate

if TYPE_CHECKING:
    from cli.importing.mapping import Mapping

__all__ = ["BoundMapping", "Numbered"]

_LEFT_OUT: Any = object()

# How spreadsheets show long numbers, and save them: 8012345678901234 becomes 8.01E+15.
SHORTENED = re.compile(r"\d([.,]\d+)?[Ee]\+\d{2,}")

Numbered = tuple[Sequence[str], int, int]
"""The cells of a row, its number, and the line it stands on."""

Build = Callable[[Any, int, list[str]], Any]
"""A function of (row or rows, number, reasons) for one value of a document; reasons are added, not raised."""

Leaf = Callable[[dict[str, Any], Context, str], Build]


class _LeaveOutObject(Exception):
    """The object around this value is to be left out."""


class BoundMapping:
    """Turns rows of one file into documents."""

    def __init__(self, mapping: "Mapping", columns: Sequence[str], shift: timedelta) -> None:
        rule = mapping.rows
        self.columns = tuple(columns)
        self.name = mapping.name
        inside = tuple(rule.lines_in[1].groupindex) if rule is not None and rule.lines_in else ()
        index = {name: number for number, name in enumerate([*columns, *inside])}
        self._check(mapping, index)
        currency = value_of(mapping.currency, Context(index, None, shift))
        context = Context(index, currency, shift)
        self._rule, self._index = rule, index
        self._placed_at = value_of(mapping.document.get("placed_at"), context)
        self._status = mapping.status
        self._state_at = None if mapping.status is None else value_of(mapping.status.at, context)
        self._needs_lines = False
        if rule is None:
            self._build = _compiled(mapping.document, context, "", _source)
            return
        document = {name: value for name, value in mapping.document.items() if name != "lines"}
        self._build = _compiled(document, context, "", _source_over_rows)
        lines = mapping.document.get("lines")
        self._line = _compiled(lines[0], context, ".lines", _source) if lines else None
        self._spread = value_of(rule.spread, context) if rule.spread is not None else None
        self._needs_lines = mapping.kind == "order" and self._line is not None

    def _check(self, mapping: "Mapping", index: dict[str, int]) -> None:
        lines = mapping.document.get("lines")
        needed = needed_columns({name: part for name, part in mapping.document.items() if name != "lines"})
        if lines and (mapping.kind == "order" or _has_lines(mapping, index)):
            needed |= needed_columns(lines)
        if mapping.rows is not None and mapping.rows.lines_in is not None:
            needed.add(mapping.rows.lines_in[0])
        if mapping.status is not None:
            needed.add(mapping.status.column)
            needed.add(mapping.status.waits_for or mapping.status.column)
        if missing := sorted(needed - set(index)):
            raise MappingError(
                f"The mapping {mapping.name!r} needs the columns {', '.join(missing)}; the file has"
                f" {', '.join(self.columns) or 'none'}."
                " Is it the right --mapping (and delimiter) for this file?"
            )

    @property
    def groups_rows(self) -> bool:
        """Whether several rows may be one document."""
        return self._rule is not None

    def placed_at(self, row: Sequence[str], number: int) -> str | None:
        """When a row's order was placed, as RFC 3339 in UTC; None if that cannot be told."""
        try:
            return cast(str | None, self._placed_at(row, number))
        except (ValueError, IndexError):
            return None

    def key(self, row: Sequence[str]) -> tuple[str, ...] | None:
        """What a row's document is told by; None if the row stands for itself, or does not say."""
        if self._rule is None or len(row) != len(self.columns):
            return None
        index = self._index
        key = tuple(row[index[column]].strip() for column in self._rule.key if column in index)
        return key if any(key) else None

    def order(self, row: Sequence[str], number: int) -> dict[str, Any]:
        """The document of a row alone; `number` counts rows from 1. Raises RowRefused with every reason."""
        documents = self.documents([(row, number, number)])
        assert documents.main is not None, "only a status leaves it out"
        return documents.main

    def documents(self, rows: Sequence[Numbered]) -> Documents:
        """The documents of rows that are one order. Raises RowRefused with every reason."""
        reasons = [
            f"{_at(line, rows)}{len(cells)} columns instead of {len(self.columns)}"
            for cells, _, line in rows
            if len(cells) != len(self.columns)
        ]
        if reasons:
            raise RowRefused(reasons)
        reasons += self._shortened(rows[0][0])
        state = self._state(rows, reasons)
        if not reasons and state == "placed" and self._waits(rows):
            return Documents(None)
        cells, number, _ = rows[0]
        if self._rule is None:
            document: dict[str, Any] = self._build(cells, number, reasons)
        else:
            document = self._build(rows, number, reasons)
            if self._line is not None:
                document["lines"] = self._lines(rows, reasons)
                self._spread_over(document["lines"], rows, reasons)
        if not reasons and self._line_missing(document, state):
            reasons.append("no line in it is an order's")
        if reasons:
            raise RowRefused(reasons)
        if state is None:
            return Documents(document)
        try:
            at = None if self._state_at is None else self._state_at(cells, number)
        except ValueError as error:
            raise RowRefused([str(error)]) from error
        return following(document, state, at)

    def _shortened(self, cells: Sequence[str]) -> list[str]:
        """Ids that a spreadsheet has rounded: several orders would become one."""
        return [
            f"{column}: {cells[self._index[column]]!r} is a number that a spreadsheet has shortened"
            for column in (self._rule.key if self._rule is not None else ())
            if column in self._index and SHORTENED.fullmatch(cells[self._index[column]].strip())
        ]

    def _waits(self, rows: Sequence[Numbered]) -> bool:
        """Whether a line has nothing yet in the column that an order waits for."""
        if self._status is None or self._status.waits_for is None:
            return False
        position = self._index[self._status.waits_for]
        return any(self._is_line(cells) and not cells[position].strip() for cells, _, _ in rows)

    def _line_missing(self, document: dict[str, Any], state: str | None) -> bool:
        return self._needs_lines and not document["lines"] and state != "cancelled"

    def _lines(self, rows: Sequence[Numbered], reasons: list[str]) -> list[dict[str, Any]]:
        assert self._rule is not None
        assert self._line is not None
        lines = []
        seen: dict[tuple[str, ...], Sequence[str]] = {}
        for cells, number, line in rows:
            if not self._is_line(cells):
                continue
            before = seen.setdefault(self._line_key(cells, number), cells)
            if before is not cells:
                if before != cells:
                    reasons.append(f"{_at(line, rows)}a line that stands there before, and otherwise")
                continue
            for part in self._parts(cells, _at(line, rows), reasons):
                found: list[str] = []
                lines.append(self._line(part, number, found))
                reasons += [_at(line, rows) + reason for reason in found]
        return lines

    def _line_key(self, cells: Sequence[str], number: int) -> tuple[str, ...]:
        """What a line is told by: what the mapping says, or else that it is a row of its own."""
        assert self._rule is not None
        columns = self._rule.one_line
        key = tuple(cells[self._index[column]].strip() for column in columns if column in self._index)
        return key if columns and len(key) == len(columns) and all(key) else ("row", str(number))

    def _is_line(self, cells: Sequence[str]) -> bool:
        assert self._rule is not None
        rule, index = self._rule, self._index
        if not all(column in index and cells[index[column]].strip() for column in rule.line_needs):
            return False
        if rule.line_unless is None or rule.line_unless[0] not in index:
            return True
        column, words = rule.line_unless
        return cells[index[column]].strip().casefold() not in words

    def _parts(self, cells: Sequence[str], at: str, reasons: list[str]) -> list[Sequence[str]]:
        """The lines that stand in one cell, each as the row with what was found in it beside."""
        assert self._rule is not None
        if self._rule.lines_in is None:
            return [cells]
        column, pattern = self._rule.lines_in
        found = [
            [*cells, *(group or "" for group in match.groups())]
            for match in pattern.finditer(cells[self._index[column]])
        ]
        if not found:
            reasons.append(f"{at}{column}: there is no line in it")
        return list(found)

    def _spread_over(self, lines: list[dict[str, Any]], rows: Sequence[Numbered], reasons: list[str]) -> None:
        """Share what the goods cost together out among the lines, by their pieces."""
        if self._spread is None or reasons or not lines:
            return
        cells, number, _ = rows[0]
        try:
            total = self._spread(cells, number)
            pieces = [line["quantity"] for line in lines]
            shares = allocate(total or 0, pieces)
        except ValueError as error:
            reasons.append(str(error))
            return
        for line, share, count in zip(lines, shares, pieces, strict=True):
            line["unit_price_minor"] = -(-share // count)
            line["discount_minor"] = line["unit_price_minor"] * count - share

    def _state(self, rows: Sequence[Numbered], reasons: list[str]) -> str | None:
        if self._status is None:
            return None
        position = self._index[self._status.column]
        words = list(dict.fromkeys(word for cells, _, _ in rows if (word := cells[position].strip())))
        states = {self._status.words.get(word.casefold()) for word in words}
        if not words:
            reasons.append(f"{self._status.column} is empty")
        elif None in states:
            reasons.append(f"{self._status.column}: {', '.join(map(repr, words))}: name it in [status] words")
        elif len(states) > 1:
            reasons.append(f"{self._status.column}: the rows of the order differ: {', '.join(words)}")
        return None if len(states) != 1 else states.pop()


def _has_lines(mapping: "Mapping", index: dict[str, int]) -> bool:
    return mapping.rows is None or all(column in index for column in mapping.rows.line_needs)


def _at(line: int, rows: Sequence[Numbered]) -> str:
    return f"line {line}: " if len(rows) > 1 else ""


def _compiled(value: Any, context: Context, where: str, leaf: Leaf) -> Build:
    if is_source(value):
        return leaf(value, context, where)
    if _is_constant(value):
        # Most of a document is the same for every row, so it is not built again for each.
        return lambda row, number, reasons: value
    if isinstance(value, dict):
        parts = {key: _compiled(inner, context, f"{where}.{key}", leaf) for key, inner in value.items()}
        return _object(parts, frozenset(key for key, inner in value.items() if is_source(inner)))
    if isinstance(value, list):
        return _list([_compiled(inner, context, f"{where}.{n}", leaf) for n, inner in enumerate(value)])
    raise MappingError(f"{where}: a value of an unexpected kind")


def _is_constant(value: Any) -> bool:
    if is_source(value):
        return False
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return all(_is_constant(part) for part in inner)


def _object(parts: dict[str, Build], cells: frozenset[str]) -> Build:
    """A table; `cells` names those of its values that are read from the row themselves."""
    items = list(parts.items())

    def build(row: Any, number: int, reasons: list[str]) -> Any:
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
    def build(row: Any, number: int, reasons: list[str]) -> Any:
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
    read = value_of(source, context)

    def build(row: Sequence[str], number: int, reasons: list[str]) -> Any:
        try:
            value = read(row, number)
        except ValueError as error:
            reasons.append(str(error))
            return _LEFT_OUT
        return _or_empty(value, source, where, reasons)

    return build


def _source_over_rows(source: dict[str, Any], context: Context, where: str) -> Build:
    """A value that all rows of an order say together."""
    read, over = value_of(source, context), source.get("over_rows", "same")

    def build(rows: Sequence[Numbered], number: int, reasons: list[str]) -> Any:
        values = []
        for cells, row_number, line in rows:
            try:
                value = read(cells, row_number)
            except ValueError as error:
                reasons.append(f"{_at(line, rows)}{error}")
                return _LEFT_OUT
            if value is not None:
                values.append(value)
        if over == "sum" and values:
            return sum(values)
        if over == "same" and any(value != values[0] for value in values):
            said = ", ".join(dict.fromkeys(map(str, values)))
            reasons.append(f"{where.lstrip('.')}: the rows of the order differ: {said}")
            return _LEFT_OUT
        return _or_empty(values[0] if values else None, source, where, reasons)

    return build


def _or_empty(value: Any, source: dict[str, Any], where: str, reasons: list[str]) -> Any:
    if value is not None:
        return value
    choice = source.get("if_empty", "refuse")
    if choice == "leave_out":
        return _LEFT_OUT
    if choice == "leave_out_object":
        raise _LeaveOutObject
    reasons.append(f"{source.get('column', where.lstrip('.'))} is empty")
    return _LEFT_OUT
