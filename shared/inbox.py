"""Which events this service has already applied: the claim that turns at-least-once into exactly-once."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import Column, DateTime, Index, MetaData, Table, Uuid, text
from sqlalchemy.ext.asyncio import AsyncSession

__all__ = ["claim", "inbox_table", "prune"]


def inbox_table(metadata: MetaData) -> Table:
    """Declare the inbox: one row per event this service has applied."""
    return Table(
        "inbox",
        metadata,
        Column("event_id", Uuid, primary_key=True),
        Column(
            "received_at", DateTime(timezone=True), nullable=False, server_default=text("clock_timestamp()")
        ),
        Index("ix_inbox_received_at", "received_at"),
    )


# Nearly always every event is new, and then their number says it all.
CLAIM = text(
    """
    WITH claimed AS (
        INSERT INTO inbox (event_id)
        SELECT event_id FROM unnest(CAST(:event_ids AS uuid[])) AS asked(event_id) ORDER BY event_id
        ON CONFLICT (event_id) DO NOTHING
        RETURNING event_id
    )
    SELECT CASE WHEN count(*) < :asked THEN coalesce(array_agg(event_id), '{}') END FROM claimed
    """
)

PRUNE = text(
    """
    DELETE FROM inbox
    WHERE event_id IN (SELECT event_id FROM inbox WHERE received_at < :before LIMIT :limit)
    """
)


async def claim(session: AsyncSession, event_ids: Sequence[UUID]) -> set[UUID]:
    """Claim the events for this transaction and return the ids nobody had claimed before.

    The rows are inserted in id order, so that two consumers with overlapping batches wait for each other
    instead of deadlocking. A claim by a transaction that rolls back is no claim.
    """
    if not event_ids:
        return set()
    asked = {"event_ids": event_ids, "asked": len(event_ids)}
    claimed = (await session.execute(CLAIM, asked)).scalar_one()
    return set(event_ids if claimed is None else claimed)


async def prune(session: AsyncSession, *, before: datetime, limit: int) -> int:
    """Forget up to `limit` claims made before `before`; return how many were forgotten."""
    result = await session.execute(PRUNE, {"before": before, "limit": limit})
    return int(getattr(result, "rowcount", 0))
