"""The timed work of messaging: sending, delivering, and picking up what was left behind."""

from services.messaging import operations
from services.messaging.channels import opened
from services.messaging.jobs.dispatch import deliver, dispatch
from services.messaging.settings import settings
from shared.database import Database
from shared.jobs import Jobs

__all__ = ["jobs"]

jobs = Jobs()

# Rows per transaction of the jobs that tidy up; small, because each holds the rows' locks.
CHUNK_ROWS = 1000


@jobs.every(0.2)
async def dispatch_email(database: Database) -> int:
    """Send the e-mails that are due."""
    return await dispatch(database, opened(), "email", settings())


@jobs.every(0.5)
async def dispatch_webhook(database: Database) -> int:
    """Send the messages that go to webhooks."""
    return await dispatch(database, opened(), "webhook", settings())


@jobs.every(0.5)
async def dispatch_log(database: Database) -> int:
    """Log the messages that go to the log."""
    return await dispatch(database, opened(), "log", settings())


@jobs.every(0.5)
async def deliver_webhooks(database: Database) -> int:
    """Tell webhooks of events."""
    return await deliver(database, opened(), settings())


@jobs.every(1.0)
async def replan_held(database: Database) -> int:
    """Let held messages go on, or drop those whose profile never came."""
    async with database.transaction() as session:
        return await operations.replan(session, limit=CHUNK_ROWS)


@jobs.every(1.0)
async def recover_messages(database: Database) -> int:
    """Take over what dead dispatchers left behind."""
    async with database.transaction() as session:
        return await operations.recover(session, limit=CHUNK_ROWS)


@jobs.every(2.0)
async def recover_deliveries(database: Database) -> int:
    """Take over deliveries of dead dispatchers and of webhooks that are off."""
    async with database.transaction() as session:
        return await operations.recover_deliveries(session, limit=CHUNK_ROWS)
