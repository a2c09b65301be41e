"""Timed work of points. Nothing depends on its being on time: every read and write judges expiry itself."""

import asyncio

from services.points import operations
from services.points.settings import settings
from shared.database import Database
from shared.jobs import Jobs

jobs = Jobs()


@jobs.every(5.0)
async def expire_points(database: Database) -> int:
    """Expire lots that have passed their date, a chunk of accounts at a time in each lane."""
    async with asyncio.TaskGroup() as lanes:
        chunks = [lanes.create_task(_expire_chunk(database)) for _ in range(settings().expiry_lanes)]
    return sum(chunk.result() for chunk in chunks)


async def _expire_chunk(database: Database) -> int:
    async with database.transaction() as session:
        return await operations.expire(session, limit=settings().expiry_chunk_accounts)


@jobs.every(10.0)
async def mature_early_deliveries(database: Database) -> int:
    """Let points mature whose order was heard to be delivered before it was heard to be paid."""
    async with database.transaction() as session:
        return await operations.deliver_early(session, limit=settings().expiry_chunk_accounts)


@jobs.every(10.0)
async def apply_overtaken_refunds(database: Database) -> int:
    """Apply refunds that were parked while their order was earning under another id of its member."""
    async with database.transaction() as session:
        return await operations.apply_overtaken(session, limit=1000)


@jobs.every(60.0)
async def lapse_adjustments(database: Database) -> int:
    """Let proposals lapse that nobody has approved or rejected in time."""
    async with database.transaction() as session:
        return await operations.lapse_adjustments(session, limit=1000)


@jobs.every(10.0)
async def audit_ledger(database: Database) -> int:
    """Compare the next stretch of accounts, and of lots, with what the entries say.

    Never says that there is more to do: the audit goes round and round, at a pace that nobody notices.
    """
    for what in operations.AUDITED:
        async with database.reading() as session:
            part = await operations.audit_next(session, what, rows=settings().audit_slice_accounts)
        async with database.transaction() as session:
            await operations.note_audit(session, what, part)
    return 0


@jobs.every(30.0)
async def prepare_rounds(database: Database) -> int:
    """Commit to the next round of every lottery before it begins."""
    async with database.transaction() as session:
        return await operations.prepare_due_rounds(session)


@jobs.every(2.0)
async def run_back_tests(database: Database) -> int:
    """Go on with the oldest back-test under way, a chunk of accounts at a time."""
    async with database.transaction() as session:
        return await operations.advance_back_test(session, accounts=settings().back_test_accounts)


@jobs.every(30.0)
async def forfeit_erased(database: Database) -> int:
    """Take what came to erased members after they were erased, such as from an order that was late."""
    async with database.transaction() as session:
        return await operations.forfeit_erased(session, limit=settings().expiry_chunk_accounts)
