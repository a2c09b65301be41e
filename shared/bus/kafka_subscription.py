"""One member of a consumer group on Kafka."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from aiokafka.errors import (
    CommitFailedError,
    IllegalStateError,
    KafkaError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
)

from shared import metrics
from shared.bus import BusUnavailable, Record, StartAt
from shared.bus import TopicPartition as Place

if TYPE_CHECKING:
    from shared.bus.kafka import KafkaBus

__all__ = ["KafkaSubscription"]

log = structlog.get_logger(__name__)

# How long one look at the brokers takes at most, so that a rebalance or an outage is noticed in between.
LOOK_SECONDS = 1.0

# aiokafka leaves the group for good when nobody polls for so long, and we do not poll while a rebalance waits
# for a broker that is away. Whether we are alive is for the health check to say.
MAX_POLL_INTERVAL_MS = 2**31 - 1


class KafkaSubscription:
    """See `shared.bus.Subscription`."""

    def __init__(self, bus: "KafkaBus", group: str, topics: Sequence[str], start: StartAt) -> None:
        self._bus = bus
        self._group = group
        self._topics = tuple(topics)
        self._start_at = start
        self._consumer: AIOKafkaConsumer | None = None
        self._in_hand: Sequence[Record] | None = None
        self._hand_empty = asyncio.Event()
        self._hand_empty.set()
        # Cleared from the moment a rebalance begins until partitions are ours again.
        self._settled = asyncio.Event()
        # Grows when partitions were given up; a batch taken before that may not be committed any more.
        self._epoch = 0
        # Partitions of which the client handed out records that nobody was given.
        self._overlooked: set[TopicPartition] = set()
        self._closed = False

    @property
    def assigned(self) -> frozenset[Place]:
        if self._consumer is None or not self._settled.is_set():
            return frozenset()
        return frozenset((each.topic, each.partition) for each in self._consumer.assignment())

    async def start(self) -> None:
        try:
            await self._connected()
        except BusUnavailable as problem:
            log.warning("bus_not_joined_yet", group=self._group, problem=str(problem))

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._bus.forget(self)
        self._hand_empty.set()
        stopping = self._disconnect()
        if stopping is not None:
            # Others get our partitions as soon as the goodbye arrived.
            await asyncio.wait({stopping}, timeout=self._bus.timeout_seconds)

    @asynccontextmanager
    async def batch(self, max_records: int, max_wait_seconds: float) -> AsyncIterator[Sequence[Record]]:
        if self._in_hand is not None:
            raise RuntimeError("a batch is in hand already")
        if self._closed:
            raise RuntimeError("the subscription is closed")
        records = await self._take(max_records, max_wait_seconds)
        self._in_hand, epoch = records, self._epoch
        self._hand_empty.clear()
        try:
            yield records
            if records:
                await self._commit(_following(records), epoch)
        except BaseException:
            self._give_back(records, epoch)
            raise
        finally:
            self._in_hand = None
            self._hand_empty.set()

    async def seek(self, topic: str, partition: int, offset: int) -> None:
        place = TopicPartition(topic, partition)
        if (topic, partition) not in self.assigned:
            raise KeyError((topic, partition))
        await self._move({place: offset})

    async def seek_to_beginning(self) -> None:
        consumer = await self._connected()
        partitions = [TopicPartition(*place) for place in self.assigned]
        await self._move(await self._bus.bounded(consumer.beginning_offsets(partitions)))

    # Taking, giving back, committing

    async def _take(self, max_records: int, max_wait_seconds: float) -> Sequence[Record]:
        clock = asyncio.get_running_loop().time
        deadline = clock() + max_wait_seconds
        consumer = await self._connected()
        while True:
            self._check_client(consumer)
            wait = min(LOOK_SECONDS, max(0.0, deadline - clock()))
            if await self._is_settled(wait):
                epoch = self._epoch
                await self._go_back(consumer)
                found = await self._look(consumer, max_records, max(0.0, min(wait, deadline - clock())))
                if not self._settled.is_set() or epoch != self._epoch:
                    # Partitions went while we looked; who has them next starts at what was committed. If that
                    # is us again, these may already be what comes after it.
                    self._overlooked.update(found)
                elif found:
                    return [_record(each) for records in found.values() for each in records]
            if clock() >= deadline:
                await self._check_brokers()
                return []

    async def _is_settled(self, wait_seconds: float) -> bool:
        try:
            async with asyncio.timeout(wait_seconds):
                await self._settled.wait()
        except TimeoutError:
            return self._settled.is_set()
        return True

    async def _look(
        self, consumer: AIOKafkaConsumer, max_records: int, wait_seconds: float
    ) -> dict[TopicPartition, list[Any]]:
        found: dict[TopicPartition, list[Any]] = {}
        try:
            # By itself it waits for a rebalance as long as that takes. It hands nothing out where it waits,
            # so nothing is lost by giving it up.
            async with asyncio.timeout(wait_seconds):
                found = await consumer.getmany(timeout_ms=int(wait_seconds * 1000), max_records=max_records)
        except TimeoutError:
            return {}
        except OffsetOutOfRangeError as problem:
            await self._go_on_after_loss(consumer, problem.args[0])
            return {}
        except NoOffsetForPartitionError as problem:
            await self._place_new(consumer, [problem.args[0]])
            return {}
        except KafkaError as problem:
            raise self._given_up(problem) from problem
        return found

    def _check_client(self, consumer: AIOKafkaConsumer) -> None:
        """Raise BusUnavailable if the client's work in the background ended; the next attempt makes another.

        aiokafka says so to whoever polls, and stands still until then; during a rebalance we do not poll.
        """
        try:
            consumer._coordinator.check_errors()
            if consumer._fetcher.error_future.done():
                consumer._fetcher.error_future.result()
                raise KafkaError("fetching ended")
        except (KafkaError, asyncio.CancelledError) as problem:
            # Nothing is awaited here: what was cancelled is a task of the client.
            raise self._given_up(problem) from problem

    def _given_up(self, problem: BaseException) -> BusUnavailable:
        self._disconnect()
        return BusUnavailable(f"Kafka: {type(problem).__name__}: {problem}")

    async def _check_brokers(self) -> None:
        # A consumer whose brokers are gone just finds nothing; the caller has to know the difference.
        if not await self._bus.ping():
            raise BusUnavailable("Kafka does not answer")

    def _give_back(self, records: Sequence[Record], epoch: int) -> None:
        if self._consumer is None or epoch != self._epoch:
            return
        _seek(self._consumer, _first(records))

    async def _go_back(self, consumer: AIOKafkaConsumer) -> None:
        """Begin again after what was committed where records were handed out for nothing."""
        epoch, places = self._epoch, self._overlooked & consumer.assignment()
        committed = {each: await self._bus.bounded(consumer.committed(each)) for each in places}
        if epoch != self._epoch or not self._settled.is_set():
            return
        _seek(consumer, {place: offset for place, offset in committed.items() if offset is not None})
        await self._place_new(consumer, [place for place, offset in committed.items() if offset is None])
        self._overlooked.clear()

    async def _commit(self, offsets: dict[TopicPartition, int], epoch: int) -> None:
        if epoch != self._epoch or self._consumer is None:
            log.warning("bus_commit_fenced", group=self._group, partitions=len(offsets))
            return
        try:
            await self._bus.bounded(self._consumer.commit(offsets))
        except (CommitFailedError, IllegalStateError):
            log.warning("bus_commit_fenced", group=self._group, partitions=len(offsets))

    async def _move(self, offsets: dict[TopicPartition, int]) -> None:
        if self._in_hand is not None:
            raise RuntimeError("leave the batch before seeking")
        consumer = await self._connected()
        for place, offset in offsets.items():
            consumer.seek(place, offset)
        await self._commit(offsets, self._epoch)

    # Where to begin

    async def _place_unplaced(self, consumer: AIOKafkaConsumer, places: Iterable[TopicPartition]) -> None:
        """Settle where the group begins in partitions that it never committed."""
        try:
            new = [each for each in places if await self._bus.bounded(consumer.committed(each)) is None]
            await self._place_new(consumer, new)
        except (BusUnavailable, KafkaError) as problem:
            # Polling will complain about the missing offset, and then it is tried again.
            log.warning("bus_start_not_settled", group=self._group, problem=str(problem))

    async def _place_new(self, consumer: AIOKafkaConsumer, places: Sequence[TopicPartition]) -> None:
        if not places:
            return
        epoch = self._epoch
        find = consumer.beginning_offsets if self._start_at == "earliest" else consumer.end_offsets
        offsets: dict[TopicPartition, int] = await self._bus.bounded(find(list(places)))
        if epoch != self._epoch:
            # Whoever got them meanwhile may be further, and that may be us again.
            return
        _seek(consumer, offsets)
        # Written down at once: what is published a moment later must not be skipped by a "latest" that is
        # resolved again after a crash.
        await self._commit(offsets, epoch)

    async def _go_on_after_loss(self, consumer: AIOKafkaConsumer, wanted: dict[TopicPartition, int]) -> None:
        epoch = self._epoch
        earliest = await self._bus.bounded(consumer.beginning_offsets(list(wanted)))
        latest = await self._bus.bounded(consumer.end_offsets(list(wanted)))
        if epoch != self._epoch:
            return
        for place, offset in wanted.items():
            goal = earliest[place] if self._bus.lost_offsets == "earliest" else latest[place]
            _seek(consumer, {place: goal})
            metrics.BUS_OFFSETS_LOST.labels(self._group, place.topic).inc(max(0, earliest[place] - offset))
            log.error(
                "bus_offsets_lost",
                group=self._group,
                topic=place.topic,
                partition=place.partition,
                records=earliest[place] - offset,
                policy=self._bus.lost_offsets,
            )

    # Joining and rebalancing

    async def _connected(self) -> AIOKafkaConsumer:
        if self._consumer is None:
            bus = self._bus
            self._settled.clear()
            consumer = AIOKafkaConsumer(
                bootstrap_servers=bus.bootstrap,
                client_id=bus.client_id,
                group_id=self._group,
                enable_auto_commit=False,
                # Nothing is reset behind our back: both cases have a stated policy here.
                auto_offset_reset="none",
                partition_assignment_strategy=(RoundRobinPartitionAssignor,),
                session_timeout_ms=int(bus.session_seconds * 1000),
                heartbeat_interval_ms=int(bus.session_seconds * 1000 / 4),
                # The group must wait for a batch in hand, and a little longer for its commit.
                rebalance_timeout_ms=int((bus.drain_seconds + bus.timeout_seconds) * 1000),
                max_poll_interval_ms=MAX_POLL_INTERVAL_MS,
                request_timeout_ms=int(bus.timeout_seconds * 1000),
                # A topic that is made after we joined is found this soon.
                metadata_max_age_ms=15_000,
            )
            self._consumer = consumer
            try:
                await bus.bounded(consumer.start())
            except BaseException:
                self._disconnect()
                raise
            # Subscribing before the start would make the start wait for the group's rebalance, and so for
            # the batches in hand of all its members.
            consumer.subscribe(topics=list(self._topics), listener=_Listener(self, consumer))
        return self._consumer

    def _disconnect(self) -> "asyncio.Task[None] | None":
        consumer, self._consumer = self._consumer, None
        self._epoch += 1
        self._settled.clear()
        if consumer is not None:
            return self._bus.retire(consumer.stop())
        return None

    async def revoked(self, consumer: AIOKafkaConsumer) -> None:
        """A rebalance begins: hand nothing out, let the batch in hand be committed, then let go."""
        if consumer is not self._consumer:
            # One that is being stopped, and gave its partitions up when that began.
            return
        self._settled.clear()
        try:
            async with asyncio.timeout(self._bus.drain_seconds):
                await self._hand_empty.wait()
        except TimeoutError:
            log.warning("bus_drain_timed_out", group=self._group, seconds=self._bus.drain_seconds)
        self._epoch += 1

    async def granted(self, consumer: AIOKafkaConsumer, places: Iterable[TopicPartition]) -> None:
        """A rebalance ended."""
        if consumer is not self._consumer:
            return
        await self._place_unplaced(consumer, places)
        if consumer is self._consumer:
            self._settled.set()


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka has no type information
    def __init__(self, subscription: KafkaSubscription, consumer: AIOKafkaConsumer) -> None:
        self._subscription = subscription
        self._consumer = consumer

    async def on_partitions_revoked(self, revoked: Any) -> None:
        await self._subscription.revoked(self._consumer)

    async def on_partitions_assigned(self, assigned: Any) -> None:
        await self._subscription.granted(self._consumer, assigned)


def _record(found: Any) -> Record:
    return Record(
        found.topic,
        found.partition,
        found.offset,
        # What others wrote must not stop a partition: keys that are no text, headers without a value.
        None if found.key is None else found.key.decode(errors="replace"),
        found.value,
        tuple((name, value or b"") for name, value in found.headers),
        _instant(found.timestamp),
    )


def _instant(timestamp_ms: int) -> datetime:
    try:
        return datetime.fromtimestamp(timestamp_ms / 1000, UTC)
    except (OverflowError, ValueError):
        # Microseconds by mistake, say: a year that no calendar has.
        return datetime.now(UTC)


def _following(records: Sequence[Record]) -> dict[TopicPartition, int]:
    return {TopicPartition(each.topic, each.partition): each.offset + 1 for each in records}


def _first(records: Sequence[Record]) -> dict[TopicPartition, int]:
    first: dict[TopicPartition, int] = {}
    for each in records:
        first.setdefault(TopicPartition(each.topic, each.partition), each.offset)
    return first


def _seek(consumer: AIOKafkaConsumer, offsets: Mapping[TopicPartition, int]) -> None:
    for place, offset in offsets.items():
        try:
            consumer.seek(place, offset)
        except IllegalStateError:
            # No longer ours: whoever has it starts at what was committed.
            continue
