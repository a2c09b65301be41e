"""The bus: one protocol, two implementations, one behaviour suite (`tests/shared/bus`).

`connect("postgres", database_url=...)` is a durable log in PostgreSQL, `connect("kafka", bootstrap=...)` is
Apache Kafka. Both give the same promises:

- records of one key keep their order, because one key always lands in one partition (murmur2, as in Kafka);
- `publish` returns once every record is durable, or raises `BusUnavailable`; what was published before a
  failure may then be published again, so delivery is at least once;
- offsets of a group move only when a batch was left cleanly; whoever takes a partition over goes on there;
- a tombstone on a compacted topic takes what was said under its key before: the embedded bus does so at once,
  Kafka when it compacts, within a day;
- an outage never breaks the object: every call raises `BusUnavailable` until the bus is back, then works.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Literal, Protocol

import msgspec

from shared.bus.partitioning import partition_of

__all__ = [
    "MAX_RECORD_BYTES",
    "Bus",
    "BusUnavailable",
    "Headers",
    "Outgoing",
    "Record",
    "RecordTooLarge",
    "StartAt",
    "Subscription",
    "TopicPartition",
    "TopicSpec",
    "connect",
    "partition_of",
]

Headers = tuple[tuple[str, bytes], ...]
StartAt = Literal["earliest", "latest"]
TopicPartition = tuple[str, int]

# Kafka brokers refuse more than 1 MiB by default; both implementations refuse at the same size, with some
# room for the framing, so that an event that fits one bus fits the other.
MAX_RECORD_BYTES = 1_000_000


class BusUnavailable(Exception):
    """The bus cannot be reached or did not answer in time; trying again later is right."""


class RecordTooLarge(ValueError):
    """A record is larger than MAX_RECORD_BYTES; trying again will never help."""


class Record(msgspec.Struct, frozen=True, gc=False):
    """One record as read. `offset` counts from 0 within (topic, partition); a null value is a tombstone."""

    topic: str
    partition: int
    offset: int
    key: str | None
    value: bytes | None
    headers: Headers
    timestamp: datetime


class Outgoing(msgspec.Struct, frozen=True, gc=False):
    """One record to publish. Records without a key go to partition 0, so they keep their order too."""

    topic: str
    key: str | None
    value: bytes | None
    headers: Headers = ()


class TopicSpec(Protocol):
    """What the bus must know of a topic; `shared.events.Topic` satisfies it."""

    @property
    def name(self) -> str: ...
    @property
    def partitions(self) -> int: ...
    @property
    def compacted(self) -> bool:
        """Keep only the newest record of each key; a tombstone removes the key."""

    @property
    def retention_seconds(self) -> int | None:
        """How long records are kept; None keeps them for ever."""

    @property
    def until_read(self) -> bool:
        """Let records go as soon as every group has read them, where the bus can: the embedded one does."""


class Subscription(Protocol):
    """One consumer of a group. Members of a group share the partitions of their topics evenly.

    Not safe for several tasks at once: one batch is in hand at a time.
    """

    async def start(self) -> None:
        """Join the group. An outage is not an error here: `batch` joins as soon as the bus is back."""

    async def close(self) -> None:
        """Leave the group at once, so that others need not wait for a lease to run out. Idempotent."""

    def batch(
        self, max_records: int, max_wait_seconds: float
    ) -> AbstractAsyncContextManager[Sequence[Record]]:
        """Up to `max_records` records as soon as there are any; empty if none came within the wait.

        A clean exit commits the offsets of the batch. After an exception the same records come again. If the
        partition was taken away meanwhile (only when the batch took longer than the drain limit) the commit
        is refused silently and whoever owns the partition now gets the records again.
        Raises BusUnavailable on entry or exit; after either, the same records come again.
        """

    async def seek(self, topic: str, partition: int, offset: int) -> None:
        """Go on at `offset`, durably. The partition must be assigned to this subscription (else KeyError),
        and no batch may be in hand (else RuntimeError)."""

    async def seek_to_beginning(self) -> None:
        """Replay every assigned partition from its oldest record, durably."""

    @property
    def assigned(self) -> frozenset[TopicPartition]:
        """The partitions this subscription reads now."""


class Bus(Protocol):
    """See the module's docstring for the promises."""

    async def start(self) -> None:
        """Prepare to work. An outage is not an error here: later calls connect when the bus is back."""

    async def close(self) -> None:
        """Close connections and this bus's subscriptions. Idempotent."""

    async def ensure_topics(self, topics: Iterable[TopicSpec]) -> None:
        """Create missing topics and bring retention and compaction up to date. Partitions never shrink."""

    async def publish(self, records: Sequence[Outgoing]) -> None:
        """Return when all records are durable, in order per key. Raises BusUnavailable, RecordTooLarge, or
        KeyError for a topic that was never ensured."""

    def subscribe(self, group: str, topics: Sequence[str], *, start: StartAt = "earliest") -> Subscription:
        """A new member of `group`; `start` says where a group begins that never committed."""

    async def lag(self, group: str, topics: Sequence[str]) -> dict[TopicPartition, int]:
        """Records not yet committed by the group, per partition of existing topics."""

    async def end_offsets(self, topics: Sequence[str]) -> dict[TopicPartition, int]:
        """The offset the next record will get, per partition of existing topics."""

    async def committed(self, group: str, topics: Sequence[str]) -> dict[TopicPartition, int]:
        """The offset where the group goes on; partitions never committed are left out."""

    async def reset(self, group: str, offsets: Mapping[TopicPartition, int]) -> None:
        """Move a group's committed offsets while none of its members run (operators' replay).

        Raises RuntimeError if the group has live members.
        """

    async def ping(self) -> bool:
        """Whether the bus answers right now."""


def connect(
    kind: Literal["postgres", "kafka"],
    *,
    database_url: str | None = None,
    bootstrap: str | None = None,
    client_id: str = "regulars",
    lost_offsets: StartAt = "earliest",
) -> Bus:
    """The bus that the settings ask for; call `start()` on it.

    `lost_offsets` says where to go on when retention removed records that a group had not read yet:
    "earliest" reads what is left, "latest" skips to the end. Either way it is logged as an error.
    Implementations are imported here so that a process loads only the one it uses.
    """
    if kind == "postgres":
        from shared.bus.postgres import PostgresBus

        if not database_url:
            raise ValueError("the PostgreSQL bus needs database_url")
        return PostgresBus(database_url, client_id=client_id, lost_offsets=lost_offsets)
    from shared.bus.kafka import KafkaBus

    if not bootstrap:
        raise ValueError("the Kafka bus needs bootstrap servers")
    return KafkaBus(bootstrap, client_id=client_id, lost_offsets=lost_offsets)
