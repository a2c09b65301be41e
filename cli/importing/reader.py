"""Streaming the rows of a file, with the lines they stand on and the text they were."""

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from cli.importing.mapping import FileLayout

__all__ = ["FileUnreadable", "Row", "RowReader"]

# A row longer than this is no row: the wrong delimiter, or a quotation mark that is never closed.
MAX_ROW_CHARACTERS = 1_000_000

BYTE_ORDER_MARKS = {
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
    b"PK\x03\x04": "a spreadsheet or zip archive",
    b"\x1f\x8b": "gzip",
}
SURROGATES = re.compile("[\ud800-\udfff]")


class FileUnreadable(Exception):
    """The file cannot be read as the mapping says; the message says why."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row: its number counted from 1, its first line in the file, its text, and its cells or document.

    `problem` says why there are neither.
    """

    number: int
    line: int
    raw: str
    cells: list[str] | None = None
    document: dict[str, Any] | None = None
    problem: str | None = None


class RowReader:
    """Iterates over the rows of a file; `columns` are known after it was made."""

    def __init__(self, path: Path, layout: FileLayout) -> None:
        self.path = path
        self._layout = layout
        self.columns: list[str] = []
        self.bytes_read = 0
        if layout.format != "ndjson":
            with self._open() as file:
                self.columns = self._header(file)

    def rows(self) -> Iterator[Row]:
        """Every row from the first one, blank ones left out. May be called again."""
        with self._open() as file:
            if self._layout.format == "ndjson":
                yield from self._documents(file)
            elif self._layout.format == "whitespace":
                yield from self._whitespace(file)
            else:
                yield from self._csv(file)

    def _open(self) -> BinaryIO:
        try:
            file = self.path.open("rb")
        except OSError as error:
            raise FileUnreadable(f"{self.path} cannot be opened: {error.strerror}") from error
        start = file.read(4)
        for mark, kind in BYTE_ORDER_MARKS.items():
            if start.startswith(mark):
                file.close()
                raise FileUnreadable(f"{self.path} is {kind}; save it as {self._layout.format} in UTF-8.")
        file.seek(3 if start.startswith(b"\xef\xbb\xbf") else 0)
        return file

    def _header(self, file: BinaryIO) -> list[str]:
        lines = self._lines(file)
        first = next(lines, "")
        if SURROGATES.search(first):
            raise FileUnreadable(
                f"The first line is not {self._layout.encoding}; set file.encoding in the mapping."
            )
        if self._layout.format == "whitespace":
            return first.split()
        cells = next(csv.reader([first], delimiter=self._layout.delimiter), [])
        return [cell.strip() for cell in cells]

    def _lines(self, file: BinaryIO) -> Iterator[str]:
        """Lines as text. Bytes that are not in the encoding become lone surrogates, which rows look for."""
        # surrogateescape keeps one bad line from ending the whole file.
        encoding = self._layout.encoding
        while line := file.readline(MAX_ROW_CHARACTERS):
            self.bytes_read += len(line)
            yield line.decode(encoding, "surrogateescape")

    def _whitespace(self, file: BinaryIO) -> Iterator[Row]:
        number = 0
        for line_number, line in enumerate(self._lines(file), 1):
            if line_number == 1 or not line.strip():
                continue
            number += 1
            yield self._row(number, line_number, line, line.split())

    def _csv(self, file: BinaryIO) -> Iterator[Row]:
        kept: list[str] = []

        def keeping() -> Iterator[str]:
            for line in self._lines(file):
                kept.append(line)
                yield line

        reader = csv.reader(keeping(), delimiter=self._layout.delimiter, strict=True)
        csv.field_size_limit(MAX_ROW_CHARACTERS)
        number, read_to = 0, 0
        while True:
            kept.clear()
            problem = None
            cells: list[str] = []
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                problem = f"not CSV: {error}"
            first_line, read_to = read_to + 1, read_to + len(kept)
            if first_line == 1 or (problem is None and not any(cell.strip() for cell in cells)):
                continue
            number += 1
            yield self._row(number, first_line, "".join(kept), cells, problem)

    def _row(self, number: int, line: int, raw: str, cells: list[str], problem: str | None = None) -> Row:
        raw = raw.rstrip("\r\n")
        if SURROGATES.search(raw):
            problem = f"not {self._layout.encoding}: change file.encoding in the mapping, or the row"
        if problem is not None:
            return Row(number, line, raw, problem=problem)
        return Row(number, line, raw, cells=cells)

    def _documents(self, file: BinaryIO) -> Iterator[Row]:
        decoder = msgspec.json.Decoder(dict[str, Any])
        number = 0
        for line_number, line in enumerate(self._lines(file), 1):
            raw = line.strip()
            if not raw:
                continue
            number += 1
            try:
                document = decoder.decode(raw)
            except (msgspec.DecodeError, UnicodeEncodeError) as error:
                yield Row(number, line_number, raw, problem=f"not an object of JSON: {error}")
            else:
                yield Row(number, line_number, raw, document=document)
