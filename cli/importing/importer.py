"""The import itself: read, convert, post a few batches at a time, note what became of each."""

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

from cli.importing.mapping import BoundMapping, Mapping, MappingError
from cli.importing.progress import Done, Journal, Reject, Rejects, Start, new_run
from cli.importing.reader import Row, RowReader
from cli.importing.sender import ImportAborted, Sender
from cli.importing.values import RowRefused
from shared.clock import utc_now

__all__ = ["ImportPlan", "Outcome", "import_orders"]

BATCH_ROWS = 1000
# Members is one process, but a batch also waits for the database and for its turn on a busy machine: with
# three under way the two cores were idle for a quarter of the time, with five they are not.
IN_FLIGHT = 5
# A file of which nothing at all can be read was given the wrong mapping or encoding.
HOPELESS_ROWS = 1000


@dataclass(frozen=True, kw_only=True)
class ImportPlan:
    """What to import, how and where to."""

    file: Path
    mapping: Mapping
    url: str
    key: str
    rejects: Path
    resume: bool = False
    limit: int | None = None
    shift_days: int | None = None
    batch_rows: int = BATCH_ROWS
    in_flight: int = IN_FLIGHT
    patience_seconds: float = 120.0

    @property
    def journal(self) -> Path:
        """Where the progress is kept until the import is complete."""
        return self.rejects.with_suffix(".journal")


@dataclass
class Outcome:
    """What became of the rows."""

    rows: int = 0
    accepted: int = 0
    unchanged: int = 0
    rejected: int = 0
    skipped: int = 0
    seconds: float = 0.0
    shift_days: int = 0
    codes: Counter[str] = field(default_factory=Counter)
    rejects: Path | None = None

    def counts(self) -> dict[str, int]:
        """The figures that a resumed import goes on from."""
        return {
            "rows": self.rows,
            "accepted": self.accepted,
            "unchanged": self.unchanged,
            "rejected": self.rejected,
            **{f"code:{code}": count for code, count in self.codes.items()},
        }

    def go_on_from(self, counts: dict[str, int]) -> None:
        """Take over the figures of an earlier run."""
        for name, count in counts.items():
            if name.startswith("code:"):
                self.codes[name.removeprefix("code:")] = count
            else:
                setattr(self, name, count)
        self.skipped = self.rows


@dataclass(frozen=True)
class Survey:
    """What a first look at the file found: how many rows, and the day of the latest order."""

    rows: int
    latest: date | None


def survey(reader: RowReader, mapping: Mapping, limit: int | None) -> Survey:
    """Look through the file once. Raises MappingError or FileUnreadable if nothing of it can be used."""
    if mapping.layout.format == "ndjson":
        return Survey(sum(1 for _ in islice(reader.rows(), limit)), None)
    bound = mapping.bound(reader.columns)
    rows, usable, latest = 0, 0, ""
    first_reason = ""
    for row in islice(reader.rows(), limit):
        rows += 1
        if usable == 0:
            first_reason = first_reason or _reason(bound, row)
            usable += not _reason(bound, row)
            if rows == HOPELESS_ROWS and usable == 0:
                break
        if mapping.latest and row.cells is not None:
            latest = max(latest, bound.placed_at(row.cells, row.number) or "")
    if rows and not usable and rows >= min(HOPELESS_ROWS, 10):
        raise MappingError(
            f"Not one of the first {rows} rows can be read with the mapping {mapping.name!r}. The first one"
            f" says: {first_reason}"
        )
    return Survey(rows, datetime.fromisoformat(latest).date() if latest else None)


def _reason(bound: BoundMapping, row: Row) -> str:
    if row.cells is None:
        return row.problem or "nothing in it"
    try:
        bound.order(row.cells, row.number)
    except RowRefused as refusal:
        return str(refusal)
    return ""


