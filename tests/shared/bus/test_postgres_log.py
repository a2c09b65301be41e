"""What only the embedded log has to prove: fencing, even plans, retention, compaction, lost offsets."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from cli.embedded.postgres import EmbeddedPostgres
from shared.bus import Outgoing, StartAt, partition_of
from shared.bus.postgres import PostgresBus
from shared.bus.postgres_batches import APPEND, pack
from shared.bus.postgres_membership import plan
from shared.bus.postgres_retention import tidy
from tests.shared.bus.world import Topic, numbers, outgoing, read, until

KEYS = [f"key-{number}" for number in range(20)]
NAMES = st.sampled_from(["orders", "points", "groups"])


@given(
    st.dictionaries(st.uuids(), st.sets(NAMES, min_size=1).map(sorted), min_size=1, max_size=5),
    st.lists(NAMES, max_size=20),
)
def test_plans_cover_every_partition_that_somebody_wants(
    members: dict[UUID, list[str]], topics: list[str]
) -> None:
    owners = plan(members, list(enumerate(topics)))
    wanted = {topic for subscribed in members.values() for topic in subscribed}
    assert owners.keys() == {number for number, topic in enumerate(topics) if topic in wanted}
    assert all(topics[number] in members[owner] for number, owner in owners.items())


@given(st.sets(st.uuids(), min_size=1, max_size=6), st.integers(0, 40))
def test_plans_are_even_and_all_members_make_the_same(members: set[UUID], partitions: int) -> None:
    subscribed = {member: ["orders"] for member in members}
    places = [(number, "orders") for number in range(partitions)]
    owners = plan(subscribed, places)
    counts = Counter(owners.values())
    shares = [counts[member] for member in members]
    assert max(shares) - min(shares) <= 1
    assert owners == plan(dict(reversed(subscribed.items())), reversed(places))


@pytest.fixture
def url(postgres: EmbeddedPostgres) -> str:
    """The database of the bus."""
    return postgres.create_service_database("bus_log")


@pytest.fixture
async def bus(url: str) -> AsyncIterator[PostgresBus]:
    """A client of the embedded log."""
    bus = PostgresBus(url, lease_seconds=3.0, poll_seconds=0.5)
    await bus.start()
    yield bus
    await bus.close()


@pytest.fixture
async def connection(url: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """A look at the tables."""
    connection = await asyncpg.connect(url)
    yield connection
    await connection.close()


async def made(bus: PostgresBus, partitions: int = 1, **settings: int | bool) -> str:
    """A new topic, of one partition unless told otherwise."""
    topic = Topic(f"topic-{uuid4().hex[:8]}", partitions, **settings)  # type: ignore[arg-type]  # as Topic has
    await bus.ensure_topics([topic])
    return topic.name


async def test_who_lost_the_lease_cannot_commit(
    bus: PostgresBus, connection: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    topic, group = await made(bus), uuid4().hex
    await bus.publish(outgoing(topic, range(10)))
    slow = bus.subscribe(group, [topic])
    async with slow.batch(10, 5.0) as records:
        assert len(records) == 10
        # As if this process had stood still for longer than its lease while another one took over.
        await connection.execute(
            "UPDATE bus.positions SET owner = $2, epoch = epoch + 1 WHERE group_name = $1", group, uuid4()
        )
    assert await bus.committed(group, [topic]) == {(topic, 0): 0}
    await slow.close()
    again = await read(bus.subscribe(group, [topic]), 10)
    assert numbers(again) == list(range(10))


async def test_a_place_that_a_crash_took_back_is_written_again(
    bus: PostgresBus, connection: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    topic, group = await made(bus), uuid4().hex
    await bus.publish(outgoing(topic, range(10)))
    subscription = bus.subscribe(group, [topic])
    async with subscription.batch(10, 5.0) as records:
        assert len(records) == 10
    # Places do not wait for the disk, so a crash may take the last ones back. Nothing else is published.
    await connection.execute("UPDATE bus.positions SET committed = 4 WHERE group_name = $1", group)

    async def is_written() -> bool:
        return await bus.committed(group, [topic]) == {(topic, 0): 10}

    await until(is_written)
    async with subscription.batch(10, 0.1) as records:
        assert list(records) == []
    await subscription.close()


async def test_a_batch_in_hand_for_too_long_holds_nobody_up(url: str) -> None:
    bus = PostgresBus(url, lease_seconds=3.0, drain_seconds=0.2, poll_seconds=0.2)
    other = PostgresBus(url, lease_seconds=3.0, drain_seconds=0.2, poll_seconds=0.2)
    topic, group = await made(bus), uuid4().hex
    await bus.publish(outgoing(topic, range(10)))
    first, second = bus.subscribe(group, [topic]), other.subscribe(group, [topic])
    # The plan gives a single partition to the smallest member, so one of the two has to let go.
    holder, waiter = (first, second) if first.member > second.member else (second, first)
    async with holder.batch(10, 5.0) as records:
        assert len(records) == 10
        taken = await read(waiter, 10)
    assert numbers(taken) == list(range(10))
    assert await bus.committed(group, [topic]) == {(topic, 0): 10}
    await bus.close()
    await other.close()


async def test_many_publishers_at_once_leave_no_gap(
    bus: PostgresBus, connection: "asyncpg.Connection[asyncpg.Record]", url: str
) -> None:
    topic = await made(bus, partitions=3)
    others = [PostgresBus(url) for _ in range(4)]
    await asyncio.gather(
        *(
            each.publish(outgoing(topic, range(start, start + 700)))
            for each in others
            for start in range(0, 2_100, 700)
        )
    )
    rows = await connection.fetch(
        'SELECT partition, "offset" FROM bus.readable WHERE topic = $1 ORDER BY partition, "offset"', topic
    )
    assert len(rows) == 4 * 2_100
    counts = Counter(row["partition"] for row in rows)
    assert [tuple(row) for row in rows] == [(n, place) for n in range(3) for place in range(counts[n])]
    await asyncio.gather(*(each.close() for each in others))


async def test_what_was_never_announced_is_read_although_other_records_keep_coming(
    bus: PostgresBus, connection: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    topic = await made(bus, partitions=2)
    silent, busy = (next(key for key in KEYS if partition_of(key, 2) == number) for number in (0, 1))
    silent_id = await connection.fetchval(
        "SELECT id FROM bus.partitions WHERE topic = $1 AND number = 0", topic
    )
    subscription = bus.subscribe("patient", [topic])
    await subscription.start()
    heard: set[str | None] = set()

    async def read_one_more() -> bool:
        await bus.publish([Outgoing(topic, busy, b"again")])
        async with subscription.batch(10, 5.0) as records:
            heard.update(record.key for record in records)
        return busy in heard

    await until(read_one_more)
    await connection.executemany(APPEND, pack([(silent_id, Outgoing(topic, silent, b"once"))]))

    async def heard_the_silent_one() -> bool:
        await read_one_more()
        return silent in heard

    await until(heard_the_silent_one)
    await subscription.close()


async def test_retention_removes_what_is_old(
    bus: PostgresBus, connection: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    topic = await made(bus, retention_seconds=3600)
    await bus.publish(outgoing(topic, range(10)))
    await connection.execute("UPDATE bus.batches SET appended_at = appended_at - interval '2 hours'")
    await bus.publish(outgoing(topic, range(10, 15)))
    await bus.tidy()
    assert numbers(await read(bus.subscribe(uuid4().hex, [topic]), 5)) == list(range(10, 15))
    assert (await bus.end_offsets([topic]))[topic, 0] == 15


@pytest.mark.parametrize(("policy", "expected"), [("earliest", list(range(10, 25))), ("latest", [])])
async def test_lost_offsets_are_said_and_survived(
    url: str, policy: StartAt, expected: list[int], connection: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    bus = PostgresBus(url, lost_offsets=policy)
    topic, group = await made(bus, retention_seconds=3600), uuid4().hex
    await bus.publish(outgoing(topic, range(5)))
    subscription = bus.subscribe(group, [topic])
    await read(subscription, 5)
    await subscription.close()
    await bus.publish(outgoing(topic, range(5, 10)))
    await connection.execute("UPDATE bus.batches SET appended_at = appended_at - interval '2 hours'")
    await bus.publish(outgoing(topic, range(10, 25)))
    await bus.tidy()
    subscription = bus.subscribe(group, [topic])
    with capture_logs() as logs:
        found = []
        async with subscription.batch(100, 5.0 if expected else 0.2) as records:
            found.extend(records)
    assert numbers(found) == expected
    assert [(each["event"], each["records"]) for each in logs] == [("bus_offsets_lost", 5)]
    await bus.publish(outgoing(topic, range(25, 30)))
    assert numbers(await read(subscription, 5)) == list(range(25, 30))
    await bus.close()


async def test_a_replay_from_the_beginning_begins_with_what_retention_left(
    url: str, connection: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    bus = PostgresBus(url, lost_offsets="latest")
    topic, group = await made(bus, retention_seconds=3600), uuid4().hex
    await bus.publish(outgoing(topic, range(5)))
    await connection.execute("UPDATE bus.batches SET appended_at = appended_at - interval '2 hours'")
    await bus.publish(outgoing(topic, range(5, 15)))
    await bus.tidy()
    subscription = bus.subscribe(group, [topic])
    await read(subscription, 10)
    with capture_logs() as logs:
        await subscription.seek_to_beginning()
        assert numbers(await read(subscription, 10)) == list(range(5, 15))
    assert not logs
    await bus.close()


async def test_compaction_keeps_the_newest_of_each_key_and_its_place(
    bus: PostgresBus, connection: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    topic, group = await made(bus, compacted=True), uuid4().hex
    for start in range(0, 60, 20):
        await bus.publish(outgoing(topic, range(start, start + 20), keys=5))
    await bus.publish([Outgoing(topic, "key-0", None)])
    subscription = bus.subscribe(group, [topic])
    await read(subscription, 60)
    await tidy(connection, compact_after=1)
    assert set((await bus.lag(group, [topic])).values()) == {0}
    # A tombstone stays for a day, so that groups which were away still learn of it.
    found = await read(bus.subscribe(uuid4().hex, [topic]), 5)
    assert [(each.offset, each.value) for each in found] == [
        *((offset, str(offset).encode()) for offset in (56, 57, 58, 59)),
        (60, None),
    ]
    await connection.execute("UPDATE bus.batches SET appended_at = appended_at - interval '2 days'")
    await bus.publish(outgoing(topic, range(61, 62)))
    await tidy(connection, compact_after=1)
    found = await read(bus.subscribe(uuid4().hex, [topic]), 5)
    assert [each.offset for each in found] == [56, 57, 58, 59, 61]
    assert await bus.end_offsets([topic]) == {(topic, 0): 62}


async def test_a_tombstone_takes_what_was_said_before_it_at_once_and_leaves_the_places(
    bus: PostgresBus, connection: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    topic = await made(bus, compacted=True)
    await bus.publish(outgoing(topic, range(20), keys=5))
    await bus.publish(
        [
            Outgoing(topic, "key-0", b"meanwhile"),
            Outgoing(topic, "key-0", None),
            Outgoing(topic, "key-0", b"new"),
        ]
    )
    found = await read(bus.subscribe(uuid4().hex, [topic]), 23)
    assert [each.offset for each in found] == list(range(23))
    assert [each.value for each in found if each.key == "key-0"] == [None] * 6 + [b"new"]
    assert [each.value for each in found if each.key == "key-1"] == [b"1", b"6", b"11", b"16"]
    payloads = await connection.fetch(
        "SELECT payload FROM bus.readable WHERE topic = $1 AND key = 'key-0' AND payload IS NOT NULL", topic
    )
    assert [row["payload"] for row in payloads] == [b"new"]
    await tidy(connection, compact_after=1)
    found = await read(bus.subscribe(uuid4().hex, [topic]), 5)
    assert [each.value for each in found] == [b"16", b"17", b"18", b"19", b"new"]


async def test_a_tombstone_on_a_topic_that_is_not_compacted_takes_nothing(bus: PostgresBus) -> None:
    topic = await made(bus)
    await bus.publish(outgoing(topic, range(3), keys=1))
    await bus.publish([Outgoing(topic, "key-0", None)])
    found = await read(bus.subscribe(uuid4().hex, [topic]), 4)
    assert [each.value for each in found] == [b"0", b"1", b"2", None]


async def test_what_every_group_has_read_goes_if_the_topic_says_so(
    bus: PostgresBus, connection: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    topic, kept = await made(bus, until_read=True), await made(bus)
    first, second = (bus.subscribe(uuid4().hex, [topic, kept]) for _ in range(2))
    for start in range(0, 30, 10):
        await bus.publish(outgoing(topic, range(start, start + 10)))
        await bus.publish(outgoing(kept, range(start, start + 10)))
    await tidy(connection)
    assert len(await read(first, 60)) == len(await read(second, 60)) == 60

    async def gone() -> bool:
        await tidy(connection)
        return not await connection.fetchval("SELECT count(*) FROM bus.readable WHERE topic = $1", topic)

    await until(gone)
    assert await connection.fetchval("SELECT count(*) FROM bus.readable WHERE topic = $1", kept) == 30
    await bus.publish(outgoing(topic, range(30, 33)))
    assert numbers(await read(first, 3)) == [30, 31, 32]


async def test_a_reader_in_the_middle_survives_compaction(
    bus: PostgresBus, connection: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    topic = await made(bus, compacted=True)
    await bus.publish(outgoing(topic, range(100), keys=100))
    subscription = bus.subscribe(uuid4().hex, [topic])
    before = await read(subscription, 30, max_records=30)
    await bus.publish(outgoing(topic, range(100, 150), keys=100))
    await tidy(connection, compact_after=1)
    after = numbers(await read(subscription, 120))
    assert numbers(before) + after == sorted({*numbers(before), *after})
    assert {*range(50, 150)} <= {*after}


async def test_processes_that_start_together_make_one_schema(postgres: EmbeddedPostgres) -> None:
    url = postgres.create_service_database(f"bus_{uuid4().hex[:8]}")
    buses = [PostgresBus(url) for _ in range(6)]
    assert all(await asyncio.gather(*(each.ping() for each in buses)))
    await asyncio.gather(*(each.ensure_topics([Topic("orders")]) for each in buses))
    assert len(await buses[0].end_offsets(["orders"])) == 4
    await asyncio.gather(*(each.close() for each in buses))


async def test_a_lost_listener_is_replaced(
    bus: PostgresBus, connection: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    listening = "SELECT pid FROM pg_stat_activity WHERE application_name = 'regulars bus listener'"

    async def listens() -> bool:
        return bool(await connection.fetch(listening))

    await until(listens)
    before = {row["pid"] for row in await connection.fetch(listening)}
    await connection.fetch(f"SELECT pg_terminate_backend(pid) FROM ({listening}) AS listening")

    async def replaced() -> bool:
        return bool({row["pid"] for row in await connection.fetch(listening)} - before)

    await until(replaced)
