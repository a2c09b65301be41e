"""The consumer: one effect per event, order per key, poison put aside, outages waited out."""

import asyncio
from collections.abc import Sequence
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from shared import dead_letters
from shared.bus import Bus, Outgoing
from shared.consumer import Consumer, ConsumerStopped, Handlers
from shared.database import Database
from shared.events import Envelope, SegmentEntered, SegmentLeft
from shared.handlers import waves
from shared.ids import new_id
from shared.problems import Refusal
from shared.testing import eventually
from tests.fixtures.platform import Topicful, derived, entered, journal, write


class Poisonous(Refusal):
    """This one is poison."""


POISON = derived("segment", 666)


def journalling(*, lanes: int = 1) -> Handlers:
    """Return handlers that write what they hear, and refuse one segment."""
    handlers = Handlers(lanes=lanes)

    @handlers.on(SegmentEntered)
    async def on_entered(session: AsyncSession, events: Sequence[Envelope[SegmentEntered]]) -> None:
        if any(event.data.segment_id == POISON for event in events):
            raise Poisonous("It was in the batch.")
        await write(session, [(event.key, f"+{event.data.segment_id}") for event in events])

    @handlers.on(SegmentLeft)
    async def on_left(session: AsyncSession, events: Sequence[Envelope[SegmentLeft]]) -> None:
        await write(session, [(event.key, f"-{event.data.segment_id}") for event in events])

    return handlers


def consumer(database: Database, bus: Bus, handlers: Handlers, *, window: int = 100) -> Consumer:
    return Consumer(
        database,
        bus,
        handlers,
        group="toys",
        batch_records=500,
        wait_seconds=0.05,
        stop_ratio=0.5,
        stop_window=window,
        backoff_max_seconds=0.2,
    )


def left(member: int, segment: int = 0) -> SegmentLeft:
    event = entered(member, segment)
    return SegmentLeft(segment_id=event.segment_id, segment_version=1, member_id=event.member_id, at=event.at)


async def test_repeated_records_have_one_effect(platform_database: Database, platform_bus: Bus) -> None:
    topic = Topicful()
    records = [topic.record(entered(n)) for n in range(50)]
    consuming = consumer(platform_database, platform_bus, journalling())
    await consuming.apply(records + records[:10])
    await consuming.apply(records[::-1])
    assert len(await journal(platform_database)) == 50


async def test_whoever_counts_is_told_of_repeated_records(
    platform_database: Database, platform_bus: Bus
) -> None:
    topic = Topicful()
    records = [topic.record(entered(n)) for n in range(5)]
    handlers = journalling()

    @handlers.on_duplicates
    async def on_duplicates(session: AsyncSession, events: Sequence[Envelope[SegmentEntered]]) -> None:
        await write(session, [(event.key, "again") for event in events])

    consuming = consumer(platform_database, platform_bus, handlers)
    await consuming.apply([*records, records[0]])
    await consuming.apply(records[1:3])
    again = [key for key, entry in await journal(platform_database) if entry == "again"]
    assert again == [record.key for record in records[:3]]


@given(st.lists(st.tuples(st.integers(0, 3), st.booleans()), max_size=60))
def test_waves_keep_the_order_within_each_key(history: list[tuple[int, bool]]) -> None:
    topic = Topicful()
    handlers = journalling()
    from shared.events import envelope_of

    envelopes = [envelope_of(topic.record(entered(n) if joins else left(n))) for n, joins in history]
    calls = list(waves(envelopes, handlers.by_type))
    flat = [envelope for _, batch in calls for envelope in batch]
    for n in {n for n, _ in history}:
        key = str(derived("member", n))
        assert [e.id for e in flat if e.key == key] == [e.id for e in envelopes if e.key == key]
    assert len(flat) == len(envelopes)
    assert all(handlers.by_type[e.type] is handler for handler, batch in calls for e in batch)


async def test_lanes_keep_the_order_within_each_key_and_spare_each_other_the_poison(
    platform_database: Database, platform_bus: Bus
) -> None:
    topic = Topicful()
    events = [turn(n, segment) for segment in range(40) for n in range(20) for turn in (entered, left)]
    records = [topic.record(event) for event in events]
    records.insert(700, topic.record(entered(3, 666)))
    consuming = consumer(platform_database, platform_bus, journalling(lanes=3))
    await consuming.apply(records)
    await consuming.apply(records[::-1])
    written = await journal(platform_database)
    assert len(written) == len(events)
    for n in range(20):
        key = str(derived("member", n))
        expected = [f"{sign}{entered(n, segment).segment_id}" for segment in range(40) for sign in "+-"]
        assert [entry for each, entry in written if each == key] == expected
    async with platform_database.reading() as session:
        letters = await dead_letters.list_letters(session, after_id=0, limit=10)
    assert [letter.code for letter in letters] == ["poisonous"]


async def test_poison_is_put_aside_with_its_reason_and_the_rest_flows(
    platform_database: Database, platform_bus: Bus
) -> None:
    topic = Topicful()
    records = [topic.record(entered(n, 666 if n in (17, 400) else 0)) for n in range(500)]
    records[30] = topic.record(entered(30), value=b"{not json")
    # Storefronts write here too, and PostgreSQL's text cannot hold NUL.
    records[31] = msgspec.structs.replace(records[31], key="a\x00b", headers=(("na\x00me", b"\x00"),))
    await consumer(platform_database, platform_bus, journalling()).apply(records)
    assert len(await journal(platform_database)) == 496
    async with platform_database.reading() as session:
        letters = await dead_letters.list_letters(session, after_id=0, limit=10)
        announced = await session.scalar(text("SELECT count(*) FROM outbox WHERE type = 'dead.lettered'"))
    codes = sorted(letter.code for letter in letters)
    assert codes == ["UndecodableEvent", "UndecodableEvent", "poisonous", "poisonous"]
    assert ("a\\x00b", (("na\\x00me", b"\x00"),)) in [(letter.key, letter.headers) for letter in letters]
    assert {letter.reason for letter in letters if letter.code == "poisonous"} == {"It was in the batch."}
    assert announced == 4


