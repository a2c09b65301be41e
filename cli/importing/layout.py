"""How rows lie in a file, as a mapping's `[file]` and `[columns]` say it."""

import re
from dataclasses import dataclass, field
from typing import Any, Literal

__all__ = ["FileLayout", "Format", "LayoutError", "read_layout"]

Format = Literal["csv", "whitespace", "ndjson"]
KNOWN = {"format", "encoding", "delimiter", "quotes", "header", "trailer"}


class LayoutError(ValueError):
    """A mapping's `[file]` or `[columns]` does not say what it should; the message says what."""


@dataclass(frozen=True)
class FileLayout:
    """How the rows lie in the file.

    `header` names columns by which the header is told, wherever it stands; `trailer` finds rows below the
    data that are none; `names` are the names that a column has in exports, by casefolded name.
    """

    format: Format
    encoding: str
    delimiter: str = ","
    quotes: bool = True
    header: tuple[str, ...] = ()
    trailer: re.Pattern[str] | None = None
    names: dict[str, str] = field(default_factory=dict)

    def canonical(self, name: str) -> str:
        """The mapping's own name of a column."""
        plain = " ".join(name.split())
        return self.names.get(plain.casefold(), plain)


def read_layout(document: dict[str, Any]) -> FileLayout:
    """Read `[file]` and `[columns]` of a mapping. Raises LayoutError."""
    file = document.get("file", {})
    if unknown := sorted(set(file) - KNOWN):
        raise LayoutError(f"file.{unknown[0]} is not known")
    layout = FileLayout(
        format=file.get("format", "csv"),
        encoding=file.get("encoding", "utf-8"),
        delimiter=file.get("delimiter", ","),
        quotes=file.get("quotes", True),
        header=tuple(file.get("header", ())),
        trailer=_pattern(file.get("trailer")),
        names=_names(document.get("columns", {})),
    )
    if layout.format not in ("csv", "whitespace", "ndjson"):
        raise LayoutError(f"file.format {layout.format!r} is none of csv, whitespace, ndjson")
    if layout.delimiter != "auto" and len(layout.delimiter) != 1:
        raise LayoutError("file.delimiter must be one character, or auto")
    if layout.encoding != "auto":
        try:
            "".encode(layout.encoding)
        except LookupError as error:
            raise LayoutError(f"file.encoding {layout.encoding!r} is not known") from error
    return layout


def _pattern(trailer: str | None) -> re.Pattern[str] | None:
    try:
        return None if trailer is None else re.compile(trailer)
    except re.error as error:
        raise LayoutError(f"file.trailer is no pattern: {error}") from error


def _names(columns: dict[str, Any]) -> dict[str, str]:
    names: dict[str, str] = {}
    for name, known_as in columns.items():
        if not isinstance(known_as, list) or not all(isinstance(each, str) for each in known_as):
            raise LayoutError(f"columns.{name} must be a list of names")
        for each in known_as:
            names[" ".join(each.split()).casefold()] = name
    return names
