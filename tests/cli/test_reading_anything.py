"""Whatever a file holds, every row of it ends in exactly one place: sent, or rejected with its reason."""

import asyncio
import csv
import io
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cli.importing import FileUnreadable, ImportPlan, MappingError, import_file, load_mapping
from cli.importing import importer as importing
from cli.importing.reader import RowReader
from cli.importing.sender import Sender

HEADER = ["order_id", "customer_id", "currency", "placed_at", "sku", "quantity", "unit_price"]
WORDS = st.one_of(
    st.sampled_from(["", " ", "A", "B", "kim", "USD", "EUR", "2026-03-01T12:00:00Z", "1", "2", "9.99", "-1"]),
    st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=8),
)
ROWS = st.lists(st.lists(WORDS, min_size=1, max_size=9), max_size=25)
GOOD = st.builds(
    lambda order, quantity: [order, "kim", "USD", "2026-03-01T12:00:00Z", "MUG", str(quantity), "9.99"],
    st.sampled_from("ABCDE"),
    st.integers(1, 5),
)


class Taker(Sender):
    """Takes everything, refuses every third order, and remembers what it was sent."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        self.sent: list[dict[str, Any]] = SENT

    async def post(self, route: str, documents: Any, idempotency_key: str) -> list[dict[str, Any]]:
        await asyncio.sleep(0)
        answers: list[dict[str, Any]] = []
        for document in documents:
            self.sent.append(document)
            refused = len(self.sent) % 3 == 0
            problem = {"code": "order_conflict", "title": "Other content."}
            answers.append({"status": "refused", "problem": problem} if refused else {"status": "accepted"})
        return answers

    async def close(self) -> None:
        """There is nothing to close."""


SENT: list[dict[str, Any]] = []


def written(rows: list[list[str]], delimiter: str, encoding: str) -> bytes:
    out = io.StringIO()
    csv.writer(out, delimiter=delimiter).writerows([HEADER, *rows])
    return out.getvalue().encode(encoding, "replace")


def imported(content: bytes, batch_rows: int) -> tuple[Any, list[str], int]:
    """Import a file: the outcome, the lines that were rejected, and how many rows there were."""
    SENT.clear()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        file = folder / "orders.csv"
        file.write_bytes(content)
        mapping = load_mapping("generic")
        plan = ImportPlan(
            file=file, mapping=mapping, url="", key="", rejects=folder / "rejects.csv", batch_rows=batch_rows
        )
        kept, importing.Sender = importing.Sender, Taker  # type: ignore[misc]  # a sender that needs no network
        try:
            outcome = asyncio.run(import_file(plan))
        finally:
            importing.Sender = kept  # type: ignore[misc]  # as it was
        rejected: list[str] = []
        if plan.rejects.exists():
            with plan.rejects.open(encoding="utf-8", errors="surrogateescape", newline="") as rejects:
                rejected = [row["line"] for row in csv.DictReader(rejects)]
        return outcome, rejected, sum(1 for _ in RowReader(file, mapping.layout).rows())


@given(
    rows=st.lists(st.one_of(GOOD, GOOD, st.lists(WORDS, min_size=1, max_size=9)), max_size=25),
    delimiter=st.sampled_from(",;\t"),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "cp1252"]),
    batch_rows=st.integers(1, 7),
)
@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
def test_every_row_is_sent_or_rejected_exactly_once(
    rows: list[list[str]], delimiter: str, encoding: str, batch_rows: int
) -> None:
    try:
        outcome, rejected, count = imported(written(rows, delimiter, encoding), batch_rows)
    except (MappingError, FileUnreadable):
        # A file of which nothing at all can be read is refused whole.
        return
    assert outcome.rows == count
    assert outcome.rejected_rows == len(rejected) == len(set(rejected))
    orders = Counter(document["external_order_id"] for document in SENT)
    assert all(times == 1 for times in orders.values())
    refused = sum(1 for number, _ in enumerate(SENT, 1) if number % 3 == 0)
    lines_sent = sum(len(document["lines"]) for document in SENT)
    lines_refused = sum(len(document["lines"]) for number, document in enumerate(SENT, 1) if number % 3 == 0)
    assert outcome.accepted == len(SENT) - refused
    assert lines_sent - lines_refused + len(rejected) == count


@given(content=st.binary(max_size=400), mapping=st.sampled_from(["amazon", "ebay", "aliexpress", "generic"]))
@settings(max_examples=150)
def test_no_bytes_break_the_reader(content: bytes, mapping: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "orders.csv"
        for start in (b"", b"order_id,customer_id\r\n", b"\xff\xfeo\x00"):
            file.write_bytes(start + content)
            try:
                reader = RowReader(file, load_mapping(mapping).layout)
            except FileUnreadable:
                continue
            lines = [row.line for row in reader.rows()]
            assert lines == sorted(set(lines))


@given(rows=ROWS)
@settings(max_examples=60)
def test_rows_come_back_as_they_were_written(rows: list[list[str]]) -> None:
    told = [row for row in rows if any(cell.strip() for cell in row)]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "orders.csv"
        file.write_bytes(written(rows, ",", "utf-8"))
        found = list(RowReader(file, load_mapping("generic").layout).rows())
    assert len(found) == len(told)
    for row, cells in zip(found, told, strict=True):
        assert row.cells is not None
        assert row.cells[: len(cells)] == cells[: len(row.cells)]
