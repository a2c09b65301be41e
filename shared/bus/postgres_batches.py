"""How the log keeps records: many of one partition in a row, as arrays."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import msgspec

from shared.bus import MAX_RECORD_BYTES, Outgoing, RecordTooLarge
from shared.bus.postgres_schema import BATCH_BYTES, BATCH_RECORDS

__all__ = ["APPEND", "Append", "pack"]

encode_headers = msgspec.msgpack.Encoder().encode

# One statement for all partitions, because a small publish reaches many of them with a record or two each.
# Taking the partitions' rows is what orders writers; they are taken in one order, which rules deadlocks out.
APPEND = """
WITH piece AS MATERIALIZED (
    SELECT piece.first, piece.last, p.id
    FROM bus.partitions p
    JOIN unnest($1::integer[], $2::integer[], $3::integer[]) AS piece (partition_id, first, last)
         ON piece.partition_id = p.id
    ORDER BY p.id FOR NO KEY UPDATE OF p
), place AS (
    UPDATE bus.partitions p SET next_offset = p.next_offset + piece.last - piece.first + 1
    FROM piece WHERE p.id = piece.id
    RETURNING p.id, p.next_offset, piece.first, piece.last
)
INSERT INTO bus.batches (partition_id, last_offset, base_offset, appended_at, keys, payloads, headers)
SELECT id, next_offset - 1, next_offset - (last - first + 1), clock_timestamp(),
       ($4::text[])[first:last], ($5::bytea[])[first:last], ($6::bytea[])[first:last]
FROM place
"""

# The arguments of APPEND: partitions, where the records of each begin and end (from 1, inclusive) in the
# arrays that follow, then keys, payloads and headers.
Append = tuple[list[int], list[int], list[int], list[str | None], list[bytes | None], list[bytes]]


@dataclass
class _Row:
    """What becomes one row of the log."""

    keys: list[str | None] = field(default_factory=list)
    payloads: list[bytes | None] = field(default_factory=list)
    headers: list[bytes] = field(default_factory=list)
    size_bytes: int = 0


def pack(placed: Iterable[tuple[int, Outgoing]]) -> list[Append]:
    """Pack records, each with the id of its partition, into rows of up to BATCH_RECORDS and BATCH_BYTES.

    Each append takes one row of every partition that still has one; to be executed in order, in one
    transaction. Raises RecordTooLarge.
    """
    rows_by_partition: dict[int, list[_Row]] = defaultdict(list)
    for partition_id, record in placed:
        headers = encode_headers(record.headers)
        size_bytes = len(record.value or b"") + len(headers) + len(record.key or "")
        if size_bytes > MAX_RECORD_BYTES:
            raise RecordTooLarge(f"{size_bytes} bytes on topic {record.topic}")
        rows = rows_by_partition[partition_id]
        if not rows or len(rows[-1].keys) == BATCH_RECORDS or rows[-1].size_bytes + size_bytes > BATCH_BYTES:
            rows.append(_Row())
        row = rows[-1]
        row.keys.append(record.key)
        row.payloads.append(record.value)
        row.headers.append(headers)
        row.size_bytes += size_bytes
    rounds = max(map(len, rows_by_partition.values()), default=0)
    return [
        _append({id_: rows[nth] for id_, rows in rows_by_partition.items() if nth < len(rows)})
        for nth in range(rounds)
    ]


def _append(row_by_partition: Mapping[int, _Row]) -> Append:
    append: Append = ([], [], [], [], [], [])
    partition_ids, firsts, lasts, keys, payloads, headers = append
    for partition_id, row in row_by_partition.items():
        partition_ids.append(partition_id)
        firsts.append(len(keys) + 1)
        keys += row.keys
        payloads += row.payloads
        headers += row.headers
        lasts.append(len(keys))
    return append
