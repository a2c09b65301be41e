"""The transactional outbox: an event is a row written in the transaction of the change it tells of.

`shared/relay.py` publishes the rows. Pattern: "Transactional outbox", C. Richardson, Microservices Patterns.
"""

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Identity,
    Index,
    MetaData,
    SmallInteger,
    Table,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import base as postgresql
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.types import UserDefinedType

from shared.clock import utc_now
from shared.events import Event, encode
from shared.ids import new_ids
from shared.tracing import current_traceparent
from shared.writing import Append, append

__all__ = ["CHANNEL", "emit", "erase", "outbox_tables", "prune"]

# The NOTIFY channel on which writers wake the relay. Channels are per database, so it needs no prefix.
CHANNEL = "outbox"


# The newest transaction that had ended, or the writer's own if that is newer. Its own alone would not do: a
# writer that began first and then waited for another has the lower id, and would be published before it. Who
# has the lock on an aggregate sees all that wrote under it before as ended.
HOLDER = text(
    "greatest(pg_current_xact_id(), (pg_snapshot_xmax(pg_current_snapshot())::text::bigint - 1)::text::xid8)"
)


class TransactionId(UserDefinedType[str]):
    """PostgreSQL's 64-bit transaction id, which never wraps."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        return "xid8"


# Lets alembic's comparison of models and database know the type.
postgresql.ischema_names["xid8"] = TransactionId


def outbox_tables(metadata: MetaData) -> None:
    """Declare the outbox and the relay's cursor into it."""
    Table(
        "outbox",
        metadata,
        Column("id", BigInteger, Identity(always=True), primary_key=True),
        # The row may be published once all transactions up to this one have ended.
        Column("transaction_id", TransactionId, nullable=False, server_default=HOLDER),
        Column("event_id", Uuid, nullable=False),
        Column("topic", Text, nullable=False),
        Column("key", Text, nullable=False),
        Column("type", Text, nullable=False),
        Column("version", SmallInteger, nullable=False),
        Column("payload", Text, nullable=False),
        Column("occurred_at", DateTime(timezone=True), nullable=False),
        Column("traceparent", Text),
        Index("ix_outbox_transaction_id", "transaction_id", "id"),
    )
    Table(
        "outbox_cursor",
        metadata,
        Column("name", Text, primary_key=True),
        # Everything below the horizon is published; of the window up to `window_end`, everything up to
        # and including `after_id`.
        Column("horizon", TransactionId, nullable=False),
        Column("window_end", TransactionId, nullable=False),
        Column("after_id", BigInteger, nullable=False),
        Column("updated_at", DateTime(timezone=True), nullable=False),
    )


OUTBOX = Append(
    "outbox",
    then=f"pg_notify('{CHANNEL}', '')",
    event_id="uuid",
    topic="text",
    key="text",
    type="text",
    version="smallint",
    payload="text",
    occurred_at="timestamptz",
    traceparent="text",
)

# Looks at the first rows only: ids ascend with time, so where nothing is due there, nothing is anywhere.
PRUNE = text(
    """
    DELETE FROM outbox WHERE id IN (
        SELECT oldest.id FROM (SELECT * FROM outbox ORDER BY id LIMIT :limit) AS oldest, outbox_cursor
        WHERE oldest.transaction_id < outbox_cursor.horizon AND oldest.occurred_at < :before
    )
    """
)

ERASE = text("DELETE FROM outbox WHERE topic = :topic AND key = ANY(CAST(:keys AS text[]))")


async def erase(session: AsyncSession, topic: str, keys: Collection[str]) -> int:
    """Delete what was said under these keys of a topic, published or not; return how many rows went.

    Whoever erases says a tombstone afterwards, in the same transaction: it is all that the bus needs then.
    """
    result = await session.execute(ERASE, {"topic": topic, "keys": list(keys)})
    return int(getattr(result, "rowcount", 0))


async def emit(session: AsyncSession, events: Iterable[Event]) -> None:
    """Say events: write them into the caller's transaction, in order.

    Nothing is published if the transaction rolls back, and everything is if it commits. The caller holds
    the lock on each event's aggregate (its key), which is what keeps the events of one key in order.
    """
    batch = list(events)
    occurred_at, traceparent = utc_now(), current_traceparent()
    rows = [
        (
            event_id,
            event.topic,
            event.key,
            event.type,
            event.version,
            # A tombstone encodes to nothing; the relay publishes an empty payload as a record without value.
            encode(event).decode(),
            occurred_at,
            traceparent,
        )
        for event_id, event in zip(new_ids(len(batch)), batch, strict=True)
    ]
    await append(session, OUTBOX, rows)


async def prune(session: AsyncSession, *, before: datetime, limit: int) -> int:
    """Delete up to `limit` published rows older than `before`; return how many went."""
    result = await session.execute(PRUNE, {"before": before, "limit": limit})
    return int(getattr(result, "rowcount", 0))
