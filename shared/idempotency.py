"""Idempotency keys: the first answer, kept in the transaction of its effect, is the answer for ever after.

Follows the IETF draft "The Idempotency-Key HTTP Header Field": same key and body, the first answer again;
same key and another body, 409.
"""

import hashlib
from collections import Counter
from collections.abc import Collection, Iterable
from datetime import datetime
from operator import itemgetter
from typing import Any, NamedTuple

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
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from shared.problems import IdempotencyConflict
from shared.writing import Write, columns, write

__all__ = [
    "Answer",
    "Claim",
    "claim",
    "claim_of",
    "forget",
    "idempotency_table",
    "is_overtaken",
    "keep",
    "known",
    "prune",
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
    INSERT INTO idempotency (scope, key, request_hash) VALUES (:scope, :key, :request_hash)
    ON CONFLICT (scope, key) DO NOTHING
    RETURNING key
    """
)

ANSWERS = text(
    """
    SELECT scope, key, request_hash, status, body FROM idempotency
    WHERE (scope, key) IN (SELECT * FROM unnest(CAST(:scopes AS text[]), CAST(:keys AS text[])))
    """
)

STORE = Write("UPDATE idempotency SET status = :status, body = :body WHERE scope = :scope AND key = :key")

KEEP = Write(
    """
    INSERT INTO idempotency (scope, key, request_hash, status, body)
    SELECT * FROM unnest(CAST(:p0 AS text[]), CAST(:p1 AS text[]), CAST(:p2 AS bytea[]),
                         CAST(:p3 AS smallint[]), CAST(:p4 AS bytea[]))
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


async def known(
    session: AsyncSession, claims: Collection[Claim]
) -> dict[Claim, Answer | IdempotencyConflict]:
    """Return what is stored for those of the keys that were used before."""
    if not claims:
        return {}
    found = await session.execute(
        ANSWERS, {"scopes": [item.scope for item in claims], "keys": [item.key for item in claims]}
    )
    stored = {(row.scope, row.key): row for row in found}
    answers: dict[Claim, Answer | IdempotencyConflict] = {}
    for item in claims:
        row = stored.get((item.scope, item.key))
        if row is not None:
            is_same = bytes(row.request_hash) == item.request_hash
            answers[item] = Answer(row.status, bytes(row.body)) if is_same else IdempotencyConflict()
    return answers


async def claim(session: AsyncSession, claim: Claim) -> Answer | IdempotencyConflict | None:
    """Claim a key for this transaction; return None if it is the first, or what is stored.

    A key in flight elsewhere is waited for (the insert waits for the other transaction's end).
    """
    first = await session.execute(CLAIM, claim._asdict())
    if first.one_or_none() is not None:
        return None
    return (await known(session, [claim])).get(claim)


async def store(session: AsyncSession, claim: Claim, answer: Answer) -> None:
    """Keep the answer of a claim that this transaction holds."""
    await write(session, STORE, {**claim._asdict(), **answer._asdict()})


async def keep(
    session: AsyncSession, answers: Iterable[tuple[Claim, Answer]], refused: Collection[Claim]
) -> None:
    """Claim keys that were not known, with the answers that they have come to, and no longer than that.

    If another transaction was first with one of them, that one is waited for, and an error raised for which
    `is_overtaken`: all has to be done again with what is known then. So it is for a refused command, which
    has no effect to protect and leaves nothing: what refused it may be the effect of its twin.
    """
    rows: list[tuple[Any, ...]] = [(*claim, *answer) for claim, answer in answers]
    rows += [(*claim, None, None) for claim in refused]
    if rows:
        # In the order of keys, so that overlapping batches queue up instead of deadlocking.
        rows.sort(key=itemgetter(0, 1))
        await write(session, KEEP, columns(rows))
    if refused:
        keys = {"scopes": [item.scope for item in refused], "keys": [item.key for item in refused]}
        await write(session, RELEASE, keys)


def is_overtaken(error: IntegrityError) -> bool:
    """Say whether an error means that another transaction has been first with a key."""
    return "pk_idempotency" in str(error.orig)


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
