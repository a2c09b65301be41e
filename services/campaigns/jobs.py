"""Timed work of campaigns. Nothing depends on it being on time: whoever reads or writes judges the clock."""

from services.campaigns import operations
from services.campaigns.operations import figures
from services.campaigns.settings import settings
from shared.database import Database
from shared.jobs import Jobs

jobs = Jobs()


@jobs.every(0.25)
async def decide_groups(database: Database) -> int:
    """Decide groups at their deadline."""
    async with database.transaction() as session:
        return await operations.decide_due_groups(session, settings().deadline_chunk_groups)


@jobs.every(0.5)
async def lapse_holds(database: Database) -> int:
    """Give back seats that were held and not paid."""
    async with database.transaction() as session:
        return await operations.lapse_holds(session, settings().lapse_chunk_seats)


@jobs.every(1.0)
async def end_activities(database: Database) -> int:
    """Announce activities that have ended."""
    async with database.transaction() as session:
        return await operations.end_activities(session, settings().activity_chunk)


@jobs.every(5.0)
async def issue_parked_coupons(database: Database) -> int:
    """Issue coupons whose promotion was defined after they were granted."""
    async with database.transaction() as session:
        return await operations.issue_parked(session, settings().lapse_chunk_seats)


@jobs.every(60.0)
async def decline_lapsed_coupons(database: Database) -> int:
    """Decline coupons whose promotion nobody has defined in time, so that the points go back."""
    async with database.transaction() as session:
        return await operations.decline_lapsed(
            session, hours=settings().parked_reward_hours, limit=settings().lapse_chunk_seats
        )


@jobs.every(5.0)
async def measure_money(database: Database) -> int:
    """Show captured but undecided money, and how long refund requests wait for their answer."""
    async with database.reading() as session:
        await figures.measure(session)
    return 0
