"""Group commit: batches form under load, refusals stay with their command, and the queue has an end."""

import asyncio
from collections.abc import Sequence

import asyncpg
import pytest

from shared.group_commit import COMPANY, LANE_COMMANDS, GroupCommit
from shared.problems import Overloaded, Refusal


class Odd(Refusal):
    """Only even numbers are doubled."""


def doubling(batches: list[int], gate: asyncio.Event, **limits: int) -> GroupCommit[int, int]:
    """Return a group that doubles even numbers and waits for the gate before each batch."""

    async def execute(commands: Sequence[int]) -> list[int | Refusal]:
        await gate.wait()
        if 13 in commands:
            raise ValueError("13 breaks the whole batch")
        if 99 in commands:
            raise ConnectionResetError
        batches.append(len(commands))
        return [Odd() if command % 2 else command * 2 for command in commands]

    return GroupCommit(
        execute, name="doubling", max_batch=limits.get("batch", 64), max_queue=limits.get("queue", 512)
    )


async def test_what_arrives_meanwhile_becomes_the_next_batch() -> None:
    batches: list[int] = []
    gate = asyncio.Event()
    group = doubling(batches, gate)
    waiting = [asyncio.create_task(group.submit(n * 2)) for n in range(200)]
    await asyncio.sleep(0)
    gate.set()
    assert await asyncio.gather(*waiting) == [n * 4 for n in range(200)]
    assert sum(batches) == 200
    assert len(batches) <= 5


async def test_a_refusal_reaches_its_own_caller_only() -> None:
    gate = asyncio.Event()
    gate.set()
    group = doubling([], gate)
    answers = await asyncio.gather(*(group.submit(n) for n in range(10)), return_exceptions=True)
    assert [isinstance(answer, Odd) for answer in answers] == [n % 2 == 1 for n in range(10)]


async def test_a_command_that_breaks_the_batch_does_not_break_its_neighbours() -> None:
    gate = asyncio.Event()
    gate.set()
    group = doubling([], gate)
    numbers = [2, 4, 13, 6, 8]
    answers = await asyncio.gather(*(group.submit(n) for n in numbers), return_exceptions=True)
    assert [answer for answer in answers if isinstance(answer, int)] == [4, 8, 12, 16]
    assert isinstance(answers[2], ValueError)


async def test_a_batch_that_was_sacrificed_is_tried_again_and_not_for_ever() -> None:
    sacrifices = [2]

    async def execute(commands: Sequence[int]) -> list[int | Refusal]:
        if sacrifices[0]:
            sacrifices[0] -= 1
            raise asyncpg.DeadlockDetectedError
        return list(commands)

    group = GroupCommit(execute, name="doubling", max_batch=64, max_queue=512)
    assert await asyncio.gather(group.submit(1), group.submit(2)) == [1, 2]
    sacrifices[0] = 1_000
    with pytest.raises(asyncpg.DeadlockDetectedError):
        await group.submit(1)


async def test_an_outage_reaches_every_caller_of_the_batch_once() -> None:
    gate = asyncio.Event()
    gate.set()
    group = doubling([], gate)
    answers = await asyncio.gather(*(group.submit(n) for n in (2, 99, 4)), return_exceptions=True)
    assert all(isinstance(answer, ConnectionResetError) for answer in answers)
    assert await group.submit(2) == 4


async def test_beyond_the_queue_limit_callers_are_turned_away_at_once() -> None:
    gate = asyncio.Event()
    group = doubling([], gate, batch=1, queue=3)
    waiting = [asyncio.create_task(group.submit(2)) for _ in range(3)]
    await asyncio.sleep(0)
    # One is in the database by now or about to be; fill up whatever room is left.
    turned_away = 0
    for _ in range(3):
        task = asyncio.create_task(group.submit(2))
        await asyncio.sleep(0)
        if task.done() and isinstance(task.exception(), Overloaded):
            turned_away += 1
        else:
            waiting.append(task)
    assert turned_away >= 1
    gate.set()
    assert await asyncio.gather(*waiting) == [4] * len(waiting)


async def test_a_caller_that_hangs_up_does_not_disturb_the_others() -> None:
    gate = asyncio.Event()
    group = doubling([], gate)
    gone = asyncio.create_task(group.submit(2))
    stays = asyncio.create_task(group.submit(4))
    await asyncio.sleep(0)
    gone.cancel()
    gate.set()
    assert await stays == 8
    with pytest.raises(asyncio.CancelledError):
        await gone


async def test_where_enough_waits_for_a_batch_of_its_own_two_run_side_by_side() -> None:
    batches: list[int] = []
    gates = [asyncio.Event() for _ in range(3)]

    async def execute(commands: Sequence[int]) -> list[int | Refusal]:
        batches.append(len(commands))
        await gates[len(batches) - 1].wait()
        return list(commands)

    async def waits_for(group: GroupCommit[int, int], count: int) -> list[asyncio.Task[int]]:
        tasks = [asyncio.create_task(group.submit(n)) for n in range(count)]
        for _ in range(5):
            await asyncio.sleep(0)
        return tasks

    group = GroupCommit(execute, name="doubling", max_batch=64, max_queue=512)
    first = await waits_for(group, 1)
    few = await waits_for(group, LANE_COMMANDS - 1)
    assert batches == [1]
    one_more = await waits_for(group, 1)
    assert batches == [1, LANE_COMMANDS]
    many = await waits_for(group, LANE_COMMANDS)
    assert batches == [1, LANE_COMMANDS]
    gates[1].set()
    await asyncio.gather(*few, *one_more)
    await waits_for(group, 0)
    assert batches == [1, LANE_COMMANDS, LANE_COMMANDS]
    gates[0].set()
    gates[2].set()
    await asyncio.gather(*first, *many)
    await group.close()


async def test_few_that_come_steadily_wait_for_company_and_one_alone_does_not() -> None:
    batches: list[int] = []

    async def execute(commands: Sequence[int]) -> list[int | Refusal]:
        batches.append(len(commands))
        return list(commands)

    # So long that whoever waited for it would show.
    group = GroupCommit(execute, name="doubling", max_batch=64, max_queue=512, linger_seconds=2)
    assert await group.submit(1) == 1
    assert batches == [1]
    first = asyncio.create_task(group.submit(2))
    for _ in range(5):
        await asyncio.sleep(0)
    assert batches == [1]
    assert await asyncio.gather(first, group.submit(3)) == [2, 3]
    assert batches == [1, 2]
    many = [asyncio.create_task(group.submit(n)) for n in range(COMPANY)]
    for _ in range(5):
        await asyncio.sleep(0)
    assert batches == [1, 2, COMPANY]
    await asyncio.gather(*many)


async def test_whoever_is_alone_is_not_kept_waiting_for_company_for_long() -> None:
    async def execute(commands: Sequence[int]) -> list[int | Refusal]:
        return list(commands)

    group = GroupCommit(execute, name="doubling", max_batch=64, max_queue=512, linger_seconds=0.02)
    kept = 0
    for number in range(120):
        task = asyncio.create_task(group.submit(number))
        for _ in range(10):
            await asyncio.sleep(0)
        kept += not task.done()
        await task
    # After waits in vain of 0, 1, 3, 7, 15, 31 and 63 batches without one.
    assert kept <= 7
