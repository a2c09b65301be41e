"""How the platform's tables came to be what `shared/platform_tables.py` declares, one function a change.

A migration calls one of these and so means the same for ever: what is here is never edited. When a platform
table changes, add a function with the next number, and to each service a migration that calls it; a test
compares what the migrations of each service make with what is declared.
"""

from sqlalchemy import Connection, text

__all__ = [
    "create_platform_tables_v1",
    "drop_platform_tables_v1",
    "hold_back_outbox_rows_v2",
    "release_outbox_rows_v2",
]

V1 = """
CREATE TABLE outbox (
    id bigint GENERATED ALWAYS AS IDENTITY,
    transaction_id xid8 DEFAULT pg_current_xact_id() NOT NULL,
    event_id uuid NOT NULL,
    topic text NOT NULL,
    key text NOT NULL,
    type text NOT NULL,
    version smallint NOT NULL,
    payload text NOT NULL,
    occurred_at timestamptz NOT NULL,
    traceparent text,
    CONSTRAINT pk_outbox PRIMARY KEY (id)
);
CREATE INDEX ix_outbox_transaction_id ON outbox (transaction_id, id);
CREATE TABLE outbox_cursor (
    name text NOT NULL,
    horizon xid8 NOT NULL,
    window_end xid8 NOT NULL,
    after_id bigint NOT NULL,
    updated_at timestamptz NOT NULL,
    CONSTRAINT pk_outbox_cursor PRIMARY KEY (name)
);
CREATE TABLE inbox (
    event_id uuid NOT NULL,
    received_at timestamptz DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT pk_inbox PRIMARY KEY (event_id)
);
CREATE INDEX ix_inbox_received_at ON inbox (received_at);
CREATE TABLE idempotency (
    scope text NOT NULL,
    key text NOT NULL,
    request_hash bytea NOT NULL,
    status smallint,
    body bytea,
    created_at timestamptz DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT pk_idempotency PRIMARY KEY (scope, key)
);
CREATE INDEX ix_idempotency_created_at ON idempotency (created_at);
CREATE TABLE dead_letters (
    id bigint GENERATED ALWAYS AS IDENTITY,
    topic text NOT NULL,
    partition integer NOT NULL,
    "offset" bigint NOT NULL,
    key text,
    event_id uuid,
    type text,
    value bytea,
    header_names text[] NOT NULL,
    header_values bytea[] NOT NULL,
    code text NOT NULL,
    reason text NOT NULL,
    attempts integer DEFAULT 1 NOT NULL,
    buried_at timestamptz DEFAULT clock_timestamp() NOT NULL,
    retry_requested_at timestamptz,
    resolved_at timestamptz,
    resolution text,
    CONSTRAINT pk_dead_letters PRIMARY KEY (id),
    CONSTRAINT uq_dead_letters_position UNIQUE (topic, partition, "offset")
);
CREATE INDEX ix_dead_letters_retry ON dead_letters (retry_requested_at)
    WHERE retry_requested_at IS NOT NULL AND resolved_at IS NULL;
CREATE TABLE api_keys (
    id text NOT NULL,
    hash bytea NOT NULL,
    name text NOT NULL,
    scopes text[] NOT NULL,
    created_at timestamptz DEFAULT clock_timestamp() NOT NULL,
    expires_at timestamptz,
    revoked_at timestamptz,
    CONSTRAINT pk_api_keys PRIMARY KEY (id)
)
"""


def create_platform_tables_v1(connection: Connection) -> None:
    """Create outbox, inbox, idempotency, dead letters and API keys as the first release had them."""
    for statement in V1.split(";"):
        connection.execute(text(statement))


def drop_platform_tables_v1(connection: Connection) -> None:
    """Undo `create_platform_tables_v1`."""
    connection.execute(text("DROP TABLE outbox, outbox_cursor, inbox, idempotency, dead_letters, api_keys"))


V2 = """
ALTER TABLE outbox ALTER COLUMN transaction_id SET DEFAULT
    greatest(pg_current_xact_id(), (pg_snapshot_xmax(pg_current_snapshot())::text::bigint - 1)::text::xid8)
"""


def hold_back_outbox_rows_v2(connection: Connection) -> None:
    """Have outbox rows wait for every transaction that had ended when they were written."""
    connection.execute(text(V2))


def release_outbox_rows_v2(connection: Connection) -> None:
    """Undo `hold_back_outbox_rows_v2`."""
    own = "ALTER TABLE outbox ALTER COLUMN transaction_id SET DEFAULT pg_current_xact_id()"
    connection.execute(text(own))
