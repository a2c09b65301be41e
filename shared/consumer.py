"""The batch consumer: a poll of records becomes one transaction of handler calls.

Delivery is at least once; the inbox makes the effect exactly once. A record that cannot be decoded, or that
a handler refuses, is found by halving the batch, put into the dead letters with its reason, and the rest
goes on. An outage is not a bad message: the batch goes back to the bus and the consumer backs off. If most
of a window is being refused, the code is at fault and the consumer stops instead of emptying the topic.
"""

import time
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from typing import Any, TypeVar

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from shared import dead_letters, inbox, metrics
from shared.backoff import Backoff
from shared.bus import Bus, BusUnavailable, Record
from shared.clock import utc_now
from shared.database import Database, is_outage, is_transient
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
from shared.ids import derived_id
from shared.outbox import emit
from shared.problems import Refusal
from shared.tracing import span, use_traceparent

__all__ = ["Consumer", "ConsumerStopped", "Handlers"]

log = structlog.get_logger("regulars.consumer")

E = TypeVar("E", bound=Event)
Handler = Callable[[AsyncSession, Sequence[Envelope[Any]]], Awaitable[None]]

MAX_REASON_CHARACTERS = 2_000
# PostgreSQL sacrifices a transaction only now and then; one that is sacrificed this often is stuck.
MAX_SACRIFICES = 5


class ConsumerStopped(Exception):
    """Most of the latest records were refused; somebody must look before more are put aside."""


class Handlers:
    """Which function hears which events. A handler gets its events of one batch in one call."""

    def __init__(self) -> None:
        self.by_type: dict[str, Handler] = {}
        self._conditions: dict[str, Callable[[Any], bool]] = {}
        self._on_duplicates: Handler | None = None
        self._unwanted: Callable[[AsyncSession], Awaitable[Collection[str]]] | None = None
        self._topics: dict[str, None] = {}

    def on(
        self, *event_types: type[E], when: Callable[[E], bool] | None = None
    ) -> Callable[[Callable[..., Awaitable[None]]], Handler]:
        """Register a handler `(session, envelopes)` for events; an event type has one handler per service.

        Events for which `when` is false are passed over as if nobody heard them: they cost no transaction.
        It must be a fact of the event alone, so that every delivery is judged alike.
        """

        def register(handler: Callable[..., Awaitable[None]]) -> Handler:
            for event_type in event_types:
                if event_type.type in self.by_type:
                    raise TypeError(f"{event_type.type} already has a handler")
                self.by_type[event_type.type] = handler
                self._topics[event_type.topic] = None
                if when is not None:
                    self._conditions[event_type.type] = when
            return handler

        return register

    def wants(self, event: Event) -> bool:
        """Say whether a handler hears this event."""
        if event.type not in self.by_type:
            return False
        when = self._conditions.get(event.type)
        return when is None or when(event)

    def on_duplicates(self, handler: Callable[..., Awaitable[None]]) -> Handler:
        """Register the one handler that is told of events which the inbox knew already, to count them.

        It runs in the transaction of the batch. What it learns is how often delivery repeated itself, never
        news.
        """
        self._on_duplicates = handler
        return handler

    def unless(
        self, unwanted: Callable[[AsyncSession], Awaitable[Collection[str]]]
    ) -> Callable[[AsyncSession], Awaitable[Collection[str]]]:
        """Register the function that names the event types which nobody waits for at the moment.

        It is asked before every batch, after the batch has come. So whoever began to wait before an event
        was stated is known when the event is here, and the records passed over cost next to nothing.
        """
        self._unwanted = unwanted
        return unwanted

    async def unwanted(self, database: Database) -> Collection[str]:
        """The event types that can be passed over in the batch at hand."""
        if self._unwanted is None:
            return ()
        async with database.reading() as session:
            return await self._unwanted(session)

    async def report_duplicates(self, session: AsyncSession, envelopes: Sequence[Envelope[Event]]) -> None:
        """Tell whoever counts them of deliveries that have no effect."""
        if envelopes and self._on_duplicates is not None:
            await self._on_duplicates(session, envelopes)

    @property
    def topics(self) -> list[str]:
        """The topics that carry what is heard."""
        return list(self._topics)

    async def dispatch(self, session: AsyncSession, envelopes: Sequence[Envelope[Event]]) -> None:
        """Hand each handler its events as one batch, while keeping the order within every key."""
        for handler, batch in waves(envelopes, self.by_type):
            links = (event.traceparent for event in batch)
            with use_traceparent(batch[0].traceparent), span("consume", links=links, records=len(batch)):
                await handler(session, batch)


