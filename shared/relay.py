"""The relay: publishes outbox rows in commit-safe order, one relay per service at a time.

A cursor over row ids would skip late committers, because a lower id can commit after a higher one. The
relay therefore walks *horizons*: everything whose transaction id lies below `pg_snapshot_xmin` has either
committed or never will, so a window `[last horizon, this horizon)` is complete and is published in id order.
Writers lock the aggregate before they emit, hence ids of one key follow its history.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable

import asyncpg
import structlog
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from shared import metrics
from shared.backoff import Backoff
from shared.bus import Bus, BusUnavailable, Outgoing
from shared.database import Database, is_outage
from shared.events import event_headers
from shared.outbox import CHANNEL
from shared.tracing import span

__all__ = ["Relay", "measure"]

log = structlog.get_logger("regulars.relay")

# How soon to look again for rows that an older transaction, of any database of the server, holds back:
# nobody tells the relay when that one ends.
HELD_BACK_SECONDS = 0.005

# One name for every service, because advisory locks are per database and each service has its own.
LOCK_NAME = "regulars-outbox-relay"

LOAD_CURSOR = """
    INSERT INTO outbox_cursor (name, horizon, window_end, after_id, updated_at)
    VALUES ('relay', '0', '0', 0, clock_timestamp())
    ON CONFLICT (name) DO UPDATE SET updated_at = clock_timestamp()
    RETURNING horizon::text, window_end::text, after_id
"""

# A new window opens only when the last one is published; its floor lets the scan start at its first row.
# OFFSET 0 keeps PostgreSQL from looking for the smallest id by walking the primary key, through all that was
# published and not yet pruned, until it meets a row of the window; the index on transactions begins with it.
# No row that can be seen has a transaction id from xmax on; saying so gives that index two ends to search
# between, where a planner without statistics would rather read the whole outbox for one.
OPEN_WINDOW = """
    WITH seen AS (SELECT pg_snapshot_xmin(pg_current_snapshot()) AS window_end,
                         pg_snapshot_xmax(pg_current_snapshot()) AS snapshot_end)
    SELECT seen.window_end::text,
           (SELECT min(id) FROM (
                SELECT id FROM outbox
                WHERE transaction_id >= $1::text::xid8 AND transaction_id < seen.window_end OFFSET 0
            ) AS due) AS first_id,
           EXISTS (SELECT FROM outbox WHERE transaction_id >= seen.window_end
                                        AND transaction_id < seen.snapshot_end) AS held_back
    FROM seen
"""

READ_WINDOW = """
    SELECT id, event_id, topic, key, type, version, payload, occurred_at, traceparent
    FROM outbox
    WHERE id > $1 AND transaction_id >= $2::text::xid8 AND transaction_id < $3::text::xid8
    ORDER BY id LIMIT $4
"""

STORE_CURSOR = """
    UPDATE outbox_cursor SET horizon = $1::text::xid8, window_end = $2::text::xid8, after_id = $3,
        updated_at = clock_timestamp()
    WHERE name = 'relay'
