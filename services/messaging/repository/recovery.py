"""Statements that find what was left behind: claims and submissions of the dead, and what grew too old."""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from services.messaging.repository.messages import STANDING_COLUMNS, Standing, standing_of

__all__ = ["expire_old", "give_up_claims", "lost_submissions"]

GIVE_UP_CLAIMS = text(
    """
    UPDATE messages m SET state = 'queued', epoch = m.epoch + 1, lease_until = NULL
    FROM (SELECT id FROM messages
          WHERE state = 'claimed' AND lease_until <= clock_timestamp()
          ORDER BY id LIMIT :limit FOR UPDATE SKIP LOCKED) AS lost
    WHERE m.id = lost.id
    """
)
LOST_SUBMISSIONS = text(
    f"""
    SELECT {STANDING_COLUMNS} FROM messages m
    WHERE m.state = 'submitted' AND m.lease_until <= clock_timestamp()
    ORDER BY m.id LIMIT :limit FOR UPDATE SKIP LOCKED
    """  # noqa: S608 - constants only
)
OLD_ONES = text(
    f"""
    SELECT {STANDING_COLUMNS} FROM messages m
    WHERE m.state = 'queued'
      AND m.planned_at <= clock_timestamp() - make_interval(secs => :lifetime_seconds)
    ORDER BY m.id LIMIT :limit FOR UPDATE SKIP LOCKED
    """  # noqa: S608 - constants only
)


async def give_up_claims(session: AsyncSession, *, limit: int) -> int:
    """Put back claimed messages whose dispatcher is gone: they were certainly not sent."""
    result = await session.execute(GIVE_UP_CLAIMS, {"limit": limit})
    return int(getattr(result, "rowcount", 0))


async def lost_submissions(session: AsyncSession, *, limit: int) -> list[Standing]:
    """Lock submitted messages whose dispatcher is gone: nobody knows whether they were sent."""
    return [standing_of(row) for row in await session.execute(LOST_SUBMISSIONS, {"limit": limit})]


async def expire_old(session: AsyncSession, *, lifetime_seconds: int, limit: int) -> list[Standing]:
    """Lock queued messages that were put off until they grew too old."""
    result = await session.execute(OLD_ONES, {"lifetime_seconds": lifetime_seconds, "limit": limit})
    return [standing_of(row) for row in result]
