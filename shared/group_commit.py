"""Group commit: commands that arrive while a batch is in the database become the next batch.

One transaction then pays for many commands, which is where the throughput of hot single-item routes
comes from (Gray, "Group commit", 1985; PostgreSQL's own `commit_delay` is the same idea one level down).

One batch keeps either this process or the database busy, hardly ever both. So where enough has come for a
batch of its own, that one does not wait for the one before. Where commands come steadily but few at a time, a
batch waits a moment for company instead (PostgreSQL's `commit_siblings` asks whether that is worth it): a
transaction for each is what would keep both busy, and let everybody wait longer.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Generic, NamedTuple, TypeVar

from shared import metrics
from shared.database import is_outage, is_transient
from shared.problems import Overloaded, Refusal

__all__ = ["GroupCommit"]

C = TypeVar("C")
R = TypeVar("R")

# Batches side by side, and the commands that the second is worth: a transaction costs as much as a dozen.
LANES: Final = 2
LANE_COMMANDS: Final = 16

# How many commands no longer wait for company, and how many batches at most go without asking for any after
# none has come: somebody who sends one command after the other is alone.
COMPANY: Final = 8
MAX_UNASKED: Final = 63

# How often a batch is tried again that PostgreSQL gave up in favour of another transaction.
MAX_SACRIFICES: Final = 3


class _Waiting(NamedTuple, Generic[C, R]):
    command: C
    answer: "asyncio.Future[R]"


class GroupCommit(Generic[C, R]):
    """Collects commands and runs them as batches: one after the other, or two at once where many wait.

    `execute` takes up to `max_batch` commands, commits them, and returns one result or `Refusal` per
    command, in order. Beyond `max_queue` waiting commands `submit` refuses with `Overloaded` (503). A few
    commands that come within `linger_seconds` of the batch before wait that long for more.
    """

    def __init__(
        self,
        execute: Callable[[Sequence[C]], Awaitable[Sequence[R | Refusal]]],
        *,
        name: str,
        max_batch: int,
        max_queue: int,
        linger_seconds: float = 0.0,
    ) -> None:
        self._execute = execute
        self._name = name
        self._max_batch = max_batch
        self._max_queue = max_queue
        self._linger_seconds = linger_seconds
        self._ended = -linger_seconds
        # Batches to go without asking for company, as of when none came last, and how many of them are left.
        self._unasked = self._unasked_left = 0
        self._waiting: list[_Waiting[C, R]] = []
        self._lanes: set[asyncio.Task[None]] = set()

    async def submit(self, command: C) -> R:
        """Run one command in the next batch; raise its `Refusal`, or the batch's outage."""
        if len(self._waiting) >= self._max_queue:
            metrics.GROUP_COMMIT_OVERLOADED.labels(self._name).inc()
            raise Overloaded("Too many commands are waiting; try again shortly.")
        answer: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(command, answer))
        if not self._lanes or (len(self._lanes) < LANES and len(self._waiting) >= LANE_COMMANDS):
            self._lanes.add(asyncio.create_task(self._drain(), name=f"group-commit-{self._name}"))
        return await answer

    async def close(self) -> None:
        """Wait until everything that was accepted has its answer."""
        while self._lanes:
            await asyncio.wait(self._lanes)

    async def _drain(self) -> None:
        """Run batches as long as there is something for this lane to do."""
        lane = asyncio.current_task()
        assert lane is not None
        try:
            while self._waiting:
                await self._gather()
                batch, self._waiting = self._waiting[: self._max_batch], self._waiting[self._max_batch :]
                metrics.GROUP_COMMIT_QUEUE.labels(self._name).set(len(self._waiting))
                if batch:
                    metrics.GROUP_COMMIT_BATCH.labels(self._name).observe(len(batch))
                    with metrics.GROUP_COMMIT_DURATION.labels(self._name).time():
                        await self._settle(batch)
                    self._ended = time.monotonic()
                if len(self._lanes) > 1 and len(self._waiting) < LANE_COMMANDS:
                    return
        finally:
            self._lanes.discard(lane)

    async def _gather(self) -> None:
        """Let further commands join those that wait."""
        few = len(self._waiting)
        if self._asks_for_company():
            await asyncio.sleep(self._linger_seconds)
            came = len(self._waiting) > few
            self._unasked = self._unasked_left = 0 if came else min(2 * self._unasked + 1, MAX_UNASKED)
        else:
            # Every request that is ready on this turn of the loop.
            await asyncio.sleep(0)

    def _asks_for_company(self) -> bool:
        if len(self._waiting) >= COMPANY or time.monotonic() - self._ended >= self._linger_seconds:
            return False
        if self._unasked_left:
            self._unasked_left -= 1
            return False
        return True

    async def _settle(self, batch: list[_Waiting[C, R]], sacrifices: int = 0) -> None:
        """Execute a batch; if it fails for a reason of its own, halve it to spare the neighbours."""
        results: Sequence[R | Exception]
        try:
            results = await self._execute([waiting.command for waiting in batch])
        except Exception as error:
            if is_transient(error) and sacrifices < MAX_SACRIFICES:
                await self._settle(batch, sacrifices + 1)
                return
            if len(batch) > 1 and not is_outage(error):
                middle = len(batch) // 2
                await self._settle(batch[:middle])
                await self._settle(batch[middle:])
                return
            results = [error] * len(batch)
        for waiting, result in zip(batch, results, strict=True):
            _answer(waiting.answer, result)


def _answer(answer: "asyncio.Future[R]", result: R | Exception) -> None:
    # A caller that hung up has cancelled its future; its command has happened all the same.
    if answer.done():
        return
    if isinstance(result, Exception):
        answer.set_exception(result)
    else:
        answer.set_result(result)
