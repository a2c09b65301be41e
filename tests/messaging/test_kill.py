"""A dispatcher killed in the middle of its work: nothing is lost, and hardly anything is sent twice."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import text

from services.messaging import operations
from services.messaging.handlers import handlers
from shared.database import Database
from shared.testing import eventually
from tests.messaging.people import consent, envelope, member, profile, upgrade
from tests.messaging.sink import Sink, free_port

MESSAGES = 300
# What may be on the wire at once: lanes times the messages of a wave.
WAVE, LANES = 8, 2
ROOT = Path(__file__).parents[2]


@contextmanager
def worker(database: Database, sink: Sink) -> Iterator[subprocess.Popen[bytes]]:
    """The service as a process of its own, sending to the sink."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "REGULARS_DATABASE_URL": database.url,
        "REGULARS_MESSAGING_SMTP_PORT": str(sink.port),
        "REGULARS_MESSAGING_SMTP_CONNECTIONS": "4",
        "REGULARS_MESSAGING_DISPATCH_WAVE_MESSAGES": str(WAVE),
        "REGULARS_MESSAGING_DISPATCH_LANES": str(LANES),
        "REGULARS_MESSAGING_DISPATCH_LEASE_SECONDS": "2",
        "REGULARS_READINESS_PAUSE_SECONDS": "0",
    }
    command = [sys.executable, "-m", "services.messaging", "--role", "worker", "--port", str(free_port())]
    process = subprocess.Popen(command, env=environment, cwd=ROOT, stdout=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


async def plan(database: Database, purpose: str) -> None:
    people = [member(number) for number in range(MESSAGES)]
    async with database.transaction() as session:
        await session.execute(text("UPDATE triggers SET purpose = :purpose"), {"purpose": purpose})
        await handlers.dispatch(
            session, [envelope(profile(person, consents=[consent(True)])) for person in people]
        )
        await handlers.dispatch(session, [envelope(upgrade(person)) for person in people])


async def states(database: Database) -> dict[str, int]:
    async with database.reading() as session:
        counts: dict[str, int] = (await operations.summarise(session))["messages"]
        return counts


async def kill_in_the_middle(database: Database, sink: Sink) -> None:
    with worker(database, sink) as process:
        await eventually(lambda: len(sink.mails) >= MESSAGES // 5, deadline_seconds=60)
        process.kill()
        process.wait()
    assert (await states(database)).get("accepted", 0) < MESSAGES
    # What the sink still had in its hands is taken by now.
    await asyncio.to_thread(sink.stop)
    sink.start()
    with worker(database, sink):
        await eventually(is_drained(database), deadline_seconds=60)


def is_drained(database: Database) -> Callable[[], object]:
    async def drained() -> bool:
        async with database.reading() as session:
            return await operations.count_open(session) == 0

    return drained


@pytest.mark.kill
@pytest.mark.slow
async def test_service_messages_all_arrive(messaging_database: Database, sink: Sink) -> None:
    await plan(messaging_database, "service")
    await kill_in_the_middle(messaging_database, sink)
    assert await states(messaging_database) == {"accepted": MESSAGES}
    assert len(sink.message_ids) == MESSAGES
    assert len(sink.mails) - MESSAGES <= WAVE * LANES
    async with messaging_database.reading() as session:
        said = await session.scalar(text("SELECT count(*) FROM outbox WHERE type = 'message.sent'"))
    assert said == MESSAGES


@pytest.mark.kill
@pytest.mark.slow
async def test_marketing_never_arrives_twice(messaging_database: Database, sink: Sink) -> None:
    await plan(messaging_database, "marketing")
    await kill_in_the_middle(messaging_database, sink)
    counts = await states(messaging_database)
    assert counts["accepted"] + counts.get("unknown", 0) == MESSAGES
    assert counts.get("unknown", 0) <= WAVE * LANES
    assert max(sink.message_ids.values()) == 1
    assert len(sink.mails) >= counts["accepted"]
