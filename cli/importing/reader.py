"""Streaming the rows of a file, with the lines they stand on and the text they were."""

import codecs
import csv
import io
import re
import string
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, TextIO

import msgspec

from cli.importing.layout import FileLayout
from cli.importing.progress import REJECT_COLUMNS

__all__ = ["FileUnreadable", "Row", "RowReader", "holds_documents"]

# A row longer than this is no row: the wrong delimiter, or a quotation mark that is never closed.
MAX_ROW_CHARACTERS = 1_000_000
TOO_LONG = f"a line of more than {MAX_ROW_CHARACTERS:,} characters, of which this is the beginning"

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
# An export without a row has a few ends of lines at most.
BLANK_BYTES = 64
HIGH_BYTES = re.compile(rb"[\x80-\xff]+")
HAN_PAIRS = re.compile(rb"(?:[\xa1-\xf7][\xa1-\xfe])+")

# The file in which an import left what it could not take. One more column has the header of what was imported
# for its heading, and nothing below.
REJECTS = FileLayout("csv", "auto", "auto", header=REJECT_COLUMNS)


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
    """Iterates over the rows of a file, or over those that an import of such a file has rejected.

    Known after it was made: `delimiter`; `columns`; `doubled`, those of them that stand twice in the header,
    so that nobody can tell which is meant; and `header`, its text.
    """

    def __init__(self, path: Path, layout: FileLayout) -> None:
        self.path = path
        self._layout = layout
        self.columns: list[str] = []
        self.doubled: frozenset[str] = frozenset()
        self.header = ""
        self._header_lines = 0
        self.delimiter = layout.delimiter
        self._refuse_archives()
        self._rejects = None if layout is REJECTS else _rejects_in(path)
        if layout.format == "whitespace":
            with self._open() as file:
                self.header = next(self._lines(file), "").rstrip("\r\n")
            self._header_lines = 1
            self.columns = self._checked([self.header])[0].split()
        elif layout.format == "csv":
            self._find_header()

    def rows(self) -> Iterator[Row]:
        """Every row from the first one, blank ones left out. May be called again."""
        if self._rejects is not None:
            yield from self._rejected(self._rejects)
            return
        with self._open() as file:
            lines = self._lines(file)
            for _, _ in zip(range(self._header_lines), lines, strict=False):
                pass
            yield from self._parsed(lines, self._header_lines)

    def _parsed(self, lines: Iterator[str], above: int) -> Iterator[Row]:
        """The rows of lines without a header, of which there are `above` lines above them."""
        if self._layout.format == "ndjson":
            return self._documents(lines)
        if self._layout.format == "whitespace":
            return self._whitespace(lines, above)
        return self._csv(lines, above)

    def _rejected(self, rejects: "RowReader") -> Iterator[Row]:
        """The rows in a file of rejects, with the lines and numbers that they had in theirs."""
        place = {name: position for position, name in enumerate(rejects.columns)}
        for count, reject in enumerate(rejects.rows(), 1):
            cells = [*(reject.cells or []), *([""] * len(place))]
            line, number, text = (cells[place[name]] for name in ("line", "number", "row"))
            at = int(line) if line.isdecimal() else reject.line
            row_number = int(number) if number.isdecimal() else count
            if reject.problem is not None:
                yield Row(row_number, at, reject.raw, problem=reject.problem)
                continue
            # What was one row for want of a quotation mark may be several now.
            for row in self._parsed(iter(io.StringIO(text, newline="\n")), 0):
                yield replace(row, number=row_number, line=at)

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
        if bad <= good:
            return "utf-8"
        return "gb18030" if self._is_chinese() else "cp1252"

    def _is_chinese(self) -> bool:
        """Whether bytes beyond ASCII mostly stand in pairs, as in GB 2312; in the West they stand alone."""
        pairs, others = 0, 0
        with self.path.open("rb") as file:
            while chunk := file.read(CHUNK_BYTES):
                for run in HIGH_BYTES.findall(chunk):
                    if HAN_PAIRS.fullmatch(run):
                        pairs += 1
                    else:
                        others += 1
        return pairs > others

    def _open(self) -> TextIO:
        if self._rejects is not None:
            return io.StringIO(_header_kept_in(self._rejects), newline="\n")
        # surrogateescape keeps one bad line from ending the whole file; UTF-16 knows only replacement.
        errors = "replace" if self.encoding == "utf-16" else "surrogateescape"
        try:
            return io.TextIOWrapper(self.path.open("rb"), encoding=self.encoding, errors=errors, newline="\n")
        except OSError as error:
            raise FileUnreadable(f"{self.path} cannot be opened: {error.strerror}") from error

    def _lines(self, file: TextIO) -> Iterator[str]:
        """The lines of a file; of one that is too long to be a row, its beginning."""
        while line := file.readline(MAX_ROW_CHARACTERS):
            yield line
            while _is_cut(line):
                line = file.readline(MAX_ROW_CHARACTERS)

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
        self.delimiter, columns, self._header_lines, self.header = max(good, key=lambda each: len(each[1]))
        self.columns = [self._layout.canonical(cell) for cell in self._checked(columns)]
        times = Counter(columns)
        self.doubled = frozenset(self._layout.canonical(cell) for cell in columns if cell and times[cell] > 1)

    def _header_with(self, delimiter: str) -> tuple[str, list[str], int, str] | None:
        """(delimiter, cells of the header, lines down to its end, its text), None if there is none."""
        wanted = set(self._layout.header)
        with self._open() as file:
            lines, text = 0, ""

            def counting() -> Iterator[str]:
                nonlocal lines, text
                for line in self._lines(file):
                    lines += 1
                    text += line
                    yield line

            reader = self._reader(counting(), delimiter, strict=False)
            try:
                for _, cells in zip(range(HEADER_WITHIN_ROWS), reader, strict=False):
                    named = {self._layout.canonical(cell) for cell in cells}
                    if wanted <= named and (wanted or any(cell.strip() for cell in cells)):
                        return delimiter, [cell.strip() for cell in cells], lines, text.rstrip("\r\n")
                    text = ""
            except csv.Error:
                return None
        return None if wanted else (delimiter, [], lines, "")

    def _checked(self, header: Sequence[str]) -> list[str]:
        if any(SURROGATES.search(cell) for cell in header):
            raise FileUnreadable(f"The first line is not {self.encoding}; set file.encoding in the mapping.")
        return list(header)

    def _reader(self, lines: Iterator[str], delimiter: str, *, strict: bool) -> Any:
        csv.field_size_limit(MAX_ROW_CHARACTERS)
        if self._layout.quotes:
            return csv.reader(lines, delimiter=delimiter, strict=strict)
        return csv.reader(lines, delimiter=delimiter, strict=strict, quoting=csv.QUOTE_NONE)

    def _whitespace(self, lines: Iterable[str], above: int) -> Iterator[Row]:
        number = 0
        for line_number, line in enumerate(lines, above + 1):
            if not line.strip():
                continue
            number += 1
            yield self._row(number, line_number, line, line.split(), TOO_LONG if _is_cut(line) else None)

    def _csv(self, lines: Iterable[str], above: int) -> Iterator[Row]:
        kept: list[str] = []

        def keeping() -> Iterator[str]:
            for line in lines:
                kept.append(line)
                # A beginning is no row, and must not open a quotation that swallows the next ones.
                yield "\n" if _is_cut(line) else line

        reader = self._reader(keeping(), self.delimiter, strict=True)
        number, read_to = 0, above
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
            if any(map(_is_cut, kept)):
                problem = TOO_LONG
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

    def _documents(self, lines: Iterable[str]) -> Iterator[Row]:
        decoder = msgspec.json.Decoder(dict[str, Any])
        number = 0
        for line_number, line in enumerate(lines, 1):
            raw = line.strip()
            if not raw:
                continue
            number += 1
            if _is_cut(line):
                yield Row(number, line_number, raw, problem=TOO_LONG)
                continue
            try:
                document = decoder.decode(raw)
            except (msgspec.DecodeError, UnicodeEncodeError) as error:
                yield Row(number, line_number, raw, problem=f"not an object of JSON: {error}")
            else:
                yield Row(number, line_number, raw, document=document)


