"""How the log keeps records: many of one partition in a row, as arrays."""

from collections import defaultdict
from collections.abc import Iterable

import msgspec

from shared.bus import MAX_RECORD_BYTES, Outgoing, RecordTooLarge
from shared.bus.postgres_schema import BATCH_BYTES, BATCH_RECORDS

__all__ = ["APPEND", "Row", "pack"]

encode_headers = msgspec.msgpack.Encoder().encode

# One statement per partition, all in one transaction: taking the partition's row is what orders writers.
APPEND = """
WITH place AS (
    UPDATE bus.partitions SET next_offset = next_offset + cardinality($2::text[]) WHERE id = $1
    RETURNING next_offset
)
INSERT INTO bus.batches (partition_id, last_offset, base_offset, appended_at, keys, payloads, headers)
SELECT $1, next_offset - 1, next_offset - cardinality($2::text[]), clock_timestamp(),
       $2, $3::bytea[], $4::bytea[]
FROM place
"""

# The arguments of APPEND: partition, keys, payloads and headers.
Row = tuple[int, list[str | None], list[bytes | None], list[bytes]]


def pack(placed: Iterable[tuple[int, Outgoing]]) -> list[Row]:
    """Pack records, each with the id of its partition, into rows of up to BATCH_RECORDS and BATCH_BYTES.

    Rows are in the order of partitions, which rules deadlocks out. Raises RecordTooLarge.
    """
    by_partition: dict[int, list[Row]] = defaultdict(list)
    sizes: dict[int, int] = {}
    for partition_id, record in placed:
        headers = encode_headers(record.headers)
        size = len(record.value or b"") + len(headers) + len(record.key or "")
        if size > MAX_RECORD_BYTES:
            raise RecordTooLarge(f"{size} bytes on topic {record.topic}")
        rows = by_partition[partition_id]
        bytes_so_far = sizes.get(partition_id, 0) + size
        if not rows or len(rows[-1][1]) == BATCH_RECORDS or bytes_so_far > BATCH_BYTES:
            rows.append((partition_id, [], [], []))
            bytes_so_far = size
        sizes[partition_id] = bytes_so_far
        _, keys, payloads, headers_of = rows[-1]
        keys.append(record.key)
        payloads.append(record.value)
        headers_of.append(headers)
    return [row for partition_id in sorted(by_partition) for row in by_partition[partition_id]]
