"""The audit chain: the hash of an entry covers the entry and the hash before it in its account.

    hash = sha256(hash of the account's entry before || canonical bytes of the entry)

so that nobody can change, drop or insert an entry without breaking every hash after it. The canonical bytes
are

    member_id, id, about_id                                          16 bytes each
    sequence, points, rule_version, basis_minor                      8 bytes each, signed, big-endian
    occurred_at, recorded_at                                         the same: microseconds since 2000 in UTC
    kind, contra, reference, currency, actor, reason [, detail]      UTF-8, with a zero byte between them
    [a zero byte, origin_id                                          16 bytes]

An absent number counts as the smallest there is and an absent text as an empty one. The detail, and columns
that come later, go to the end and only where they hold something, so that hashes of old stay right. A detail
is the text as it was written, which is why its column is `json`: `jsonb` would not keep it. The bytes are
made twice, in Python for rows that are copied and in SQL for rows that a statement makes; a test holds the
two together.

Before an account's first entry there is nothing. Entries from before there was a chain have no hash of their
own: the first hash that follows covers all of them, in the order of their sequence.

The account keeps the last hash, its head, and which entry's it is. So nobody has to look into the entries to
go on, and whoever cuts off the end of a chain is found out by the account.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import sha256
from struct import Struct
from typing import Final
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

__all__ = ["CANONICAL", "catch_up", "entry_hash"]

# PostgreSQL's own epoch, so that the bytes of an instant are those that it sends.
EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)
ABSENT: Final = -(2**63)
FIXED: Final = Struct(">16s16s16sqqqqqq")

# The canonical bytes of a row called `entry`.
CANONICAL: Final = """
    uuid_send(entry.member_id) || uuid_send(entry.id) || uuid_send(entry.about_id)
    || int8send(entry.sequence) || int8send(entry.points)
    || int8send(coalesce(CAST(entry.rule_version AS bigint), -9223372036854775808))
    || int8send(coalesce(entry.basis_minor, -9223372036854775808))
    || timestamptz_send(entry.occurred_at) || timestamptz_send(entry.recorded_at)
    || convert_to(entry.kind, 'UTF8') || decode('00', 'hex')
    || convert_to(entry.contra, 'UTF8') || decode('00', 'hex')
    || convert_to(entry.reference, 'UTF8') || decode('00', 'hex')
    || convert_to(coalesce(entry.currency, ''), 'UTF8') || decode('00', 'hex')
    || convert_to(entry.actor, 'UTF8') || decode('00', 'hex')
    || convert_to(entry.reason, 'UTF8')
    || coalesce(decode('00', 'hex') || convert_to(CAST(entry.detail AS text), 'UTF8'), decode('', 'hex'))
    || coalesce(decode('00', 'hex') || uuid_send(entry.origin_id), decode('', 'hex'))
"""

# Gives the last entry of each account a hash that covers every entry since the last one that has one.
ANCHOR = text(
    f"""
    UPDATE entries SET hash = sha256(coalesce(tail.previous, decode('', 'hex')) || tail.content)
    FROM (
        SELECT entry.member_id, max(entry.sequence) AS sequence, anchored.hash AS previous,
               string_agg({CANONICAL}, decode('', 'hex') ORDER BY entry.sequence) AS content
        FROM unnest(CAST(:member_ids AS uuid[])) AS account(member_id)
             LEFT JOIN LATERAL (
                 SELECT sequence, hash FROM entries
                 WHERE entries.member_id = account.member_id AND hash IS NOT NULL
                 ORDER BY sequence DESC LIMIT 1
             ) AS anchored ON true
             JOIN entries AS entry ON entry.member_id = account.member_id
                                  AND entry.sequence > coalesce(anchored.sequence, 0)
        GROUP BY entry.member_id, anchored.hash
    ) AS tail
    WHERE entries.member_id = tail.member_id AND entries.sequence = tail.sequence
    """  # noqa: S608 - a constant
)

BARE = text(
    """
    SELECT account.member_id FROM unnest(CAST(:member_ids AS uuid[])) AS account(member_id)
         CROSS JOIN LATERAL (
             SELECT hash FROM entries WHERE entries.member_id = account.member_id
             ORDER BY sequence DESC LIMIT 1
         ) AS last
    WHERE last.hash IS NULL
    """
)

CATCH_UP = text(
    """
    UPDATE accounts SET head = coalesce(last.hash, ''), head_sequence = accounts.sequence
    FROM unnest(CAST(:member_ids AS uuid[])) AS account(member_id)
         LEFT JOIN LATERAL (
             SELECT hash FROM entries WHERE entries.member_id = account.member_id
             ORDER BY sequence DESC LIMIT 1
         ) AS last ON true
    WHERE accounts.member_id = account.member_id
    RETURNING accounts.member_id, accounts.head
    """
)


async def catch_up(session: AsyncSession, member_ids: Sequence[UUID]) -> dict[UUID, bytes]:
    """Look up the heads of locked accounts that do not know theirs, have the accounts keep them, return them.

    A last entry without a hash is of a release that knew no chain: it gets one now.
    """
    bare = (await session.scalars(BARE, {"member_ids": list(member_ids)})).all()
    if bare:
        await session.execute(ANCHOR, {"member_ids": list(bare)})
    return {row[0]: row[1] for row in await session.execute(CATCH_UP, {"member_ids": list(member_ids)})}


def entry_hash(
    head: bytes,
    member_id: UUID,
    sequence: int,
    entry_id: UUID,
    kind: str,
    contra: str,
    points: int,
    about_id: UUID,
    reference: str,
    rule_version: int | None,
    basis_minor: int | None,
    currency: str | None,
    actor: str,
    reason: str,
    occurred_at: datetime,
    detail: str | None,
    origin_id: UUID | None,
    recorded_at: datetime,
) -> bytes:
    """Return the hash of an entry that follows the one whose hash is `head`."""
    fixed = FIXED.pack(
        member_id.bytes,
        entry_id.bytes,
        about_id.bytes,
        sequence,
        points,
        ABSENT if rule_version is None else rule_version,
        ABSENT if basis_minor is None else basis_minor,
        _microseconds(occurred_at),
        _recorded(recorded_at),
    )
    words = f"{kind}\0{contra}\0{reference}\0{currency or ''}\0{actor}\0{reason}"
    if detail is not None:
        words += f"\0{detail}"
    origin = b"" if origin_id is None else b"\0" + origin_id.bytes
    return sha256(head + fixed + words.encode() + origin).digest()


def _microseconds(instant: datetime) -> int:
    since = instant - EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


# All entries of a batch are recorded at one instant.
_recorded = lru_cache(maxsize=1)(_microseconds)
