"""The relay: publishes outbox rows in commit-safe order, one relay per service at a time.

A cursor over row ids would skip late committers, because a lower id can commit after a higher one. The
relay therefore walks *horizons*: everything whose transaction id lies below `pg_snapshot_xmin` has either
committed or never will, so a window `[last horizon, this horizon)` is complete and is published in id order.
Writers lock the aggregate before they emit, hence ids of one key follow its history, and so do windows
(`shared.outbox.HOLDER`).
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress

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

# A dump that is loaded into another server brings its transaction ids along, and those of this server begin
# lower: what is written from now on would lie below the horizon and never be published. Rows from here may
# have been published there or not; consumers know what comes twice.
TAKE_UP = """
    WITH cursor AS (
        SELECT horizon, window_end, after_id FROM outbox_cursor
        WHERE name = 'relay' AND horizon > pg_snapshot_xmax(pg_current_snapshot())
        FOR UPDATE
    ), moved AS (
        UPDATE outbox SET transaction_id = CASE
            WHEN outbox.transaction_id < cursor.horizon
                 OR outbox.transaction_id < cursor.window_end AND outbox.id <= cursor.after_id THEN '0'::xid8
            ELSE pg_current_xact_id() END
        FROM cursor WHERE outbox.transaction_id >= pg_snapshot_xmax(pg_current_snapshot())
    )
    UPDATE outbox_cursor SET horizon = '1', window_end = '1', after_id = 0 FROM cursor
    WHERE outbox_cursor.name = 'relay'
    RETURNING cursor.horizon::text
"""

ROW = "id, event_id, topic, key, type, version, payload, occurred_at, traceparent"

# Stores that everything below the horizon is published, and opens the window from there: while events flow,
# one round trip for every batch.
# OFFSET 0 keeps PostgreSQL from looking for the smallest id by walking the primary key, through all that was
# published and not yet pruned, until it meets a row of the window; the index on transactions begins with it.
# No row that can be seen has a transaction id from xmax on; saying so gives that index two ends to search
# between, where a planner without statistics would rather read the whole outbox for one.
NEXT_WINDOW = f"""
    WITH stored AS (
        UPDATE outbox_cursor SET horizon = $1::text::xid8, window_end = $1::text::xid8, after_id = $2,
            updated_at = clock_timestamp()
        WHERE name = 'relay' AND $3
    ), seen AS MATERIALIZED (
        SELECT pg_snapshot_xmin(pg_current_snapshot()) AS window_end,
               pg_snapshot_xmax(pg_current_snapshot()) AS snapshot_end
    )
    SELECT seen.window_end::text,
           EXISTS (SELECT FROM outbox WHERE transaction_id >= (SELECT window_end FROM seen)
                                        AND transaction_id < (SELECT snapshot_end FROM seen)) AS held_back,
           due.*
    FROM seen LEFT JOIN (
        SELECT {ROW} FROM outbox
        WHERE transaction_id >= $1::text::xid8 AND transaction_id < (SELECT window_end FROM seen)
              AND id >= (SELECT min(id) FROM (
                  SELECT id FROM outbox
                  WHERE transaction_id >= $1::text::xid8
                        AND transaction_id < (SELECT window_end FROM seen) OFFSET 0
              ) AS first)
        ORDER BY id LIMIT $4
    ) AS due ON true
    ORDER BY due.id
"""  # noqa: S608 - constant names

READ_WINDOW = f"""
    SELECT {ROW} FROM outbox
    WHERE id > $1 AND transaction_id >= $2::text::xid8 AND transaction_id < $3::text::xid8
    ORDER BY id LIMIT $4
"""  # noqa: S608 - constant names

STORE_CURSOR = """
    UPDATE outbox_cursor SET horizon = $1::text::xid8, window_end = $2::text::xid8, after_id = $3,
        updated_at = clock_timestamp()
    WHERE name = 'relay'
"""

# The upper end is there for the reason that NEXT_WINDOW has one.
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


class _Cursor:
    """How far the outbox is published, and the windows that follow.

    Everything below `horizon` is published; of the window up to `window_end`, everything up to `after_id`.
    """

    def __init__(self, connection: asyncpg.Connection, loaded: asyncpg.Record) -> None:
        self._connection = connection
        self._horizon, self._window_end, self._after_id = loaded
        self._is_stored = True
        # Whether rows have been written that an older transaction keeps from being published.
        self.held_back = False

    @classmethod
    async def load(cls, connection: asyncpg.Connection) -> "_Cursor":
        """Return the cursor as it was stored, or at the beginning if another server stored it."""
        foreign_horizon = await connection.fetchval(TAKE_UP)
        if foreign_horizon is not None:
            log.warning("relay.database_moved", horizon=foreign_horizon)
        return cls(connection, await _row(connection, LOAD_CURSOR))

    @property
    def is_at_an_end(self) -> bool:
        """Whether no window is open."""
        return bool(self._horizon == self._window_end)

    async def rows(self, limit: int) -> list[asyncpg.Record]:
        """Return the next rows to publish, up to `limit`."""
        if self._horizon != self._window_end:
            window = (self._after_id, self._horizon, self._window_end)
            return await self._connection.fetch(READ_WINDOW, *window, limit)
        found = await self._connection.fetch(
            NEXT_WINDOW, self._horizon, self._after_id, not self._is_stored, limit
        )
        self._is_stored = True
        self._window_end, self.held_back = found[0]["window_end"], found[0]["held_back"]
        if found[0]["id"] is not None:
            return found
        # Nothing lies in this window, so moving on costs nothing even if it is not stored.
        self._horizon = self._window_end
        return []

    async def published(self, rows: list[asyncpg.Record], *, is_last: bool) -> None:
        """Move on past rows, the last of their window or not; the end of a window is stored with the next."""
        if rows:
            self._after_id = rows[-1]["id"]
        if is_last:
            self._horizon = self._window_end
        self._is_stored = False
        if not is_last:
            await self.store()

    async def store(self) -> None:
        """Write down how far the outbox is published."""
        if not self._is_stored:
            await self._connection.execute(STORE_CURSOR, self._horizon, self._window_end, self._after_id)
            self._is_stored = True


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
        # A crash that loses the last places has the last batches published again, which consumers know.
        await connection.execute("SET synchronous_commit = off")
        await connection.add_listener(CHANNEL, lambda *_: self._woken.set())

    async def _relay(
        self, connection: asyncpg.Connection, alive: Callable[[], None], backoff: Backoff
    ) -> None:
        cursor = await _Cursor.load(connection)
        try:
            while True:
                alive()
                self._woken.clear()
                rows = await cursor.rows(self._batch_records)
                if not rows and cursor.is_at_an_end:
                    await self._wait(HELD_BACK_SECONDS if cursor.held_back else self._idle_seconds)
                    continue
                if rows:
                    await self._publish(rows, alive, backoff)
                is_last = len(rows) < self._batch_records
                await cursor.published(rows, is_last=is_last)
                if is_last:
                    await asyncio.sleep(self._linger_seconds)
        finally:
            # Otherwise the next relay would publish the last batch again.
            with suppress(Exception):
                await cursor.store()

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
