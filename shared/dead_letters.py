"""Records that could not be applied: kept whole, with the reason, until somebody decides.

`regulars dead-letters retry` marks a row; the service's worker applies it again through the same handlers
(`Consumer.retry_dead_letters`).
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Column,
    DateTime,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.ext.asyncio import AsyncSession

__all__ = [
    "DeadLetter",
    "bury",
    "count_waiting",
    "dead_letters_table",
    "drop",
    "erase",
    "erase_keys",
    "fail_retry",
    "letters_of",
    "list_letters",
    "request_retry",
    "resolve",
    "storable",
    "take_retry",
]


def dead_letters_table(metadata: MetaData) -> Table:
    """Declare the dead letters: one row per record that this service could not apply."""
    return Table(
        "dead_letters",
        metadata,
        Column("id", BigInteger, Identity(always=True), primary_key=True),
        Column("topic", Text, nullable=False),
        Column("partition", Integer, nullable=False),
        Column("offset", BigInteger, nullable=False),
        Column("key", Text),
        Column("event_id", Uuid),
        Column("type", Text),
        Column("value", LargeBinary),
        Column("header_names", ARRAY(Text), nullable=False),
        Column("header_values", ARRAY(LargeBinary), nullable=False),
        Column("code", Text, nullable=False),
        Column("reason", Text, nullable=False),
        Column("attempts", Integer, nullable=False, server_default=text("1")),
        Column(
            "buried_at", DateTime(timezone=True), nullable=False, server_default=text("clock_timestamp()")
        ),
        Column("retry_requested_at", DateTime(timezone=True)),
        Column("resolved_at", DateTime(timezone=True)),
        Column("resolution", Text),
        # A redelivered record is the same dead letter.
        UniqueConstraint("topic", "partition", "offset", name="uq_dead_letters_position"),
        Index(
            "ix_dead_letters_retry",
            "retry_requested_at",
            postgresql_where=text("retry_requested_at IS NOT NULL AND resolved_at IS NULL"),
        ),
    )


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One row, as listed and as retried."""

    id: int
    topic: str
    partition: int
    offset: int
    key: str | None
    event_id: UUID | None
    type: str | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]
    code: str
    reason: str
    attempts: int
    buried_at: datetime
    retry_requested_at: datetime | None
    resolved_at: datetime | None


COLUMNS = """
    id, topic, partition, "offset", key, event_id, type, value, header_names, header_values, code, reason,
    attempts, buried_at, retry_requested_at, resolved_at
"""

BURY = text(
    """
    INSERT INTO dead_letters
        (topic, partition, "offset", key, event_id, type, value, header_names, header_values, code, reason)
    VALUES
        (:topic, :partition, :offset, :key, :event_id, :type, :value, CAST(:header_names AS text[]),
         CAST(:header_values AS bytea[]), :code, :reason)
    ON CONFLICT (topic, partition, "offset") DO NOTHING
    RETURNING id
    """
)


def storable(text: str) -> str:
    """The text without NUL, which PostgreSQL's text cannot hold; others may write it to the bus."""
    return text.replace("\x00", "\\x00")


async def bury(
    session: AsyncSession,
    *,
    topic: str,
    partition: int,
    offset: int,
    key: str | None,
    event_id: UUID | None,
    event_type: str | None,
    value: bytes | None,
    headers: Sequence[tuple[str, bytes]],
    code: str,
    reason: str,
) -> bool:
    """Keep a record with the reason it was refused; return False if it was already kept."""
    parameters = {
        "topic": topic,
        "partition": partition,
        "offset": offset,
        "key": None if key is None else storable(key),
        "event_id": event_id,
        "type": event_type,
        "value": value,
        "header_names": [storable(name) for name, _ in headers],
        "header_values": [value for _, value in headers],
        "code": code,
        "reason": reason,
    }
    return (await session.execute(BURY, parameters)).first() is not None


def _letter(row: Any) -> DeadLetter:
    values = dict(row._mapping)
    headers = tuple(zip(values.pop("header_names"), values.pop("header_values"), strict=True))
    return DeadLetter(headers=headers, **values)


async def list_letters(session: AsyncSession, *, after_id: int, limit: int) -> list[DeadLetter]:
    """Return unresolved dead letters in the order they were buried."""
    statement = text(
        f"SELECT {COLUMNS} FROM dead_letters "  # noqa: S608 - a constant list of columns
        "WHERE resolved_at IS NULL AND id > :after_id ORDER BY id LIMIT :limit"
    )
    return [_letter(row) for row in await session.execute(statement, {"after_id": after_id, "limit": limit})]


