"""The bus on Apache Kafka (3.9 or newer), through aiokafka.

aiokafka speaks old transactions and rebalances by giving everything up; so exactly-once is the inbox's
matter, and a revocation waits for the batch in hand before it lets go.
"""

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Coroutine, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import structlog
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.codec import has_lz4
from aiokafka.errors import CommitFailedError, KafkaError, UnknownMemberIdError

from shared.bus import (
    MAX_RECORD_BYTES,
    BusUnavailable,
    Outgoing,
    RecordTooLarge,
    StartAt,
    TopicSpec,
)
from shared.bus import TopicPartition as Place
from shared.bus.kafka_subscription import KafkaSubscription
from shared.bus.kafka_topics import ensure_topics, partition_counts
from shared.bus.partitioning import partition_of

__all__ = ["KafkaBus"]

log = structlog.get_logger(__name__)

# During an outage aiokafka logs every attempt of every client as an error. Each failure that matters
# reaches a caller as BusUnavailable, and is said once there.
logging.getLogger("aiokafka").setLevel(logging.CRITICAL)

T = TypeVar("T")

# A larger batch than one record's limit would be refused by a broker with default settings.
BATCH_BYTES = 512_000

# How long we wait for a client to close, or to fail by itself, before going on without it.
PATIENCE_SECONDS = 5.0