async def import_orders(
    plan: ImportPlan,
    *,
    total: Callable[[int, int], None] = lambda rows, done: None,
    advance: Callable[[int], None] = lambda rows: None,
    waiting: Callable[[str], None] = lambda reason: None,
) -> Outcome:
    """Import a file. `total(rows, already done)` and `advance(rows)` report progress, `waiting` an outage.

    Raises FileUnreadable, MappingError, ImportAborted.
    """
    reader = RowReader(plan.file, plan.mapping.layout)
    start, done = _start(plan, reader)
    outcome = Outcome(shift_days=start.shift_days)
    if done is not None:
        outcome.go_on_from(done.counts)
    total(survey(reader, plan.mapping, plan.limit).rows, outcome.rows)
    run = _Run(plan, reader, start, done, outcome, advance)
    sender = Sender(plan.url, plan.key, patience_seconds=plan.patience_seconds, waiting=waiting)
    clock = asyncio.get_running_loop().time
    began = clock()
    try:
        await run.all(sender)
    finally:
        await sender.close()
        run.close()
    outcome.seconds = clock() - began
    outcome.rejects = plan.rejects if outcome.rejected else None
    return outcome


def _start(plan: ImportPlan, reader: RowReader) -> tuple[Start, Done | None]:
    """What this run starts with: afresh, or where an earlier one was cut off."""
    status = plan.file.stat()
    left = Journal(plan.journal).resumed() if plan.resume else None
    if left is not None:
        start, done = left
        same = (start.size, start.modified_ns, start.mapping, start.batch_rows)
        if same != (status.st_size, status.st_mtime_ns, plan.mapping.name, plan.batch_rows):
            raise ImportAborted(
                f"{plan.file} or the mapping has changed since the import that {plan.journal} tells of;"
                " import it without --resume: what is known already stays unchanged."
            )
        return start, done
    shift_days = plan.shift_days
    if shift_days is None:
        latest = survey(reader, plan.mapping, plan.limit).latest if plan.mapping.latest else None
        yesterday = (utc_now() - timedelta(days=1)).date()
        shift_days = (yesterday - latest).days if latest is not None else 0
    start = Start(
        file=str(plan.file),
        size=status.st_size,
        modified_ns=status.st_mtime_ns,
        mapping=plan.mapping.name,
        batch_rows=plan.batch_rows,
        shift_days=shift_days,
        run=new_run(),
    )
    return start, None


