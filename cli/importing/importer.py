"""The import itself: read, convert, post a few batches at a time, note what became of each."""

import asyncio
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

from cli.importing.building import BoundMapping
from cli.importing.mapping import Mapping, MappingError
from cli.importing.openings import OpeningSender
from cli.importing.progress import Done, Journal, Reject, Rejects, Start, new_run
from cli.importing.reader import RowReader
from cli.importing.sender import ImportAborted, Sender
from cli.importing.units import Batch, Unit, batches, units
from shared.clock import utc_now

__all__ = ["ImportPlan", "Outcome", "import_file"]

ROUTES = {
    "order": "/v1/orders",
    "refund": "/v1/refunds",
    "cancellation": "/v1/cancellations",
    "delivery": "/v1/deliveries",
    "opening": "/v1/openings",
}
# What a state says again was known before, whenever the marketplace touched the order last.
KNOWN_ALREADY = {
    "cancellation": "cancellation_conflict",
    "refund": "refund_conflict",
    "delivery": "delivery_conflict",
}

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
    # Where customers of opening balances are looked up.
    members_url: str | None = None

    def sender(self, waiting: Callable[[str], None]) -> Sender:
        """Who posts what the rows become."""
        if self.members_url is None:
            return Sender(self.url, self.key, patience_seconds=self.patience_seconds, waiting=waiting)
        return OpeningSender(
            self.url,
            self.key,
            members_url=self.members_url,
            patience_seconds=self.patience_seconds,
            waiting=waiting,
        )

    @property
    def journal(self) -> Path:
        """Where the progress is kept until the import is complete."""
        return self.rejects.with_suffix(".journal")


@dataclass
class Outcome:
    """What became of the file: its rows, and the orders (or refunds) that they are."""

    rows: int = 0
    accepted: int = 0
    unchanged: int = 0
    rejected: int = 0
    rejected_rows: int = 0
    cancelled: int = 0
    refunded: int = 0
    # Orders without a price yet, left for a later export.
    pending: int = 0
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
            "rejected_rows": self.rejected_rows,
            "cancelled": self.cancelled,
            "refunded": self.refunded,
            "pending": self.pending,
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
    if doubled := sorted(reader.doubled & mapping.columns):
        raise MappingError(
            f"The column {doubled[0]!r} stands twice in the header: rename the one that is not meant."
        )
    rows, looked_at, usable, latest = 0, 0, 0, ""
    first_reason = ""
    if not mapping.rows:
        for row in islice(reader.rows(), limit):
            rows += 1
            if mapping.latest and row.cells is not None:
                latest = max(latest, bound.placed_at(row.cells, row.number) or "")
    for unit in units(reader, bound, limit):
        looked_at += len(unit.rows)
        usable += unit.documents is not None
        first_reason = first_reason or unit.refusal
        if not mapping.rows and (usable or looked_at >= HOPELESS_ROWS):
            break
    if looked_at and not usable and looked_at >= min(HOPELESS_ROWS, 10):
        raise MappingError(
            f"Not one of the first {looked_at} rows can be read with the mapping {mapping.name!r}. The first"
            f" one says: {first_reason}"
        )
    return Survey(rows or looked_at, datetime.fromisoformat(latest).date() if latest else None)


