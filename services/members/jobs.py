"""Timed work of members."""

from services.members import operations
from services.members.settings import settings
from shared.database import Database
from shared.jobs import Jobs

__all__ = ["jobs"]

jobs = Jobs()


@jobs.every(5.0)
async def apply_parked(database: Database) -> int:
    """Apply refunds and cancellations that crossed their order on the way."""
    async with database.transaction() as session:
        return await operations.apply_parked(session, limit=settings().job_batch_rows)


@jobs.every(2.0)
async def rejudge_members(database: Database) -> int:
    """Move members after the tier table changed."""
    async with database.transaction() as session:
        return await operations.rejudge_members(session, limit=settings().rejudge_batch_members)


@jobs.every(30.0)
async def look_at_tiers(database: Database) -> int:
    """Prolong and lower tiers whose period, grace or lock is over."""
    async with database.transaction() as session:
        return await operations.look_at_tiers(session, limit=settings().rejudge_batch_members)


@jobs.every(30.0)
async def judge_stages(database: Database) -> int:
    """Move members whose lifecycle stage time alone has changed, or whose history has come."""
    async with database.transaction() as session:
        return await operations.judge_stages(session, limit=settings().rejudge_batch_members)


@jobs.every(10.0)
async def sweep_stages(database: Database) -> int:
    """Carry new rules of the lifecycle to the members there are."""
    async with database.transaction() as session:
        return await operations.sweep_stages(session, limit=settings().rejudge_batch_members)


@jobs.every(60.0)
async def drop_expired_tags(database: Database) -> int:
    """Take away tags whose time is over."""
    async with database.transaction() as session:
        return await operations.drop_expired_tags(session, limit=settings().job_batch_rows)


@jobs.every(60.0)
async def celebrate_birthdays(database: Database) -> int:
    """Say whose birthday has begun where they live."""
    async with database.transaction() as session:
        return await operations.celebrate_birthdays(session, limit=settings().job_batch_rows)


@jobs.every(5.0)
async def fold_tallies(database: Database) -> int:
    """Keep the summary cheap: one row per figure instead of one per batch and figure."""
    async with database.transaction() as session:
        return await operations.fold_tallies(session, limit=settings().job_batch_rows)