class KafkaBus:
    """See `shared.bus.Bus`.

    `timeout_seconds` bounds every exchange with the brokers, `session_seconds` how long a member may be
    silent before its partitions go to others, `drain_seconds` how long a batch in hand may delay that.
    """

    def __init__(
        self,
        bootstrap: str,
        *,
        client_id: str = "regulars",
        lost_offsets: StartAt = "earliest",
        session_seconds: float = 10.0,
        drain_seconds: float = 30.0,
        timeout_seconds: float = 10.0,
    ) -> None:
        self.bootstrap = bootstrap
        self.client_id = client_id
        self.lost_offsets = lost_offsets
        self.session_seconds = session_seconds
        self.drain_seconds = drain_seconds
        self.timeout_seconds = timeout_seconds
        self._producer: AIOKafkaProducer | None = None
        self._admin: AIOKafkaAdminClient | None = None
        self._looker: AIOKafkaConsumer | None = None
        # One publication at a time: a failed one must not be overtaken, and its producer is thrown away.
        self._publishing = asyncio.Lock()
        self._asking = asyncio.Lock()
        self._counts: dict[str, int] = {}
        self._subscriptions: set[KafkaSubscription] = set()
        self._retiring: set[asyncio.Task[None]] = set()
        self._closed = False

    # Life

    async def start(self) -> None:
        """Nothing to do: each part connects when it is first needed."""

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        await asyncio.gather(*(each.close() for each in tuple(self._subscriptions)))
        self._forget_producer()
        self._forget_clients()
        if self._retiring:
            patience = self.timeout_seconds + PATIENCE_SECONDS
            _, stuck = await asyncio.wait(tuple(self._retiring), timeout=patience)
            for task in stuck:
                task.cancel()

    async def ping(self) -> bool:
        try:
            async with self._asking:
                admin = await self._connected_admin()
                await self.bounded(admin.describe_cluster())
        except BusUnavailable:
            self._forget_clients()
            return False
        return True

    async def bounded(self, work: Awaitable[T], grace_seconds: float = 0.0) -> T:
        """The result of an exchange with the brokers, or BusUnavailable."""
        try:
            async with asyncio.timeout(self.timeout_seconds + grace_seconds):
                return await work
        except (CommitFailedError, UnknownMemberIdError):
            raise
        except (KafkaError, OSError, TimeoutError) as problem:
            raise BusUnavailable(f"Kafka: {type(problem).__name__}: {problem}") from problem

    def retire(self, stopping: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        """Stop a client in the background; `close` waits for it.

        One that cannot say goodbye to a broker that is away gives up by itself after a while. Cancelling it
        instead would leave its tasks and connections behind.
        """
        task = asyncio.create_task(_quietly(stopping))
        self._retiring.add(task)
        task.add_done_callback(self._retiring.discard)
        return task

    # Topics and publishing

    async def ensure_topics(self, topics: Iterable[TopicSpec]) -> None:
        async with self._asking:
            admin = await self._connected_admin()
            await self.bounded(ensure_topics(admin, list(topics)))
        async with self._publishing:
            self._counts.clear()
            # It would not know partitions that were added until it asks for them again, minutes later.
            self._forget_producer()

    async def publish(self, records: Sequence[Outgoing]) -> None:
        if not records:
            return
        for record in records:
            _check_size(record)
        by_place = await self._by_place(records)
        async with self._publishing:
            producer = await self._connected_producer()
            sending = [
                asyncio.create_task(self._send(producer, place, mine)) for place, mine in by_place.items()
            ]
            outcomes = await self._all(sending)
            problems = [each for each in outcomes if isinstance(each, BaseException)]
            if problems:
                # After a batch that timed out the sequence numbers of an idempotent producer have a hole.
                self._forget_producer()
                raise problems[0]

    @staticmethod
    async def _all(tasks: Sequence["asyncio.Task[None]"]) -> list[BaseException | None]:
        try:
            return await asyncio.gather(*tasks, return_exceptions=True)
        except asyncio.CancelledError:
            for task in tasks:
                task.cancel()
            raise

    async def _by_place(self, records: Sequence[Outgoing]) -> dict[Place, list[Outgoing]]:
        missing = {record.topic for record in records} - self._counts.keys()
        if missing:
            self._counts.update(await self._partition_counts(missing))
        unknown = missing - self._counts.keys()
        if unknown:
            raise KeyError(f"no such topic: {', '.join(sorted(unknown))}")
        by_place: dict[Place, list[Outgoing]] = defaultdict(list)
        for record in records:
            by_place[record.topic, partition_of(record.key, self._counts[record.topic])].append(record)
        return by_place

    async def _send(self, producer: AIOKafkaProducer, place: Place, records: Sequence[Outgoing]) -> None:
        """Send what belongs to one partition, a batch after the other.

        Each waits for the one before: if a batch failed and its successor did not, sending again would put
        the events of a key in the wrong order.
        """
        topic, partition = place
        now = int(time.time() * 1000)
        rest = iter(records)
        pending = next(rest, None)
        while pending is not None:
            batch = producer.create_batch()
            while pending is not None and _append(batch, pending, now):
                pending = next(rest, None)
            batch.close()
            acknowledged = await self.bounded(producer.send_batch(batch, topic, partition=partition))
            # The producer itself gives up after timeout_seconds; ours is only the net below.
            await self.bounded(acknowledged, grace_seconds=PATIENCE_SECONDS)

    async def _connected_producer(self) -> AIOKafkaProducer:
        if self._producer is None:
            producer = AIOKafkaProducer(
                bootstrap_servers=self.bootstrap,
                client_id=self.client_id,
                acks="all",
                enable_idempotence=True,
                max_batch_size=BATCH_BYTES,
                # Batches are made by hand, so waiting for more to come would only delay them.
                linger_ms=0,
                compression_type="lz4" if has_lz4() else None,
                request_timeout_ms=int(self.timeout_seconds * 1000),
            )
            try:
                await self.bounded(producer.start())
            except BaseException:
                self.retire(producer.stop())
                raise
            self._producer = producer
        return self._producer

    def _forget_producer(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            self.retire(producer.stop())

    # Groups

    def subscribe(
        self, group: str, topics: Sequence[str], *, start: StartAt = "earliest"
    ) -> KafkaSubscription:
        subscription = KafkaSubscription(self, group, topics, start)
        self._subscriptions.add(subscription)
        return subscription

    def forget(self, subscription: KafkaSubscription) -> None:
        """A subscription that closed itself."""
        self._subscriptions.discard(subscription)

    async def lag(self, group: str, topics: Sequence[str]) -> dict[Place, int]:
        async with self._looking(topics) as (looker, partitions):
            ends = await self.bounded(looker.end_offsets(partitions))
            beginnings = await self.bounded(looker.beginning_offsets(partitions))
        committed = await self.committed(group, topics)
        return {
            _place(each): ends[each] - max(committed.get(_place(each), 0), beginnings[each])
            for each in partitions
        }

    async def end_offsets(self, topics: Sequence[str]) -> dict[Place, int]:
        async with self._looking(topics) as (looker, partitions):
            ends = await self.bounded(looker.end_offsets(partitions))
        return {_place(each): offset for each, offset in ends.items()}

    async def committed(self, group: str, topics: Sequence[str]) -> dict[Place, int]:
        async with self._asking:
            admin = await self._connected_admin()
            found = await self.bounded(admin.list_consumer_group_offsets(group))
        return {
            _place(each): value.offset
            for each, value in found.items()
            if each.topic in topics and value.offset >= 0
        }

    async def reset(self, group: str, offsets: Mapping[Place, int]) -> None:
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self.bootstrap, group_id=group, enable_auto_commit=False
        )
        positions = {TopicPartition(*place): offset for place, offset in offsets.items()}
        try:
            await self.bounded(consumer.start())
            consumer.assign(list(positions))
            # Kafka takes offsets from somebody outside the group only while the group is empty.
            await self.bounded(consumer.commit(positions))
        except (CommitFailedError, UnknownMemberIdError) as problem:
            raise RuntimeError(f"group {group} has live members") from problem
        finally:
            self.retire(consumer.stop())

    # Clients that ask

    async def _partition_counts(self, topics: Iterable[str]) -> dict[str, int]:
        async with self._asking:
            admin = await self._connected_admin()
            return await self.bounded(partition_counts(admin, sorted(topics)))

    @asynccontextmanager
    async def _looking(
        self, topics: Sequence[str]
    ) -> AsyncIterator[tuple[AIOKafkaConsumer, list[TopicPartition]]]:
        counts = await self._partition_counts(topics)
        partitions = [TopicPartition(topic, n) for topic, count in counts.items() for n in range(count)]
        async with self._asking:
            yield await self._connected_looker(), partitions

    async def _connected_admin(self) -> AIOKafkaAdminClient:
        if self._admin is None:
            admin = AIOKafkaAdminClient(
                bootstrap_servers=self.bootstrap,
                client_id=self.client_id,
                request_timeout_ms=int(self.timeout_seconds * 1000),
            )
            try:
                await self.bounded(admin.start())
            except BaseException:
                self.retire(admin.close())
                raise
            self._admin = admin
        return self._admin

    async def _connected_looker(self) -> AIOKafkaConsumer:
        """A consumer that belongs to no group and only asks for offsets."""
        if self._looker is None:
            looker = AIOKafkaConsumer(bootstrap_servers=self.bootstrap, client_id=self.client_id)
            try:
                await self.bounded(looker.start())
            except BaseException:
                self.retire(looker.stop())
                raise
            self._looker = looker
        return self._looker

    def _forget_clients(self) -> None:
        admin, self._admin = self._admin, None
        looker, self._looker = self._looker, None
        if admin is not None:
            self.retire(admin.close())
        if looker is not None:
            self.retire(looker.stop())


def _place(partition: TopicPartition) -> Place:
    return partition.topic, partition.partition


def _check_size(record: Outgoing) -> None:
    size = len(record.value or b"") + len(record.key or "")
    size += sum(len(name) + len(value) for name, value in record.headers)
    if size > MAX_RECORD_BYTES:
        raise RecordTooLarge(f"{size} bytes on topic {record.topic}")


def _append(batch: Any, record: Outgoing, timestamp_ms: int) -> bool:
    """Whether the record still fitted; the first of a batch always does."""
    key = None if record.key is None else record.key.encode()
    added = batch.append(timestamp=timestamp_ms, key=key, value=record.value, headers=list(record.headers))
    return added is not None


async def _quietly(stopping: Coroutine[Any, Any, None]) -> None:
    try:
        await stopping
    except (KafkaError, OSError, TimeoutError) as problem:
        log.info("kafka_client_stopped_badly", problem=repr(problem))
