"""Which function of a service hears which events, and in which order a batch of them is handed over."""

from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence
from typing import Any, TypeVar

from sqlalchemy.ext.asyncio import AsyncSession

from shared.database import Database
from shared.events import Envelope, Event
from shared.tracing import span, use_traceparent

__all__ = ["Handlers", "waves"]

E = TypeVar("E", bound=Event)
Unwanted = Callable[[AsyncSession], Awaitable[Collection[str]]]
Handler = Callable[[AsyncSession, Sequence[Envelope[Any]]], Awaitable[None]]


class Handlers:
    """Which function hears which events. A handler gets its events of one batch in one call.

    With `lanes` above one a large batch is spread by key over as many transactions at the same time: while
    PostgreSQL works on one, Python prepares the other. It suits a service whose handlers write rows of the
    event's own key only; rows that several keys share would have the lanes wait for each other.
    """

    def __init__(self, *, lanes: int = 1) -> None:
        self.lanes = lanes
        self.by_type: dict[str, Handler] = {}
        self._conditions: dict[str, Callable[[Any], bool]] = {}
        self._on_duplicates: Handler | None = None
        self._unwanted: Unwanted | None = None
        self._doubtful: frozenset[bytes] = frozenset()
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

    def unless(self, *event_types: type[Event]) -> Callable[[Unwanted], Unwanted]:
        """Register the function that names, by one statement, which of these types nobody waits for now.

        It is asked before every batch with such events, after the batch has come. So whoever began to wait
        before an event was stated is known when the event is here, and the records passed over cost next to
        nothing.
        """

        def register(unwanted: Unwanted) -> Unwanted:
            self._unwanted = unwanted
            self._doubtful = frozenset(event_type.type.encode() for event_type in event_types)
            return unwanted

        return register

    async def unwanted(self, database: Database, stated: Collection[bytes | None]) -> Collection[str]:
        """The event types that can be passed over in the batch at hand, whose records state these types.

        A record that states none may be of any.
        """
        if self._unwanted is None or (None not in stated and self._doubtful.isdisjoint(stated)):
            return ()
        async with database.glance() as session:
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
    types = {envelope.type for envelope in envelopes}
    if len(types) == 1:
        yield by_type[types.pop()], list(envelopes)
        return
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
