"""What an import leaves on disk: the rejects, and a journal of what is done, so that it can go on."""

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from uuid import uuid4

import msgspec

__all__ = ["REJECT_COLUMNS", "Journal", "Reject", "Rejects", "Start"]

REJECT_COLUMNS = ("line", "number", "code", "reason", "row")


@dataclass(frozen=True, slots=True)
class Reject:
    """One row that was not taken in."""

    line: int
    number: int
    code: str
    reason: str
    row: str


class Rejects:
    """A CSV file of rejected rows: line, number, code, reason, and the row as it was.

    It is made with the first reject. So that it can be mended and imported like the file itself, one more
    column has that file's header for its heading.
    """

    def __init__(self, path: Path, header: str = "") -> None:
        self.path = path
        self._columns = [*REJECT_COLUMNS, header] if header else [*REJECT_COLUMNS]
        self._file: IO[str] | None = None

    def begin(self, keep: int) -> None:
        """Forget what earlier runs rejected, except as many rows as their journal vouches for."""
        kept: list[list[str]] = []
        if self.path.exists() and keep:
            with self.path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
                kept = [row for row in csv.reader(file) if row and row[0].isdigit()][:keep]
        self.path.unlink(missing_ok=True)
        if kept:
            self._rows(kept)

    def add(self, rejects: Iterable[Reject]) -> None:
        """Append; on disk when this returns."""
        self._rows(
            [str(reject.line), str(reject.number), reject.code, reject.reason, reject.row]
            for reject in rejects
        )

    def _rows(self, rows: Iterable[list[str]]) -> None:
        rows = list(rows)
        if not rows:
            return
        if self._file is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("w", encoding="utf-8", errors="surrogateescape", newline="")
            csv.writer(self._file).writerow(self._columns)
        csv.writer(self._file).writerows(rows)
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()


class Start(msgspec.Struct, frozen=True):
    """What must be the same for an import to go on: the file, the mapping, the size of a batch, the shift."""

    file: str
    size: int
    modified_ns: int
    mapping: str
    batch_rows: int
    shift_days: int
    run: str


class Done(msgspec.Struct, frozen=True):
    """The batches up to and with this one are committed; the figures are of all of them together."""

    batches: int
    counts: dict[str, int]


class Journal:
    """One line for the start, one per committed batch; removed when the import is complete."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: IO[bytes] | None = None

    def resumed(self) -> tuple[Start, Done | None] | None:
        """What an earlier run left, or None. A half-written last line is as if it had not been written."""
        try:
            lines = self.path.read_bytes().split(b"\n")[:-1]
            start = msgspec.json.decode(lines[0], type=Start)
            done = msgspec.json.decode(lines[-1], type=Done) if len(lines) > 1 else None
        except (OSError, IndexError, msgspec.DecodeError):
            return None
        return start, done

    def begin(self, start: Start, done: Done | None) -> None:
        """Start writing."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self.path.open("wb")
        self._write(start)
        if done is not None:
            self._write(done)

    def committed(self, done: Done) -> None:
        """Note a batch; on disk when this returns."""
        self._write(done)

    def complete(self) -> None:
        """There is nothing left to go on with."""
        self.close()
        self.path.unlink(missing_ok=True)

    def close(self) -> None:
        """Close the file, leaving it for a later run."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _write(self, entry: Any) -> None:
        assert self._file is not None
        self._file.write(msgspec.json.encode(entry) + b"\n")
        self._file.flush()


def new_run() -> str:
    """An id for one import, kept over its resumptions: it makes the keys of its batches."""
    return uuid4().hex