"""

# The upper end is there for the reason that OPEN_WINDOW has one.
MEASURE = text(
    """
    WITH cursor AS MATERIALIZED (
        SELECT coalesce(max(horizon), '0') AS horizon, coalesce(max(window_end), '0') AS window_end,
               coalesce(max(after_id), 0) AS after_id
        FROM outbox_cursor WHERE name = 'relay'
    )
    SELECT count(*) AS depth,
           coalesce(extract(epoch FROM clock_timestamp() - min(occurred_at)), 0)::float8 AS age_seconds,
           (SELECT coalesce(extract(epoch FROM clock_timestamp() - min(xact_start)), 0)::float8
            FROM pg_stat_activity WHERE backend_xid IS NOT NULL) AS horizon_age_seconds
    FROM outbox
    WHERE transaction_id >= (SELECT horizon FROM cursor)
          AND transaction_id < pg_snapshot_xmax(pg_current_snapshot())
          AND NOT (transaction_id < (SELECT window_end FROM cursor) AND id <= (SELECT after_id FROM cursor))
    """
)


class Relay:
    """Publishes one service's outbox.

    `batch_records` bounds a publish. After one that was not full the relay pauses for `linger_seconds`, so
    that a stream of small transactions is published in batches; `idle_seconds` is how long it sleeps when
    no writer wakes it.
    """

    def __init__(
        self,
        database: Database,
        bus: Bus,
        *,
        source: str,
        batch_records: int,
        linger_seconds: float = 0.0,
        idle_seconds: float = 0.25,
    ) -> None:
        self._database = database
        self._bus = bus
        self._source = source
        self._batch_records = batch_records
        self._linger_seconds = linger_seconds
        self._idle_seconds = idle_seconds
        self._woken = asyncio.Event()

    async def run(self, alive: Callable[[], None]) -> None:
        """Relay for ever: hold the lock, publish, back off on an outage. `alive` is the heartbeat."""
        backoff = Backoff()
        while True:
            try:
                async with self._database.dedicated() as connection:
                    await self._lock(connection, alive)
                    backoff.reset()
                    with metrics.RELAY_LEADER.track_inprogress():
                        await self._relay(connection, alive, backoff)
            except Exception as error:
                if not is_outage(error):
                    raise
                metrics.RELAY_FAILURES.labels("database").inc()
                log.warning("relay.interrupted", error=type(error).__name__)
                alive()
                await backoff.wait()

    async def _lock(self, connection: asyncpg.Connection, alive: Callable[[], None]) -> None:
        """Wait to be the only relay of this service. The lock ends with the connection."""
        while not await connection.fetchval(
            "SELECT pg_try_advisory_lock(hashtextextended($1, 0))", LOCK_NAME
        ):
            alive()
            await asyncio.sleep(1.0)
        await connection.add_listener(CHANNEL, lambda *_: self._woken.set())

    async def _relay(
        self, connection: asyncpg.Connection, alive: Callable[[], None], backoff: Backoff
    ) -> None:
        horizon, window_end, after_id = await _row(connection, LOAD_CURSOR)
        while True:
            alive()
            self._woken.clear()
            if horizon == window_end:
                window_end, first_id, held_back = await _row(connection, OPEN_WINDOW, horizon)
                if first_id is None:
                    await self._wait(HELD_BACK_SECONDS if held_back else self._idle_seconds)
                    # Nothing lies in this window, so moving on costs nothing even if it is not stored.
                    horizon = window_end
                    continue
                after_id = first_id - 1
            rows = await connection.fetch(READ_WINDOW, after_id, horizon, window_end, self._batch_records)
            if rows:
                await self._publish(rows, alive, backoff)
                after_id = rows[-1]["id"]
            if len(rows) < self._batch_records:
                horizon = window_end
            await connection.execute(STORE_CURSOR, horizon, window_end, after_id)
            if len(rows) < self._batch_records:
                await asyncio.sleep(self._linger_seconds)

    async def _publish(self, rows: list[asyncpg.Record], alive: Callable[[], None], backoff: Backoff) -> None:
        records = [self._record(row) for row in rows]
        while True:
            started = time.perf_counter()
            try:
                with span("relay.publish", links=(row["traceparent"] for row in rows), records=len(rows)):
                    await self._bus.publish(records)
            except BusUnavailable:
                # The lock is kept: another relay would meet the same bus.
                metrics.RELAY_FAILURES.labels("bus").inc()
                log.warning("relay.bus_unavailable", waiting=len(records))
                alive()
                await backoff.wait()
            else:
                break
        backoff.reset()
        metrics.RELAY_DURATION.observe(time.perf_counter() - started)
        metrics.RELAY_BATCH.observe(len(records))
        for topic, count in Counter(record.topic for record in records).items():
            metrics.RELAY_PUBLISHED.labels(topic).inc(count)

    def _record(self, row: asyncpg.Record) -> Outgoing:
        headers = event_headers(
            event_type=row["type"],
            version=row["version"],
            source=self._source,
            event_id=row["event_id"],
            time=row["occurred_at"],
            traceparent=row["traceparent"],
        )
        value = row["payload"].encode() or None
        return Outgoing(topic=row["topic"], key=row["key"], value=value, headers=tuple(headers))

    async def _wait(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._woken.wait(), seconds)
        except TimeoutError:
            return


async def _row(connection: asyncpg.Connection, statement: str, *arguments: object) -> asyncpg.Record:
    row = await connection.fetchrow(statement, *arguments)
    assert row is not None, "the statement always returns a row"
    return row


async def measure(session: AsyncSession) -> int:
    """Set the outbox gauges from the database and return how many rows wait to be published."""
    row = (await session.execute(MEASURE)).one()
    metrics.OUTBOX_DEPTH.set(row.depth)
    metrics.OUTBOX_AGE.set(row.age_seconds)
    metrics.HORIZON_AGE.set(row.horizon_age_seconds)
    return int(row.depth)
