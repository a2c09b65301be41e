"""Timed work of points. Nothing depends on its being on time: every read and write judges expiry itself."""

from services.points import operations
from services.points.settings import settings
from shared.database import Database
from shared.jobs import Jobs

jobs = Jobs()


@jobs.every(5.0)
async def expire_points(database: Database) -> int:
    """Expire lots that have passed their date, a chunk of accounts at a time."""
    async with database.transaction() as session:
        return await operations.expire(session, limit=settings().expiry_chunk_accounts)
