"""The tables of the embedded log, in a schema `bus` of a database of its own.

A row of `bus.batches` is what one `publish` appended to one partition, as three parallel arrays: like Kafka's
record batches, a thousand records cost a few rows, indexes and compressions instead of a thousand. People
can still read it: `SELECT topic, key, convert_from(payload, 'UTF8') FROM bus.readable`.
"""

import asyncpg

from shared.bus.postgres_outage import Connection

__all__ = ["BATCH_BYTES", "BATCH_RECORDS", "GROUPS_CHANNEL", "RECORDS_CHANNEL", "ensure_schema"]

# A reader takes whole rows, so these bound what one partition can put into its memory at a time.
BATCH_RECORDS = 500
BATCH_BYTES = 2_000_000

# NOTIFY channels: a comma-separated list of ids of partitions that grew; a group whose members or partitions
# changed.
RECORDS_CHANNEL = "bus_partitions"
GROUPS_CHANNEL = "bus_groups"

# Any number will do as long as nobody else takes it in this database.
SCHEMA_LOCK = 7_306_086_967_001

TABLES = """
CREATE SCHEMA IF NOT EXISTS bus;

CREATE TABLE IF NOT EXISTS bus.topics (
    name text PRIMARY KEY,
    compacted boolean NOT NULL,
    retention_seconds bigint CHECK (retention_seconds > 0)
);

-- next_offset is the lock that makes offsets gap-free and visible in order: who appends holds the row until
-- the commit, so a reader that sees an offset sees all before it.
CREATE TABLE IF NOT EXISTS bus.partitions (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    topic text NOT NULL REFERENCES bus.topics (name),
    number integer NOT NULL CHECK (number >= 0),
    next_offset bigint NOT NULL DEFAULT 0 CHECK (next_offset >= 0),
    compacted_to bigint NOT NULL DEFAULT 0,
    UNIQUE (topic, number)
) WITH (fillfactor = 50);

-- The key is the last offset of a batch, so that the batch that holds an offset is one index step away.
-- offsets is null while they are consecutive; compaction leaves gaps and then lists them.
CREATE TABLE IF NOT EXISTS bus.batches (
    partition_id integer NOT NULL REFERENCES bus.partitions (id),
    last_offset bigint NOT NULL,
    base_offset bigint NOT NULL CHECK (base_offset <= last_offset),
    appended_at timestamptz NOT NULL,
    offsets bigint[],
    keys text[] NOT NULL,
    payloads bytea[] NOT NULL,
    headers bytea[] NOT NULL,
    PRIMARY KEY (partition_id, last_offset),
    CHECK (cardinality(keys) = cardinality(payloads) AND cardinality(keys) = cardinality(headers)),
    CHECK (offsets IS NOT NULL OR last_offset - base_offset + 1 = cardinality(keys))
);

CREATE TABLE IF NOT EXISTS bus.members (
    group_name text NOT NULL,
    member uuid NOT NULL,
    topics text[] NOT NULL,
    lease_until timestamptz NOT NULL,
    PRIMARY KEY (group_name, member)
) WITH (fillfactor = 50);

-- epoch grows with every change of owner and fences the commits of the owner before.
CREATE TABLE IF NOT EXISTS bus.positions (
    group_name text NOT NULL,
    partition_id integer NOT NULL REFERENCES bus.partitions (id),
    owner uuid,
    epoch bigint NOT NULL,
    committed bigint NOT NULL CHECK (committed >= 0),
    PRIMARY KEY (group_name, partition_id)
) WITH (fillfactor = 50);

CREATE OR REPLACE VIEW bus.readable AS
SELECT p.topic, p.number AS partition, coalesce(b.offsets[r.nth], b.base_offset + r.nth - 1) AS "offset",
       r.key, r.payload, r.headers, b.appended_at
FROM bus.batches b
JOIN bus.partitions p ON p.id = b.partition_id
CROSS JOIN LATERAL unnest(b.keys, b.payloads, b.headers) WITH ORDINALITY AS r (key, payload, headers, nth);
"""

# What a schema of an earlier release lacks.
ADDITIONS = """
ALTER TABLE bus.topics ADD COLUMN IF NOT EXISTS until_read boolean NOT NULL DEFAULT false;
"""

COMPLETE = """
SELECT to_regclass('bus.readable') IS NOT NULL AND EXISTS (
    SELECT FROM pg_attribute WHERE attrelid = to_regclass('bus.topics') AND attname = 'until_read')
"""

# JSON of one topic repeats itself; lz4 costs a tenth of PostgreSQL's older method and saves log volume.
COMPRESSION = """
ALTER TABLE bus.batches ALTER COLUMN keys SET COMPRESSION lz4;
ALTER TABLE bus.batches ALTER COLUMN payloads SET COMPRESSION lz4;
ALTER TABLE bus.batches ALTER COLUMN headers SET COMPRESSION lz4;
"""


async def ensure_schema(connection: Connection) -> None:
    """Create what is missing. Safe to call from every process at once."""
    if await connection.fetchval(COMPLETE):
        return
    async with connection.transaction():
        # Two concurrent CREATE … IF NOT EXISTS can still collide in the catalogue.
        await connection.execute("SELECT pg_advisory_xact_lock($1)", SCHEMA_LOCK)
        await connection.execute(TABLES)
        await connection.execute(ADDITIONS)
        try:
            async with connection.transaction():
                await connection.execute(COMPRESSION)
        except asyncpg.FeatureNotSupportedError:
            # This PostgreSQL was built without lz4; its older method works too.
            return
