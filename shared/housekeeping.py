"""Jobs every service has: retried dead letters, and platform rows that have served their time."""

from datetime import timedelta

from shared import idempotency, inbox, outbox
from shared.clock import utc_now
from shared.consumer import Consumer
from shared.database import Database
from shared.jobs import Job
from shared.settings import ServiceSettings

__all__ = ["housekeeping_jobs"]

# Rows deleted per transaction: few enough to hold no lock for long, many enough to keep up with intake.
PRUNE_ROWS = 10_000
PRUNE_EVERY_SECONDS = 60.0
RETRY_EVERY_SECONDS = 3.0


def housekeeping_jobs(settings: ServiceSettings, consumer: Consumer) -> list[Job]:
    """Return the jobs that keep the platform tables of one service in order."""

    async def retry_dead_letters(database: Database) -> int:
        return await consumer.retry_dead_letters()

    async def prune_outbox(database: Database) -> int:
        before = utc_now() - timedelta(seconds=settings.outbox_retention_seconds)
        async with database.transaction() as session:
            return await outbox.prune(session, before=before, limit=PRUNE_ROWS)

    async def prune_inbox(database: Database) -> int:
        before = utc_now() - timedelta(seconds=settings.inbox_retention_seconds)
        async with database.transaction() as session:
            return await inbox.prune(session, before=before, limit=PRUNE_ROWS)

    async def prune_idempotency(database: Database) -> int:
        before = utc_now() - timedelta(seconds=settings.idempotency_retention_seconds)
        async with database.transaction() as session:
            return await idempotency.prune(session, before=before, limit=PRUNE_ROWS)

    return [
        Job("retry_dead_letters", RETRY_EVERY_SECONDS, retry_dead_letters),
        Job("prune_outbox", PRUNE_EVERY_SECONDS, prune_outbox),
        Job("prune_inbox", PRUNE_EVERY_SECONDS, prune_inbox),
        Job("prune_idempotency", PRUNE_EVERY_SECONDS, prune_idempotency),
    ]
