"""The runner of timed work says that it turns, however seldom the work itself comes."""

import asyncio
from contextlib import suppress

import pytest

from shared import jobs
from shared.database import Database
from shared.jobs import Job, run_job
from shared.testing import eventually

# Never connected to: the work below has no statement.
NOWHERE = "postgresql://127.0.0.1:1/none"


@pytest.mark.parametrize("outcome", ["rests", "fails"])
async def test_a_job_that_runs_once_an_hour_is_alive_in_between(
    outcome: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "BEAT_SECONDS", 0.01)
    runs: list[None] = []
    beats: list[None] = []

    async def work(database: Database) -> int:
        runs.append(None)
        if outcome == "fails":
            raise ValueError("on purpose")
        return 0

    database = Database(NOWHERE, pool_size=1)
    task = asyncio.create_task(run_job(Job("hourly", 3600.0, work), database, lambda: beats.append(None)))
    try:
        await eventually(lambda: len(beats) > 5)
        assert len(runs) == 1
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await database.close()