async def import_file(
    plan: ImportPlan,
    *,
    total: Callable[[int, int], None] = lambda rows, done: None,
    advance: Callable[[int], None] = lambda rows: None,
    waiting: Callable[[str], None] = lambda reason: None,
) -> Outcome:
    """Import a file. `total(rows, already done)` and `advance(rows)` report progress, `waiting` an outage.

    Raises FileUnreadable, MappingError, ImportAborted.
    """
    if plan.rejects.resolve() == plan.file.resolve():
        raise MappingError(f"{plan.file} cannot take its own rejects: say another file with --rejects.")
    reader = RowReader(plan.file, plan.mapping.layout)
    start, done = _start(plan, reader)
    outcome = Outcome(shift_days=start.shift_days)
    if done is not None:
        outcome.go_on_from(done.counts)
    total(survey(reader, plan.mapping, plan.limit).rows, outcome.rows)
    run = _Run(plan, reader, start, done, outcome, advance)
    sender = plan.sender(waiting)
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
        self._rejects = Rejects(plan.rejects, reader.header)
        self._rejects.begin(outcome.rejected_rows)
        self._journal = Journal(plan.journal)
        self._journal.begin(start, done)

    def close(self) -> None:
        self._rejects.close()
        self._journal.close()

    async def all(self, sender: Sender) -> None:
        """Post every batch that is not done, a few at a time, and note them in the order of the file."""
        under_way: deque[tuple[Batch, asyncio.Task[_Results]]] = deque()
        found = units(self._reader, self._bound, self._plan.limit)
        try:
            for batch in batches(found, self._plan.batch_rows):
                if batch.number < self._first:
                    continue
                # What a customer did is told in the order of the file, whatever else is under way.
                before = [
                    task for other, task in under_way if not other.customers.isdisjoint(batch.customers)
                ]
                under_way.append((batch, asyncio.create_task(self._posted(sender, batch, before))))
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

    async def _posted(
        self, sender: Sender, batch: Batch, before: "list[asyncio.Task[_Results]]"
    ) -> "_Results":
        """Post the documents of a batch, then what is said about them; results by kind and unit."""
        if before:
            await asyncio.wait(before)
        key = f"import-{self._run}-{batch.number}"
        results: _Results = {}
        for kind, documents in _documents_of(batch):
            # A second word about an order is of no use where the first was refused.
            said = {
                index: document
                for index, document in documents.items()
                if not _is_refused(results.get((MAIN, index)))
            }
            if not said:
                continue
            route = ROUTES[self._plan.mapping.kind if kind == MAIN else kind]
            suffix = "" if kind == MAIN else f"-{kind}"
            answers = await sender.post(route, list(said.values()), key + suffix)
            results |= {(kind, index): answer for index, answer in zip(said, answers, strict=True)}
        return results

    async def _settle(self, under_way: "deque[tuple[Batch, asyncio.Task[_Results]]]") -> None:
        """Wait for the oldest batch and note it: rejects first, so that the journal vouches for them."""
        batch, task = under_way[0]
        results = await task
        under_way.popleft()
        rejects: list[Reject] = []
        for index, unit in enumerate(batch.units):
            rejects += self._noted(unit, index, results)
        rejects.sort(key=lambda reject: reject.line)
        self._rejects.add(rejects)
        outcome = self._outcome
        outcome.rows += batch.row_count
        outcome.rejected_rows += len(rejects)
        self._journal.committed(Done(batch.number + 1, outcome.counts()))
        self._advance(batch.row_count)

    def _noted(self, unit: Unit, index: int, results: "_Results") -> list[Reject]:
        """Count what became of a unit; return a reject for each of its rows if it was refused."""
        outcome = self._outcome
        code, reason = "unreadable_row", unit.refusal
        if unit.documents is not None and unit.documents.is_pending:
            outcome.pending += 1
            return []
        if unit.documents is not None:
            answers = {kind: results[kind, index] for kind in (MAIN, *SAID_AFTER) if (kind, index) in results}
            refused = [
                answer
                for kind, answer in answers.items()
                if _is_refused(answer) and not _is_known(kind, answer)
            ]
            if not refused:
                changed = {kind for kind, answer in answers.items() if answer["status"] == "accepted"}
                outcome.accepted += bool(changed)
                outcome.unchanged += not changed
                outcome.cancelled += "cancellation" in changed
                outcome.refunded += "refund" in changed
                return []
            code, reason = described(refused[0]["problem"])
        outcome.rejected += 1
        outcome.codes[code] += 1
        return [Reject(row.line, row.number, code, reason, row.raw) for row in unit.rows]


MAIN = "main"
SAID_AFTER = ("cancellation", "refund", "delivery")

_Results = dict[tuple[str, int], dict[str, Any]]
"""Answers by kind of document and position of the unit in its batch."""


def _documents_of(batch: Batch) -> list[tuple[str, dict[int, dict[str, Any]]]]:
    """The documents of a batch by kind, in the order in which they are posted, by position of the unit."""
    found: dict[str, dict[int, dict[str, Any]]] = {kind: {} for kind in (MAIN, *SAID_AFTER)}
    for index, unit in enumerate(batch.units):
        documents = unit.documents
        if documents is None:
            continue
        for kind, document in (
            (MAIN, documents.main),
            ("cancellation", documents.cancellation),
            ("refund", documents.refund),
            ("delivery", documents.delivery),
        ):
            if document is not None:
                found[kind][index] = document
    return list(found.items())


def _is_refused(answer: dict[str, Any] | None) -> bool:
    return answer is not None and answer["status"] == "refused"


def _is_known(kind: str, answer: dict[str, Any]) -> bool:
    return kind != MAIN and answer["problem"].get("code") == KNOWN_ALREADY[kind]


def described(problem: dict[str, Any]) -> tuple[str, str]:
    """(code, reason) of a refused order: every fault that the problem document names."""
    code = str(problem.get("code", "refused"))
    faults = [
        f"{fault.get('pointer', '')}: {fault.get('message', '')}" for fault in problem.get("errors", ())
    ]
    return code, "; ".join(faults) or str(problem.get("detail") or problem.get("title") or code)