async def count_waiting(session: AsyncSession) -> int:
    """Return how many dead letters nobody has resolved yet."""
    return int(await session.scalar(text("SELECT count(*) FROM dead_letters WHERE resolved_at IS NULL")) or 0)


async def request_retry(session: AsyncSession, ids: Sequence[int]) -> int:
    """Ask the worker to apply these again (all unresolved ones if `ids` is empty); return how many."""
    result = await session.execute(
        text(
            """
            UPDATE dead_letters SET retry_requested_at = clock_timestamp()
            WHERE resolved_at IS NULL
              AND (cardinality(CAST(:ids AS bigint[])) = 0 OR id = ANY(CAST(:ids AS bigint[])))
            RETURNING id
            """
        ),
        {"ids": list(ids)},
    )
    return len(result.all())


async def drop(session: AsyncSession, ids: Sequence[int]) -> int:
    """Resolve these as dropped, keeping the rows as a record of the decision; return how many."""
    return await resolve(session, ids, "dropped")


async def letters_of(
    session: AsyncSession, topics: Collection[str], *, after_id: int, limit: int
) -> list[DeadLetter]:
    """Return dead letters of some topics, the resolved ones as well, whose record is still kept."""
    statement = text(
        f"SELECT {COLUMNS} FROM dead_letters "  # noqa: S608 - a constant list of columns
        "WHERE topic = ANY(CAST(:topics AS text[])) AND value IS NOT NULL AND id > :after_id "
        "ORDER BY id LIMIT :limit"
    )
    rows = await session.execute(statement, {"topics": list(topics), "after_id": after_id, "limit": limit})
    return [_letter(row) for row in rows]


async def erase_keys(session: AsyncSession, topics: Collection[str], keys: Collection[str]) -> int:
    """Forget what records of some topics said under these keys; return how many."""
    found = await session.scalars(
        text(
            "SELECT id FROM dead_letters WHERE topic = ANY(CAST(:topics AS text[]))"
            " AND key = ANY(CAST(:keys AS text[]))"
        ),
        {"topics": list(topics), "keys": list(keys)},
    )
    return await erase(session, found.all())


async def erase(session: AsyncSession, ids: Sequence[int]) -> int:
    """Forget what these records said, and settle them: there is nothing left to retry. Return how many."""
    if not ids:
        return 0
    result = await session.execute(
        text(
            """
            UPDATE dead_letters
            SET key = NULL, value = NULL, header_names = '{}', header_values = '{}', reason = 'erased',
                resolution = coalesce(resolution, 'erased'), retry_requested_at = NULL,
                resolved_at = coalesce(resolved_at, clock_timestamp())
            WHERE id = ANY(CAST(:ids AS bigint[]))
            RETURNING id
            """
        ),
        {"ids": list(ids)},
    )
    return len(result.all())


async def resolve(session: AsyncSession, ids: Sequence[int], resolution: str) -> int:
    """Mark dead letters as settled with `applied` or `dropped`; return how many were still open."""
    result = await session.execute(
        text(
            """
            UPDATE dead_letters
            SET resolved_at = clock_timestamp(), resolution = :resolution, retry_requested_at = NULL
            WHERE id = ANY(CAST(:ids AS bigint[])) AND resolved_at IS NULL
            RETURNING id
            """
        ),
        {"ids": list(ids), "resolution": resolution},
    )
    return len(result.all())


async def take_retry(session: AsyncSession) -> DeadLetter | None:
    """Lock and return the oldest dead letter whose retry was requested, or None."""
    statement = text(
        f"SELECT {COLUMNS} FROM dead_letters "  # noqa: S608 - a constant list of columns
        "WHERE retry_requested_at IS NOT NULL AND resolved_at IS NULL "
        "ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED"
    )
    row = (await session.execute(statement)).first()
    return None if row is None else _letter(row)


async def fail_retry(session: AsyncSession, letter_id: int, *, code: str, reason: str) -> None:
    """Put a dead letter back after a retry that failed, with the new reason."""
    await session.execute(
        text(
            """
            UPDATE dead_letters
            SET retry_requested_at = NULL, attempts = attempts + 1, code = :code, reason = :reason
            WHERE id = :id
            """
        ),
        {"id": letter_id, "code": code, "reason": reason},
    )