async def test_a_dead_letter_is_applied_by_a_retry_once_the_cause_is_gone(
    platform_database: Database, platform_bus: Bus
) -> None:
    topic = Topicful()
    await consumer(platform_database, platform_bus, journalling()).apply([topic.record(entered(1, 666))])
    async with platform_database.transaction() as session:
        assert await dead_letters.request_retry(session, []) == 1
    still_bad = consumer(platform_database, platform_bus, journalling())
    assert await still_bad.retry_dead_letters() == 1
    async with platform_database.transaction() as session:
        (letter,) = await dead_letters.list_letters(session, after_id=0, limit=10)
        assert (letter.attempts, letter.retry_requested_at) == (2, None)
        await dead_letters.request_retry(session, [letter.id])

    mended = Handlers()

    @mended.on(SegmentEntered)
    async def on_entered(session: AsyncSession, events: Sequence[Envelope[SegmentEntered]]) -> None:
        await write(session, [(event.key, "mended") for event in events])

    assert await consumer(platform_database, platform_bus, mended).retry_dead_letters() == 1
    assert await consumer(platform_database, platform_bus, mended).retry_dead_letters() == 0
    assert [entry for _, entry in await journal(platform_database)] == ["mended"]
    async with platform_database.reading() as session:
        assert await dead_letters.count_waiting(session) == 0


async def test_the_consumer_stops_before_it_empties_a_topic_into_the_dead_letters(
    platform_database: Database, platform_bus: Bus
) -> None:
    topic = Topicful()
    records = [topic.record(entered(n, 666)) for n in range(200)]
    with pytest.raises(ConsumerStopped):
        await consumer(platform_database, platform_bus, journalling(), window=20).apply(records)
    async with platform_database.reading() as session:
        assert await dead_letters.count_waiting(session) == 20


async def test_an_outage_is_no_dead_letter_and_the_batch_comes_again(
    platform_database: Database, platform_bus: Bus
) -> None:
    failures = 3
    heard: list[UUID] = []
    handlers = Handlers()

    @handlers.on(SegmentEntered)
    async def on_entered(session: AsyncSession, events: Sequence[Envelope[SegmentEntered]]) -> None:
        nonlocal failures
        if failures:
            failures -= 1
            raise ConnectionResetError
        heard.extend(event.id for event in events)

    topic = Topicful()
    records = [topic.record(entered(n)) for n in range(20)]
    await platform_bus.publish([Outgoing(r.topic, r.key, r.value, r.headers) for r in records])
    stopping = False
    consuming = consumer(platform_database, platform_bus, handlers)
    task = asyncio.create_task(consuming.run(lambda: None, lambda: stopping))
    await eventually(lambda: len(heard) == 20)
    stopping = True
    await task
    assert failures == 0
    assert len(set(heard)) == 20
    assert sum((await platform_bus.lag("toys", ["segments"])).values()) == 0
    async with platform_database.reading() as session:
        assert await dead_letters.count_waiting(session) == 0


async def test_records_that_nobody_here_hears_are_passed_over(
    platform_database: Database, platform_bus: Bus
) -> None:
    handlers = Handlers()

    @handlers.on(SegmentLeft)
    async def on_left(session: AsyncSession, events: Sequence[Envelope[SegmentLeft]]) -> None:
        await write(session, [(event.key, "left") for event in events])

    topic = Topicful()
    await consumer(platform_database, platform_bus, handlers).apply(
        [topic.record(entered(1)), topic.record(left(1)), topic.record(entered(2), event_id=new_id())]
    )
    assert [entry for _, entry in await journal(platform_database)] == ["left"]


async def test_events_that_fail_a_handlers_condition_cost_no_claim(
    platform_database: Database, platform_bus: Bus
) -> None:
    handlers = Handlers()

    @handlers.on(SegmentEntered, when=lambda event: event.segment_id != POISON)
    async def on_entered(session: AsyncSession, events: Sequence[Envelope[SegmentEntered]]) -> None:
        await write(session, [(event.key, "wanted") for event in events])

    topic = Topicful()
    records = [topic.record(entered(n, 666 if n % 2 else 0)) for n in range(10)]
    await consumer(platform_database, platform_bus, handlers).apply(records)
    assert len(await journal(platform_database)) == 5
    async with platform_database.reading() as session:
        assert await session.scalar(text("SELECT count(*) FROM inbox")) == 5


async def test_whether_anybody_waits_is_asked_only_for_batches_that_it_matters_to(
    platform_database: Database, platform_bus: Bus
) -> None:
    handlers = journalling()
    asked = 0

    @handlers.unless(SegmentLeft)
    async def nobody_waits_for(session: AsyncSession) -> set[str]:
        nonlocal asked
        asked += 1
        return {SegmentLeft.type}

    topic = Topicful()
    consuming = consumer(platform_database, platform_bus, handlers)
    await consuming.apply([topic.record(entered(n)) for n in range(3)])
    assert asked == 0
    await consuming.apply([topic.record(left(1)), topic.record(entered(4))])
    assert asked == 1
    assert {entry[0] for _, entry in await journal(platform_database)} == {"+"}
