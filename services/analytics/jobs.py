"""Timed work of analytics."""

from datetime import timedelta

from services.analytics import operations
from services.analytics.settings import settings
from shared.clock import utc_now
from shared.database import Database
from shared.jobs import Jobs

__all__ = ["jobs"]

jobs = Jobs()


@jobs.every(3600.0)
async def verify_recent_days(database: Database) -> int:
    """Compare the latest days with their facts; there is nothing to work off, so no second call at once."""
    since = utc_now().date() - timedelta(days=settings().verify_recent_days)
    async with database.reading() as session:
        await operations.verify_recent(session, since)
    return 0