class _Run:
    """One pass over the file."""

    def __init__(
        self,
        plan: ImportPlan,
        reader: RowReader,
        start: Start,
        done: Done | None,
        outcome: Outcome,
        advance: Callable[[int], None],
    ) -> None:
        self._plan = plan
        self._reader = reader
        self._run = start.run
        self._first = done.batches if done is not None else 0
        self._outcome = outcome
        self._advance = advance
        self._bound: BoundMapping | None = None
        if plan.mapping.layout.format != "ndjson":
            self._bound = plan.mapping.bound(reader.columns, timedelta(days=start.shift_days))
        self._rejects = Rejects(plan.rejects)
        self._rejects.begin(done.next_line if done is not None else 0)
        self._journal = Journal(plan.journal)
        self._journal.begin(start, done)

    def close(self) -> None:
        self._rejects.close()
        self._journal.close()

    async def all(self, sender: Sender) -> None:
        """Post every batch that is not done, a few at a time, and note them in the order of the file."""
        under_way: deque[tuple[_Batch, asyncio.Task[list[dict[str, Any]]]]] = deque()
        try:
            for batch in self._batches():
                if batch.number < self._first:
                    continue
                key = f"import-{self._run}-{batch.number}"
                # What a customer did is told in the order of the file, whatever else is under way.
                before = [
                    task for other, task in under_way if not other.customers.isdisjoint(batch.customers)
                ]
                under_way.append((batch, asyncio.create_task(_posted(sender, batch.orders, key, before))))
                # Lets the request leave before the next batch is converted.
                await asyncio.sleep(0)
                if len(under_way) >= self._plan.in_flight:
                    await self._settle(under_way)
            while under_way:
                await self._settle(under_way)
        finally:
            for _, task in under_way:
                task.cancel()
        self._journal.complete()

    def _batches(self) -> Iterator["_Batch"]:
        """Cut the file into batches, where it can be between two customers.

        Files are often sorted by customer; without that cut each batch would wait for the one before it.
        """
        batch = _Batch(0)
        for row in islice(self._reader.rows(), self._plan.limit):
            if len(batch.rows) == self._plan.batch_rows:
                following = batch.split_off(self._customer(row))
                yield batch
                batch = following
            self._add(batch, row)
        if batch.rows:
            yield batch

    def _customer(self, row: Row) -> "_Customer":
        try:
            return _customer_of(self._order(row))
        except RowRefused:
            return None

    def _add(self, batch: "_Batch", row: Row) -> None:
        batch.rows.append(row)
        try:
            order = self._order(row)
        except RowRefused as refusal:
            batch.rejects.append(Reject(row.line, "unreadable_row", str(refusal), row.raw))
        else:
            batch.orders.append(order)
            batch.posted.append(row)

    def _order(self, row: Row) -> dict[str, Any]:
        if row.document is not None:
            return row.document
        if row.cells is None or self._bound is None:
            raise RowRefused([row.problem or "nothing in it"])
        return self._bound.order(row.cells, row.number)

    async def _settle(self, under_way: deque[tuple["_Batch", asyncio.Task[list[dict[str, Any]]]]]) -> None:
        """Wait for the oldest batch and note it: rejects first, so that the journal vouches for them."""
        batch, task = under_way[0]
        results = await task
        under_way.popleft()
        outcome = self._outcome
        for row, result in zip(batch.posted, results, strict=True):
            if result["status"] == "refused":
                code, reason = described(result["problem"])
                batch.rejects.append(Reject(row.line, code, reason, row.raw))
            elif result["status"] == "unchanged":
                outcome.unchanged += 1
            else:
                outcome.accepted += 1
        batch.rejects.sort(key=lambda reject: reject.line)
        self._rejects.add(batch.rejects)
        outcome.rows += len(batch.rows)
        outcome.rejected += len(batch.rejects)
        outcome.codes.update(reject.code for reject in batch.rejects)
        next_line = batch.rows[-1].line + 1
        self._journal.committed(Done(batch.number + 1, next_line, outcome.counts()))
        self._advance(len(batch.rows))


_Customer = tuple[str, str] | None


def _customer_of(order: dict[str, Any]) -> _Customer:
    """Whose order it is; None if the document does not say."""
    source, customer = order.get("source"), order.get("external_customer_id")
    return (source, customer) if isinstance(source, str) and isinstance(customer, str) else None


@dataclass
class _Batch:
    """Some rows of the file, those of them that became orders, and those that did not."""

    number: int
    rows: list[Row] = field(default_factory=list)
    orders: list[dict[str, Any]] = field(default_factory=list)
    posted: list[Row] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)

    @property
    def customers(self) -> set[_Customer]:
        """Whose orders are in it."""
        return {_customer_of(order) for order in self.orders}

    def split_off(self, customer: _Customer) -> "_Batch":
        """Begin the next batch, with this one's last rows if they are of `customer` and not all it has."""
        following = _Batch(self.number + 1)
        cut = len(self.rows)
        orders = len(self.orders)
        while orders and self.posted[orders - 1] is self.rows[cut - 1]:
            if customer is None or _customer_of(self.orders[orders - 1]) != customer:
                break
            cut, orders = cut - 1, orders - 1
        if cut:
            following.rows, self.rows = self.rows[cut:], self.rows[:cut]
            following.orders, self.orders = self.orders[orders:], self.orders[:orders]
            following.posted, self.posted = self.posted[orders:], self.posted[:orders]
        return following


async def _posted(
    sender: Sender, orders: list[dict[str, Any]], key: str, before: list[asyncio.Task[list[dict[str, Any]]]]
) -> list[dict[str, Any]]:
    if before:
        await asyncio.wait(before)
    return await sender.post(orders, key) if orders else []


def described(problem: dict[str, Any]) -> tuple[str, str]:
    """(code, reason) of a refused order: every fault that the problem document names."""
    code = str(problem.get("code", "refused"))
    faults = [
        f"{fault.get('pointer', '')}: {fault.get('message', '')}" for fault in problem.get("errors", ())
    ]
    return code, "; ".join(faults) or str(problem.get("detail") or problem.get("title") or code)