def waves(
    envelopes: Sequence[Envelope[Event]], by_type: dict[str, Handler]
) -> Iterator[tuple[Handler, list[Envelope[Event]]]]:
    """Group events into handler calls, as few as the order within each key allows.

    An event joins the wave of its key's previous event if both have the same handler, else the next one;
    the waves run in order, each handler once per wave. The order between keys does not matter.
    """
    latest: dict[tuple[str, str], tuple[int, Handler]] = {}
    planned: list[dict[Handler, list[Envelope[Event]]]] = []
    for envelope in envelopes:
        handler = by_type[envelope.type]
        key = (envelope.data.topic, envelope.key)
        wave, previous = latest.get(key, (0, handler))
        if previous is not handler:
            wave += 1
        latest[key] = (wave, handler)
        if wave == len(planned):
            planned.append(defaultdict(list))
        planned[wave][handler].append(envelope)
    for calls in planned:
        yield from calls.items()


@dataclass(frozen=True, slots=True)
class Arrival:
    """A record that somebody here wants to hear: its event, or why it cannot be read."""

    record: Record
    envelope: Envelope[Event] | None
    problem: UndecodableEvent | None = None


class Consumer:
    """Reads one service's topics and applies what it hears.

    `stop_ratio` of the latest `stop_window` records refused stops the consumer; `batch_records` and
    `wait_seconds` bound a poll.
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
        try:
            while not stopping():
                alive()
                try:
                    async with subscription.batch(self._batch_records, self._wait_seconds) as records:
                        if records:
                            await self.apply(records)
                        else:
                            self._caught_up()
                    backoff.reset()
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
        unwanted = await self._handlers.unwanted(self._database)
        arrivals = list(self._arrivals(records, unwanted))
        for readable, run in groupby(arrivals, key=lambda arrival: arrival.envelope is not None):
            if readable:
                await self._apply(list(run))
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
        for record in records:
            # Looking at one header is much cheaper than decoding a record that nobody here wants.
            event_type = next((value for name, value in record.headers if name == "ce_type"), None)
            if event_type is not None and not self._hears(record.topic, event_type):
                continue
            if unwanted and event_type is not None and event_type.decode("utf-8", "replace") in unwanted:
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

    def _hears(self, topic: str, event_type: bytes) -> bool:
        if event_type.decode("utf-8", "replace") in self._handlers.by_type:
            return True
        # Where storefronts write, a foreign type is a mistake that somebody should hear about.
        return topic in TOPICS and TOPICS[topic].bare_type is not None

    async def _apply(self, arrivals: list[Arrival]) -> None:
        """Apply in one transaction; if that fails for a reason of its own, halve to find the record."""
        try:
            await self._transact(arrivals)
        except Exception as error:
            if is_outage(error) or is_transient(error):
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
                    fresh = await inbox.claim(session, list({envelope.id for envelope in envelopes}))
                    todo, known = [], []
                    for envelope in envelopes:
                        if envelope.id in fresh:
                            # The same event can come twice in one batch as well.
                            fresh.discard(envelope.id)
                            todo.append(envelope)
                        else:
                            known.append(envelope)
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
            record_key=record.key,
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
            if is_outage(error) or is_transient(error) or letter is None:
                raise
            async with self._database.transaction() as session:
                code = error.code if isinstance(error, Refusal) else type(error).__name__
                await dead_letters.fail_retry(session, letter.id, code=code, reason=_reason(error))
        return 1


def _reason(error: Exception) -> str:
    """Return what to tell the operator: the refusal's own words, or the kind of error and its message."""
    if isinstance(error, Refusal | UndecodableEvent):
        reason = str(error)
    else:
        # PostgreSQL quotes column values from its second line on, and those may be personal.
        reason = f"{type(error).__name__}: {error}".split("\n", 1)[0]
    # PostgreSQL text cannot hold NUL, and the message may quote the record.
    return reason.replace("\x00", "\\x00")[:MAX_REASON_CHARACTERS]
