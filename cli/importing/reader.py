"""Streaming the rows of a file, with the lines they stand on and the text they were."""

import codecs
import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec

from cli.importing.layout import FileLayout

__all__ = ["FileUnreadable", "Row", "RowReader"]

# A row longer than this is no row: the wrong delimiter, or a quotation mark that is never closed.
MAX_ROW_CHARACTERS = 1_000_000

# Exports put at most a handful of lines above their header.
HEADER_WITHIN_ROWS = 30
DELIMITERS = "\t;,"

ARCHIVES = {
    b"PK\x03\x04": "a spreadsheet or zip archive",
    b"\x1f\x8b": "gzip",
    b"\xd0\xcf\x11\xe0": "an old spreadsheet",
}
WIDE_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
SURROGATES = re.compile("[\ud800-\udfff]")
CHUNK_BYTES = 1 << 20


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
        self._header_lines = 0
        self._delimiter = layout.delimiter
        self._refuse_archives()
        if layout.format == "whitespace":
            with self._open() as file:
                self.columns = self._checked([next(self._lines(file), "")])[0].split()
        elif layout.format == "csv":
            self._find_header()

    def rows(self) -> Iterator[Row]:
        """Every row from the first one, blank ones left out. May be called again."""
        with self._open() as file:
            if self._layout.format == "ndjson":
                yield from self._documents(file)
            elif self._layout.format == "whitespace":
                yield from self._whitespace(file)
            else:
                yield from self._csv(file)

    def _refuse_archives(self) -> None:
        start = self._start(4)
        for mark, kind in ARCHIVES.items():
            if start.startswith(mark):
                raise FileUnreadable(f"{self.path} is {kind}; save it as {self._layout.format}.")

    def _start(self, count: int) -> bytes:
        try:
            with self.path.open("rb") as file:
                return file.read(count)
        except OSError as error:
            raise FileUnreadable(f"{self.path} cannot be opened: {error.strerror}") from error

    @cached_property
    def encoding(self) -> str:
        """What the file's first bytes say, else what the mapping says, or what the text suggests."""
        start = self._start(3)
        if start.startswith(WIDE_MARKS):
            return "utf-16"
        if start == codecs.BOM_UTF8:
            return "utf-8-sig"
        return self._guess() if self._layout.encoding == "auto" else self._layout.encoding

    def _guess(self) -> str:
        """UTF-8, unless more bytes contradict it than speak for it: then what Windows writes in the West."""
        decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
        good, bad = 0, 0
        with self.path.open("rb") as file:
            while chunk := file.read(CHUNK_BYTES):
                text = decoder.decode(chunk)
                if not text.isascii():
                    wrong = len(SURROGATES.findall(text))
                    bad += wrong
                    good += sum(1 for character in text if character > "\x7f") - wrong
        return "cp1252" if bad > good else "utf-8"

    def _open(self) -> io.TextIOWrapper:
        # surrogateescape keeps one bad line from ending the whole file; UTF-16 knows only replacement.
        errors = "replace" if self.encoding == "utf-16" else "surrogateescape"
        try:
            return io.TextIOWrapper(self.path.open("rb"), encoding=self.encoding, errors=errors, newline="\n")
        except OSError as error:
            raise FileUnreadable(f"{self.path} cannot be opened: {error.strerror}") from error

    def _lines(self, file: io.TextIOWrapper) -> Iterator[str]:
        while line := file.readline(MAX_ROW_CHARACTERS):
            yield line

    def _find_header(self) -> None:
        """Find header and delimiter: the first row that has the columns which the mapping looks for."""
        choices = DELIMITERS if self._layout.delimiter == "auto" else self._layout.delimiter
        found = [self._header_with(delimiter) for delimiter in choices]
        good = [each for each in found if each is not None]
        if not good:
            raise FileUnreadable(
                f"{self.path} has no header with {', '.join(self._layout.header)} in its first"
                f" {HEADER_WITHIN_ROWS} rows. Is it the right --mapping for this file?"
            )
        self._delimiter, columns, self._header_lines = max(good, key=lambda each: len(each[1]))
        self.columns = [self._layout.canonical(cell) for cell in self._checked(columns)]

    def _header_with(self, delimiter: str) -> tuple[str, list[str], int] | None:
        wanted = set(self._layout.header)
        with self._open() as file:
            lines = 0

            def counting() -> Iterator[str]:
                nonlocal lines
                for line in self._lines(file):
                    lines += 1
                    yield line

            reader = self._reader(counting(), delimiter, strict=False)
            try:
                for _, cells in zip(range(HEADER_WITHIN_ROWS), reader, strict=False):
                    named = {self._layout.canonical(cell) for cell in cells}
                    if wanted <= named and (wanted or any(cell.strip() for cell in cells)):
                        return delimiter, [cell.strip() for cell in cells], lines
                    if not wanted and not cells:
                        continue
            except csv.Error:
                return None
        return None if wanted else (delimiter, [], lines)

    def _checked(self, header: Sequence[str]) -> list[str]:
        if any(SURROGATES.search(cell) for cell in header):
            raise FileUnreadable(f"The first line is not {self.encoding}; set file.encoding in the mapping.")
        return list(header)

    def _reader(self, lines: Iterator[str], delimiter: str, *, strict: bool) -> Any:
        csv.field_size_limit(MAX_ROW_CHARACTERS)
        if self._layout.quotes:
            return csv.reader(lines, delimiter=delimiter, strict=strict)
        return csv.reader(lines, delimiter=delimiter, strict=strict, quoting=csv.QUOTE_NONE)

    def _whitespace(self, file: io.TextIOWrapper) -> Iterator[Row]:
        number = 0
        for line_number, line in enumerate(self._lines(file), 1):
            if line_number == 1 or not line.strip():
                continue
            number += 1
            yield self._row(number, line_number, line, line.split())

    def _csv(self, file: io.TextIOWrapper) -> Iterator[Row]:
        kept: list[str] = []
        lines = self._lines(file)
        for _, _ in zip(range(self._header_lines), lines, strict=False):
            pass

        def keeping() -> Iterator[str]:
            for line in lines:
                kept.append(line)
                yield line

        reader = self._reader(keeping(), self._delimiter, strict=True)
        number, read_to = 0, self._header_lines
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
            raw = "".join(kept)
            if problem is None and not any(cell.strip() for cell in cells):
                continue
            if self._layout.trailer is not None and self._layout.trailer.search(raw):
                continue
            number += 1
            yield self._row(number, first_line, raw, self._trimmed(cells), problem)

    def _trimmed(self, cells: list[str]) -> list[str]:
        """Leave away empty cells beyond the header: spreadsheets add delimiters at the ends of lines."""
        while len(cells) > len(self.columns) and not cells[-1].strip():
            cells.pop()
        return cells

    def _row(self, number: int, line: int, raw: str, cells: list[str], problem: str | None = None) -> Row:
        raw = raw.rstrip("\r\n")
        if SURROGATES.search(raw) or (self.encoding == "utf-16" and "\ufffd" in raw):
            problem = f"not {self.encoding}: change file.encoding in the mapping, or the row"
        if problem is not None:
            return Row(number, line, raw, problem=problem)
        return Row(number, line, raw, cells=cells)

    def _documents(self, file: io.TextIOWrapper) -> Iterator[Row]:
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
