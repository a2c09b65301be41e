"""Fetching from the embedded log: what a member holds of a partition, and how it asks for more."""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import asyncpg
import msgspec

from shared.bus import Headers, Record
from shared.bus.postgres_membership import Holding
from shared.bus.postgres_outage import Connection

__all__ = ["FETCH_RECORDS_MIN", "HeldPartition", "beginnings", "fetch", "records_of"]

# Rows fetched of one partition at a time; a row holds up to BATCH_RECORDS records.
FETCH_ROWS = 64
# However many partitions share the room for fetched records, each gets some.
FETCH_RECORDS_MIN = 50

decode_headers = msgspec.msgpack.Decoder(Headers).decode

FETCH = """
SELECT want.id, batch.base_offset, batch.last_offset, batch.offsets, batch.appended_at,
       batch.keys, batch.payloads, batch.headers, p.next_offset AS end_offset
FROM unnest($1::integer[], $2::bigint[]) AS want (id, position)
JOIN bus.partitions p ON p.id = want.id
CROSS JOIN LATERAL (
    SELECT b.base_offset, b.last_offset FROM bus.batches b
    WHERE b.partition_id = want.id AND b.last_offset >= want.position
    ORDER BY b.last_offset LIMIT 1
) AS head
CROSS JOIN LATERAL (
    SELECT b.* FROM bus.batches b
    WHERE b.partition_id = want.id AND b.last_offset >= want.position
      AND b.last_offset < greatest(head.last_offset + 1, greatest(head.base_offset, want.position) + $3)
    ORDER BY b.last_offset LIMIT $4
) AS batch
"""

BEGINNINGS = """
SELECT p.id, coalesce(oldest.base_offset, p.next_offset) AS place
FROM bus.partitions p
LEFT JOIN LATERAL (
    SELECT b.base_offset FROM bus.batches b WHERE b.partition_id = p.id ORDER BY b.last_offset LIMIT 1
) AS oldest ON true
WHERE p.id = ANY ($1::integer[])
"""


@dataclass
class HeldPartition:
    """A partition in our hands. `ahead` holds fetched records, `fetched_to` is the offset to fetch next.

    `committed` is what we wrote last as the group's place.
    """

    holding: Holding
    fetched_to: int
    committed: int
    ahead: deque[Record] = field(default_factory=deque)
    give_up_at: float | None = None
    # Grows with every jump, so that the answer to a question asked before it is not taken for the next one.
    jumps: int = 0
    # Whether there may be records that were not fetched yet.
    may_have_more: bool = True

    @property
    def ahead_from(self) -> int:
        """The offset of the record to hand out next."""
        return self.ahead[0].offset if self.ahead else self.fetched_to

    def go_to(self, offset: int) -> None:
        """Go on at another offset, forgetting what was fetched."""
        self.ahead.clear()
        self.fetched_to = offset
        self.jumps += 1
        self.may_have_more = True


async def fetch(connection: Connection, wanted: Sequence[HeldPartition], room: int) -> list[asyncpg.Record]:
    """Return stored batches that go on where each partition was left, about `room` records of each."""
    ids = [each.holding.partition_id for each in wanted]
    return await connection.fetch(FETCH, ids, [each.fetched_to for each in wanted], room, FETCH_ROWS)


async def beginnings(connection: Connection, partition_ids: Sequence[int]) -> dict[int, int]:
    """Return the offset of each partition's oldest record, or of its next one if there is none."""
    rows = await connection.fetch(BEGINNINGS, partition_ids)
    return {row["id"]: row["place"] for row in rows}


def records_of(holding: Holding, row: asyncpg.Record, first: int) -> Iterator[Record]:
    """The records of a stored batch from the offset `first` on."""
    offsets = row["offsets"]
    if offsets is None:
        offsets = range(row["base_offset"], row["last_offset"] + 1)
    topic, number, appended_at = holding.topic, holding.number, row["appended_at"]
    for offset, key, payload, headers in zip(
        offsets, row["keys"], row["payloads"], row["headers"], strict=True
    ):
        if offset >= first:
            yield Record(topic, number, offset, key, payload, decode_headers(headers), appended_at)
