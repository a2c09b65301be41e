"""Idempotency keys: the first answer, kept in the transaction of its effect, is the answer for ever after.

Follows the IETF draft "The Idempotency-Key HTTP Header Field": same key and body, the first answer again;
same key and another body, 409.
"""

import hashlib
from collections import Counter
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import NamedTuple

import msgspec
from sqlalchemy import (
    Column,
    DateTime,
    Index,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    text,
)
from sqlalchemy.ext.asyncio import AsyncSession

from shared.problems import IdempotencyConflict
from shared.writing import Write, write

__all__ = [
    "Answer",
    "Claim",
    "claim",
    "claim_of",
    "forget",
    "idempotency_table",
    "prune",
    "release",
    "store",
]

MAX_KEY_LENGTH = 255


def idempotency_table(metadata: MetaData) -> Table:
    """Declare the stored answers: one row per (caller and route, key)."""
    return Table(
        "idempotency",
        metadata,
        Column("scope", Text, nullable=False),
        Column("key", Text, nullable=False),
        Column("request_hash", LargeBinary, nullable=False),
        Column("status", SmallInteger),
        Column("body", LargeBinary),
        Column(
            "created_at", DateTime(timezone=True), nullable=False, server_default=text("clock_timestamp()")
        ),
        PrimaryKeyConstraint("scope", "key", name="pk_idempotency"),
        Index("ix_idempotency_created_at", "created_at"),
    )


class Claim(NamedTuple):
    """One request's wish to be the first with its key. `scope` keeps callers and routes apart."""

    scope: str
    key: str
    request_hash: bytes


class Answer(NamedTuple):
    """A stored answer: HTTP status and JSON body."""

    status: int
    body: bytes


CLAIM = text(
    """
    INSERT INTO idempotency (scope, key, request_hash)
    SELECT * FROM unnest(CAST(:scopes AS text[]), CAST(:keys AS text[]), CAST(:hashes AS bytea[]))
    ON CONFLICT (scope, key) DO NOTHING
    RETURNING scope, key
    """
)

ANSWERS = text(
    """
    SELECT scope, key, request_hash, status, body FROM idempotency
    WHERE (scope, key) IN (SELECT * FROM unnest(CAST(:scopes AS text[]), CAST(:keys AS text[])))
    """
)

STORE = Write(
    """
    UPDATE idempotency AS stored SET status = answer.status, body = answer.body
    FROM unnest(CAST(:scopes AS text[]), CAST(:keys AS text[]), CAST(:statuses AS smallint[]),
                CAST(:bodies AS bytea[])) AS answer(scope, key, status, body)
    WHERE stored.scope = answer.scope AND stored.key = answer.key
    """
)

RELEASE = Write(
    """
    DELETE FROM idempotency
    WHERE (scope, key) IN (SELECT * FROM unnest(CAST(:scopes AS text[]), CAST(:keys AS text[])))
    """
)

# A word in an answer is a whole string of its JSON, so that "kim" does not forget the answers about "kimono".
FORGET = text(
    """
    DELETE FROM idempotency AS i
    USING unnest(CAST(:words AS text[]), CAST(:quoted AS bytea[])) AS w(word, quoted)
    WHERE position(w.quoted IN i.body) > 0 OR position('/' || w.word IN i.scope) > 0 OR i.key = w.word
    RETURNING w.word
    """
)

PRUNE = text(
    """
    DELETE FROM idempotency
    WHERE (scope, key) IN (SELECT scope, key FROM idempotency WHERE created_at < :before LIMIT :limit)
    """
)


def claim_of(*, caller: str, method: str, path: str, query: str, key: str, body: bytes) -> Claim:
    """Build the claim of one HTTP request. The hash covers everything that shapes the effect."""
    material = b"\x00".join((method.encode(), path.encode(), query.encode(), body))
    return Claim(scope=f"{caller} {method} {path}", key=key, request_hash=hashlib.blake2b(material).digest())


async def claim(session: AsyncSession, claims: Sequence[Claim]) -> list[Answer | IdempotencyConflict | None]:
    """Claim keys for this transaction; return, per claim, None if it is the first, or the stored answer.

    A key in flight elsewhere is waited for (the insert waits for the other transaction's end). The claims
    of one call must have different keys. The insert is in key order, so that overlapping batches queue up
    instead of deadlocking.
    """
    ordered = sorted(claims)
    scopes, keys = [item.scope for item in ordered], [item.key for item in ordered]
    rows = await session.execute(
        CLAIM, {"scopes": scopes, "keys": keys, "hashes": [item.request_hash for item in ordered]}
    )
    first = {(row.scope, row.key) for row in rows}
    known = [item for item in claims if (item.scope, item.key) not in first]
    if not known:
        return [None] * len(claims)
    found = await session.execute(
        ANSWERS, {"scopes": [item.scope for item in known], "keys": [item.key for item in known]}
    )
    stored = {(row.scope, row.key): row for row in found}
    answers: list[Answer | IdempotencyConflict | None] = []
    for item in claims:
        row = stored.get((item.scope, item.key))
        if row is None:
            answers.append(None)
        elif bytes(row.request_hash) != item.request_hash:
            answers.append(IdempotencyConflict())
        else:
            answers.append(Answer(row.status, bytes(row.body)))
    return answers


async def store(session: AsyncSession, answers: Sequence[tuple[Claim, Answer]]) -> None:
    """Keep the answers of claims that this transaction holds."""
    if not answers:
        return
    await write(
        session,
        STORE,
        {
            "scopes": [item.scope for item, _ in answers],
            "keys": [item.key for item, _ in answers],
            "statuses": [answer.status for _, answer in answers],
            "bodies": [answer.body for _, answer in answers],
        },
    )


async def release(session: AsyncSession, claims: Sequence[Claim]) -> None:
    """Give back claims whose command was refused: a refusal has no effect to protect."""
    if claims:
        keys = {"scopes": [item.scope for item in claims], "keys": [item.key for item in claims]}
        await write(session, RELEASE, keys)


async def forget(session: AsyncSession, words: Collection[str]) -> Counter[str]:
    """Delete the answers that tell of somebody, by the words that tell of them; return how many by word.

    A word is found as a whole string of an answer, as a key, or in the path that was called. A request that
    comes again is then new: what its effect was is known by natural keys, and those stay.
    """
    if not words:
        return Counter()
    distinct = sorted(set(words))
    rows = await session.scalars(
        FORGET, {"words": distinct, "quoted": [msgspec.json.encode(word) for word in distinct]}
    )
    return Counter(rows.all())


async def prune(session: AsyncSession, *, before: datetime, limit: int) -> int:
    """Forget up to `limit` answers stored before `before`; return how many were forgotten."""
    result = await session.execute(PRUNE, {"before": before, "limit": limit})
    return int(getattr(result, "rowcount", 0))
