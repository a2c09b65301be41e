"""Retention and compaction of the embedded log, in bulk."""

from collections.abc import Collection, Sequence

import msgspec

from shared.bus import Outgoing
from shared.bus.postgres_outage import Connection
from shared.bus.postgres_schema import BATCH_RECORDS

__all__ = ["erase_keys", "strike_out", "tidy"]

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

# Raw documents with addresses are worth nothing to anybody once they were taken in.
EXPIRE_READ = """
DELETE FROM bus.batches b
USING bus.partitions p, bus.topics t
WHERE p.id = b.partition_id AND t.name = p.topic AND t.until_read
  AND b.last_offset < (SELECT min(o.committed) FROM bus.positions o WHERE o.partition_id = p.id)
"""

# The partition's row is taken first, as by writers and by compaction, so that no record is being put back
# elsewhere meanwhile.
HOLD = "SELECT FROM bus.partitions WHERE id = $1 FOR NO KEY UPDATE"

ERASE_KEYS = """
UPDATE bus.batches b SET payloads = ARRAY(
    SELECT CASE WHEN r.key = ANY ($2::text[]) THEN NULL ELSE r.payload END
    FROM unnest(b.keys, b.payloads) WITH ORDINALITY AS r (key, payload, nth) ORDER BY r.nth)
WHERE b.partition_id = $1 AND b.keys && $2::text[]
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


def strike_out(
    records: Sequence[Outgoing], compacted: Collection[str]
) -> tuple[list[Outgoing], set[tuple[str, str]]]:
    """Return records without the values that a later tombstone among them erases, and what they erase.

    What they erase is given as (topic, key).
    """
    erased: set[tuple[str, str]] = set()
    standing = []
    for record in reversed(records):
        key = (record.topic, record.key or "")
        if record.topic in compacted and record.key is not None:
            if record.value is None:
                erased.add(key)
            elif key in erased:
                record = msgspec.structs.replace(record, value=None)
        standing.append(record)
    return standing[::-1], erased


async def erase_keys(connection: Connection, partition_id: int, keys: list[str]) -> None:
    """Take the values of all records of these keys out of a partition; the caller's transaction appends next.

    What is left are tombstones in their places, so that no reader meets a gap.
    """
    await connection.execute(HOLD, partition_id)
    await connection.execute(ERASE_KEYS, partition_id, keys)


async def tidy(connection: Connection, *, compact_after: int = COMPACT_AFTER_RECORDS) -> None:
    """Remove what nobody needs any more. Returns at once if another process is at it."""
    async with connection.transaction():
        if not await connection.fetchval("SELECT pg_try_advisory_xact_lock($1)", TIDY_LOCK):
            return
        await connection.execute(EXPIRE)
        await connection.execute(EXPIRE_READ)
        for row in await connection.fetch(DIRTY, compact_after):
            await connection.execute(
                COMPACT, row["id"], row["next_offset"], BATCH_RECORDS, float(TOMBSTONE_SECONDS)
            )
