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
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from struct import Struct
from typing import Any, Final
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

__all__ = ["CANONICAL", "chained", "heads"]

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

# One row with an array: a row for each account would cost more than the hash does.
HEADS = text(
    """
    SELECT array_agg(entries.hash ORDER BY head.place)
    FROM unnest(CAST(:member_ids AS uuid[]), CAST(:sequences AS bigint[]))
         WITH ORDINALITY AS head(member_id, sequence, place)
         LEFT JOIN entries ON entries.member_id = head.member_id AND entries.sequence = head.sequence
    """
)

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
    RETURNING entries.member_id, entries.hash
    """  # noqa: S608 - a constant
)


async def heads(session: AsyncSession, before: dict[UUID, int]) -> dict[UUID, bytes]:
    """Return the hash that the next entry of each account follows; `before` is its last sequence, 0 if none.

    The accounts are locked. A last entry without a hash is of a release that knew no chain: it gets one now.
    """
    known = {member_id: sequence for member_id, sequence in before.items() if sequence}
    if not known:
        return {}
    parameters = {"member_ids": list(known), "sequences": list(known.values())}
    hashes = (await session.execute(HEADS, parameters)).scalar_one()
    found: dict[UUID, bytes] = dict(zip(known, hashes, strict=True))
    bare = [member_id for member_id, digest in found.items() if digest is None]
    if bare:
        found |= {row[0]: row[1] for row in await session.execute(ANCHOR, {"member_ids": bare})}
    return found


def chained(
    rows: Iterable[Sequence[Any]], links: dict[UUID, bytes], *, recorded_at: datetime
) -> list[tuple[Any, ...]]:
    """Return rows of `entries` with `recorded_at` and their hash; `links` are the heads, and move along.

    The rows of an account come in the order of their sequence.
    """
    recorded = _microseconds(recorded_at)
    done: list[tuple[Any, ...]] = []
    for row in rows:
        member_id, sequence, entry_id, kind, contra, points, about_id, reference = row[:8]
        rule_version, basis_minor, currency, actor, reason, occurred_at, detail, origin_id = row[8:]
        fixed = FIXED.pack(
            member_id.bytes,
            entry_id.bytes,
            about_id.bytes,
            sequence,
            points,
            ABSENT if rule_version is None else rule_version,
            ABSENT if basis_minor is None else basis_minor,
            _microseconds(occurred_at),
            recorded,
        )
        words = f"{kind}\0{contra}\0{reference}\0{currency or ''}\0{actor}\0{reason}"
        if detail is not None:
            words += f"\0{detail}"
        content = fixed + words.encode()
        if origin_id is not None:
            content += b"\0" + origin_id.bytes
        digest = sha256(links.get(member_id, b"") + content).digest()
        links[member_id] = digest
        done.append((*row, recorded_at, digest))
    return done


def _microseconds(instant: datetime) -> int:
    since = instant - EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
