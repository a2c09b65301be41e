"""Retention and compaction of the embedded log, in bulk."""

from shared.bus.postgres_outage import Connection
from shared.bus.postgres_schema import BATCH_RECORDS

__all__ = ["tidy"]

# Any number that is not the schema's lock.
TIDY_LOCK = 7_306_086_967_002

# A partition is rewritten once so many records came since the last time; each rewrite reads all of it.
COMPACT_AFTER_RECORDS = 1_000

# A group that was away for less than this still learns that a key was deleted.
TOMBSTONE_SECONDS = 86_400

EXPIRE = """
DELETE FROM bus.batches b
USING bus.partitions p, bus.topics t
WHERE p.id = b.partition_id AND t.name = p.topic AND NOT t.compacted
  AND b.appended_at < clock_timestamp() - make_interval(secs => t.retention_seconds)
"""

DIRTY = """
SELECT p.id, p.next_offset
FROM bus.partitions p JOIN bus.topics t ON t.name = p.topic
WHERE t.compacted AND p.next_offset - p.compacted_to >= $1
"""

# Everything below $2 is taken out and what is still the newest of its key put back, in fuller rows. Readers
# see the partition before or after, never between. A row's time is that of its newest record.
COMPACT = """
WITH gone AS (
    DELETE FROM bus.batches WHERE partition_id = $1 AND last_offset < $2 RETURNING *
), flat AS (
    SELECT coalesce(b.offsets[r.nth], b.base_offset + r.nth - 1) AS place, b.appended_at,
           r.key, r.payload, r.headers
    FROM gone b
    CROSS JOIN LATERAL unnest(b.keys, b.payloads, b.headers) WITH ORDINALITY AS r (key, payload, headers, nth)
), newest AS (
    SELECT DISTINCT ON (key) * FROM flat WHERE key IS NOT NULL ORDER BY key, place DESC
), kept AS (
    SELECT *, (row_number() OVER (ORDER BY place) - 1) / $3::integer AS shelf
    FROM (SELECT * FROM newest UNION ALL SELECT * FROM flat WHERE key IS NULL) AS each
    WHERE payload IS NOT NULL OR appended_at > clock_timestamp() - make_interval(secs => $4)
), marked AS (
    UPDATE bus.partitions SET compacted_to = $2 WHERE id = $1
)
INSERT INTO bus.batches
    (partition_id, last_offset, base_offset, appended_at, offsets, keys, payloads, headers)
SELECT $1, max(place), min(place), max(appended_at), array_agg(place ORDER BY place),
       array_agg(key ORDER BY place), array_agg(payload ORDER BY place), array_agg(headers ORDER BY place)
FROM kept GROUP BY shelf
"""


async def tidy(connection: Connection, *, compact_after: int = COMPACT_AFTER_RECORDS) -> None:
    """Remove what nobody needs any more. Returns at once if another process is at it."""
    async with connection.transaction():
        if not await connection.fetchval("SELECT pg_try_advisory_xact_lock($1)", TIDY_LOCK):
            return
        await connection.execute(EXPIRE)
        for row in await connection.fetch(DIRTY, compact_after):
            await connection.execute(
                COMPACT, row["id"], row["next_offset"], BATCH_RECORDS, float(TOMBSTONE_SECONDS)
            )