def holds_documents(path: Path) -> bool:
    """Whether the lines of a file are documents of JSON: by its name, or as rejects of such a file.

    So are those of a file with nothing in it, whatever its name: there is no header to miss where no row is.
    """
    if path.suffix.lower() in (".ndjson", ".jsonl") or _is_blank(path):
        return True
    rejects = _rejects_in(path)
    return rejects is not None and not _header_kept_in(rejects)


def _is_blank(path: Path) -> bool:
    """Whether nothing but a byte order mark and blanks stands in a file. One that cannot be opened is not."""
    try:
        with path.open("rb") as file:
            start = file.read(BLANK_BYTES + 1)
    except OSError:
        return False
    for mark in (codecs.BOM_UTF8, *WIDE_MARKS):
        start = start.removeprefix(mark)
    return len(start) <= BLANK_BYTES and not start.strip(b"\x00" + string.whitespace.encode())


def _is_cut(line: str) -> bool:
    return len(line) == MAX_ROW_CHARACTERS and not line.endswith("\n")


def _rejects_in(path: Path) -> RowReader | None:
    """A reader of the rejects of an import, None if the file is none of rejects."""
    try:
        reader = RowReader(path, REJECTS)
    except FileUnreadable:
        return None
    return reader if tuple(reader.columns[: len(REJECT_COLUMNS)]) == REJECT_COLUMNS else None


def _header_kept_in(rejects: RowReader) -> str:
    """The header of the file that the rejects are from; empty if they are documents."""
    lines = io.StringIO(rejects.header, newline="\n")
    cells: list[str] = next(csv.reader(lines, delimiter=rejects.delimiter), [])
    return "".join(cells[len(REJECT_COLUMNS) : len(REJECT_COLUMNS) + 1])
