"""The batch consumer: a poll of records becomes one transaction of handler calls.

Delivery is at least once; the inbox makes the effect exactly once. A record that cannot be decoded, or that
a handler refuses, is found by halving the batch, put into the dead letters with its reason, and the rest
goes on. An outage is not a bad message: the batch goes back to the bus and the consumer backs off. If most
of a window is being refused, the code is at fault and the consumer stops instead of emptying the topic.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from uuid import UUID

import structlog

from shared import dead_letters, inbox, metrics
from shared.backoff import Backoff
from shared.bus import Bus, BusUnavailable, Record
from shared.clock import utc_now
from shared.database import Database, is_outage, is_transient, will_pass
from shared.events import (
    TOPICS,
    DeadLettered,
    Envelope,
    Event,
    UndecodableEvent,
    UnknownEventType,
    envelope_of,
)
from shared.events.fields import MAX_SENTENCE
from shared.handlers import Handlers
from shared.ids import derived_id
from shared.outbox import emit
from shared.problems import Refusal

__all__ = ["Consumer", "ConsumerStopped", "Handlers"]

log = structlog.get_logger("regulars.consumer")

MAX_REASON_CHARACTERS = 2_000
# Below this a transaction costs more for being there than for what is in it.
LANE_RECORDS = 256
# PostgreSQL sacrifices a transaction only now and then; one that is sacrificed this often is stuck.
MAX_SACRIFICES = 5


class ConsumerStopped(Exception):
    """Most of the latest records were refused; somebody must look before more are put aside."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """A record that somebody here wants to hear: its event, or why it cannot be read."""

    record: Record
    envelope: Envelope[Event] | None
    problem: UndecodableEvent | None = None


class Consumer:
    """Reads one service's topics and applies what it hears.

    `stop_ratio` of the latest `stop_window` records refused stops the consumer; `batch_records` and
    `wait_seconds` bound a poll. After one that was not full the consumer pauses for `linger_seconds`, if
    records come closer together than that: only then is there anything to gather.
    """

    def __init__(
        self,
        database: Database,
        bus: Bus,
        handlers: Handlers,
        *,
        group: str,
        batch_records: int,
        wait_seconds: float,
        linger_seconds: float = 0.0,
        stop_ratio: float,
        stop_window: int,
        backoff_max_seconds: float = 5.0,
    ) -> None:
        self._database = database
        self._bus = bus
        self._handlers = handlers
        self._group = group
        self._batch_records = batch_records
        self._wait_seconds = wait_seconds
        self._linger_seconds = linger_seconds
        self._stop_ratio = stop_ratio
        self._verdicts: deque[bool] = deque(maxlen=stop_window)
        self._backoff_max_seconds = backoff_max_seconds
        self.stopped = False

    async def run(self, alive: Callable[[], None], stopping: Callable[[], bool] = lambda: False) -> None:
        """Consume until `stopping` says so (between batches) or the stop limit is reached."""
        if not self._handlers.topics:
            return
        subscription = self._bus.subscribe(self._group, self._handlers.topics)
        await subscription.start()
        backoff = Backoff(cap_seconds=self._backoff_max_seconds)
        waiting_since = time.monotonic()
        try:
            while not stopping():
                alive()
                try:
                    async with subscription.batch(self._batch_records, self._wait_seconds) as records:
                        waited_seconds = time.monotonic() - waiting_since
                        if records:
                            await self.apply(records)
                        else:
                            self._caught_up()
                    backoff.reset()
                    if records:
                        if len(records) < self._batch_records and waited_seconds < self._linger_seconds:
                            await asyncio.sleep(self._linger_seconds)
                        waiting_since = time.monotonic()
                except Exception as error:
                    if not (is_outage(error) or isinstance(error, BusUnavailable)):
                        raise
                    reason = "bus" if isinstance(error, BusUnavailable) else "database"
                    metrics.CONSUMER_BACKOFFS.labels(self._group, reason).inc()
                    log.warning("consumer.backing_off", reason=reason, error=type(error).__name__)
                    await backoff.wait()
        except ConsumerStopped:
            self.stopped = True
            metrics.CONSUMER_STOPPED.labels(self._group).set(1)
            log.error("consumer.stopped", group=self._group)
        finally:
            await subscription.close()

    async def apply(self, records: Sequence[Record]) -> None:
        """Apply a batch of records; on return every one is applied, known already, unheard or buried."""
        started = time.perf_counter()
        stated = {_stated_type(record) for record in records}
        unwanted = await self._handlers.unwanted(self._database, stated)
        arrivals = list(self._arrivals(records, unwanted))
        for readable, run in groupby(arrivals, key=lambda arrival: arrival.envelope is not None):
            if readable:
                await self._apply_in_lanes(list(run))
            else:
                for arrival in run:
                    assert arrival.problem is not None
                    await self._bury(arrival, arrival.problem)
        metrics.CONSUMER_BATCH.labels(self._group).observe(len(records))
        metrics.CONSUMER_DURATION.labels(self._group).observe(time.perf_counter() - started)
        now = datetime.now(UTC)
        for topic, last in {record.topic: record for record in records}.items():
            age_seconds = max(0.0, (now - last.timestamp).total_seconds())
            metrics.CONSUMER_LAG_SECONDS.labels(self._group, topic).set(age_seconds)

    def _caught_up(self) -> None:
        for topic in self._handlers.topics:
            metrics.CONSUMER_LAG_SECONDS.labels(self._group, topic).set(0)

    def _arrivals(self, records: Iterable[Record], unwanted: Collection[str]) -> Iterator[Arrival]:
        heard = {name.encode() for name in self._handlers.by_type if name not in unwanted}
        for record in records:
            # Looking at one header is much cheaper than decoding a record that nobody here wants.
            event_type = _stated_type(record)
            if event_type is not None and not (event_type in heard or self._is_foreign(record, event_type)):
                continue
            try:
                envelope = envelope_of(record)
            except UnknownEventType:
                continue
            except UndecodableEvent as problem:
                yield Arrival(record, None, problem)
                continue
            # A null value reads as the topic's tombstone, whatever its headers say.
            if self._handlers.wants(envelope.data):
                yield Arrival(record, envelope)

    def _is_foreign(self, record: Record, event_type: bytes) -> bool:
        """Say whether nobody here ever hears the type, and storefronts write where it came.

        That is a mistake somebody should hear about; a type that is unwanted only for the moment is none.
        """
        if event_type.decode("utf-8", "replace") in self._handlers.by_type:
            return False
        return record.topic in TOPICS and TOPICS[record.topic].bare_type is not None

    async def _apply_in_lanes(self, arrivals: list[Arrival]) -> None:
        """Apply a run side by side in lanes if it is worth it; events of one key share a lane."""
        lanes: list[list[Arrival]] = [[] for _ in range(self._handlers.lanes)]
        if len(lanes) == 1 or len(arrivals) < LANE_RECORDS * len(lanes):
            await self._apply(arrivals)
            return
        for arrival in arrivals:
            lanes[hash(arrival.record.key) % len(lanes)].append(arrival)
        outcomes = await asyncio.gather(*map(self._apply, filter(None, lanes)), return_exceptions=True)
        # All lanes have ended, so the whole batch may come again: the inbox knows what was applied.
        failures = [outcome for outcome in outcomes if outcome is not None]
        for failure in sorted(failures, key=lambda failure: not isinstance(failure, ConsumerStopped)):
            raise failure

    async def _apply(self, arrivals: list[Arrival]) -> None:
        """Apply in one transaction; if that fails for a reason of its own, halve to find the record."""
        try:
            await self._transact(arrivals)
        except Exception as error:
            if will_pass(error):
                raise
            if len(arrivals) == 1:
                await self._bury(arrivals[0], error)
                return
            metrics.CONSUMER_SPLITS.labels(self._group).inc()
            middle = len(arrivals) // 2
            await self._apply(arrivals[:middle])
            await self._apply(arrivals[middle:])
        else:
            self._judge(refused=False, count=len(arrivals))

    async def _transact(self, arrivals: list[Arrival]) -> None:
        envelopes = [arrival.envelope for arrival in arrivals if arrival.envelope is not None]
        for sacrifices in range(MAX_SACRIFICES):
            try:
                async with self._database.transaction() as session:
                    fresh = await inbox.claim(session, [envelope.id for envelope in envelopes])
                    todo, known = _parted(envelopes, fresh)
                    await self._handlers.dispatch(session, todo)
                    await self._handlers.report_duplicates(session, known)
                break
            except Exception as error:
                if not is_transient(error) or sacrifices == MAX_SACRIFICES - 1:
                    raise
        handled = metrics.CONSUMER_EVENTS.labels(self._group, "all", "handled")
        handled.inc(len(todo))
        metrics.CONSUMER_EVENTS.labels(self._group, "all", "duplicate").inc(len(envelopes) - len(todo))

    async def _bury(self, arrival: Arrival, error: Exception) -> None:
        record, envelope = arrival.record, arrival.envelope
        code = error.code if isinstance(error, Refusal) else type(error).__name__
        reason = _reason(error)
        async with self._database.transaction() as session:
            if envelope is not None and not await inbox.claim(session, [envelope.id]):
                await self._handlers.report_duplicates(session, [envelope])
                return
            kept = await dead_letters.bury(
                session,
                topic=record.topic,
                partition=record.partition,
                offset=record.offset,
                key=record.key,
                event_id=None if envelope is None else envelope.id,
                event_type=None if envelope is None else envelope.type,
                value=record.value,
                headers=record.headers,
                code=code,
                reason=reason,
            )
            if kept:
                await emit(session, [self._announcement(arrival, code, reason)])
        if kept:
            metrics.DEAD_LETTERS.labels(record.topic, code).inc()
            log.warning("consumer.dead_letter", topic=record.topic, offset=record.offset, code=code)
        self._judge(refused=True, count=1)

    def _announcement(self, arrival: Arrival, code: str, reason: str) -> DeadLettered:
        """Tell whoever watches the bus, without the value where it may hold personal data."""
        record, envelope = arrival.record, arrival.envelope
        topic = TOPICS.get(record.topic)
        personal = topic is None or topic.personal
        position = (self._group, record.topic, str(record.partition), str(record.offset))
        return DeadLettered(
            dead_letter_id=derived_id("dead-letter", *position),
            service=self._group,
            record_topic=record.topic,
            record_partition=record.partition,
            record_offset=record.offset,
            record_key=None if record.key is None else dead_letters.storable(record.key),
            event_type=None if envelope is None else envelope.type,
            event_id=None if envelope is None else envelope.id,
            # A message may quote the record as well.
            reason=code if personal else f"{code}: {reason}"[:MAX_SENTENCE],
            value=None if personal else record.value,
            dead_lettered_at=utc_now(),
        )

    def _judge(self, *, refused: bool, count: int) -> None:
        """Remember verdicts; stop when too large a share of a full window was refused."""
        self._verdicts.extend([refused] * min(count, self._verdicts.maxlen or count))
        if refused and len(self._verdicts) == self._verdicts.maxlen:
            share = sum(self._verdicts) / len(self._verdicts)
            if share >= self._stop_ratio:
                raise ConsumerStopped

    async def retry_dead_letters(self) -> int:
        """Apply one dead letter whose retry was asked for; return how many were taken up (0 or 1)."""
        letter = None
        try:
            async with self._database.transaction() as session:
                letter = await dead_letters.take_retry(session)
                if letter is None:
                    return 0
                record = Record(
                    topic=letter.topic,
                    partition=letter.partition,
                    offset=letter.offset,
                    key=letter.key,
                    value=letter.value,
                    headers=letter.headers,
                    timestamp=letter.buried_at,
                )
                # The inbox claim was taken when the record was buried, so the handlers run straight away.
                envelope = envelope_of(record)
                if letter.event_id is None:
                    await inbox.claim(session, [envelope.id])
                await self._handlers.dispatch(session, [envelope])
                await dead_letters.resolve(session, [letter.id], "applied")
        except Exception as error:
            if will_pass(error) or letter is None:
                raise
            async with self._database.transaction() as session:
                code = error.code if isinstance(error, Refusal) else type(error).__name__
                await dead_letters.fail_retry(session, letter.id, code=code, reason=_reason(error))
        return 1


def _stated_type(record: Record) -> bytes | None:
    for name, value in record.headers:
        if name == "ce_type":
            return value
    return None


def _parted(
    envelopes: list[Envelope[Event]], fresh: set[UUID]
) -> tuple[list[Envelope[Event]], list[Envelope[Event]]]:
    """Part events into those to apply and those known already; one can come twice in a batch as well."""
    if len(fresh) == len(envelopes):
        return envelopes, []
    todo: list[Envelope[Event]] = []
    known: list[Envelope[Event]] = []
    for envelope in envelopes:
        (todo if envelope.id in fresh else known).append(envelope)
        fresh.discard(envelope.id)
    return todo, known


def _reason(error: Exception) -> str:
    """Return what to tell the operator: the refusal's own words, or the kind of error and its message."""
    if isinstance(error, Refusal | UndecodableEvent):
        faults = error.members.get("errors", ()) if isinstance(error, Refusal) else ()
        where = "; ".join(f"{fault['pointer']}: {fault['message']}" for fault in faults)
        reason = f"{error} {where}".rstrip()
    else:
        # PostgreSQL quotes column values from its second line on, and those may be personal.
        reason = f"{type(error).__name__}: {error}".split("\n", 1)[0]
    # The message may quote the record.
    return dead_letters.storable(reason)[:MAX_REASON_CHARACTERS]
