"""What both buses promise. Each test runs on PostgreSQL and, marked `kafka`, on Apache Kafka."""

import asyncio
import contextlib
import signal
import subprocess
import sys
from collections import defaultdict

import pytest

from shared.bus import MAX_RECORD_BYTES, BusUnavailable, Outgoing, Record, RecordTooLarge
from shared.testing import eventually
from tests.shared.bus.world import DEADLINE_SECONDS, Topic, World, numbers, outgoing, read, settle, until

pytestmark = pytest.mark.server


async def test_order_within_a_key_survives_many_publishers_and_batches(world: World) -> None:
    bus = await world.bus()
    topic = await world.topic(bus)

    async def state(key: str) -> None:
        other = await world.bus()
        for start in range(0, 200, 40):
            await other.publish(
                [Outgoing(topic, key, str(number).encode()) for number in range(start, start + 40)]
            )

    await asyncio.gather(*(state(f"key-{key}") for key in range(6)))
    found = await read(bus.subscribe(world.name, [topic]), 1200, max_records=130)
    by_key: dict[str | None, list[Record]] = defaultdict(list)
    for record in found:
        by_key[record.key].append(record)
    assert all(numbers(records) == list(range(200)) for records in by_key.values())
    assert all(len({record.partition for record in records}) == 1 for records in by_key.values())


async def test_offsets_count_from_zero_without_gaps(world: World) -> None:
    bus = await world.bus()
    topic = await world.topic(bus, partitions=2)
    await asyncio.gather(
        *(bus.publish(outgoing(topic, range(start, start + 50))) for start in range(0, 500, 50))
    )
    found = await read(bus.subscribe(world.name, [topic]), 500)
    ends = await bus.end_offsets([topic])
    for (_, partition), end in ends.items():
        assert [each.offset for each in found if each.partition == partition] == list(range(end))
    assert sum(ends.values()) == 500


async def test_headers_keys_and_values_come_back_as_they_went(world: World) -> None:
    bus = await world.bus()
    topic = await world.topic(bus, partitions=1)
    headers = (("ce_id", b"\x00\xff"), ("ce_type", b"order.paid"), ("ce_type", b""))
    sent = [
        Outgoing(topic, "schlüssel", "wërt".encode(), headers),
        Outgoing(topic, "gone", None),
        Outgoing(topic, None, b""),
    ]
    await bus.publish(sent)
    found = await read(bus.subscribe(world.name, [topic]), 3)
    assert [(each.key, each.value, each.headers) for each in found] == [
        (each.key, each.value, each.headers) for each in sent
    ]
    assert all(each.timestamp.tzinfo is not None for each in found)


async def test_every_group_gets_every_record(world: World) -> None:
    bus = await world.bus()
    topics = [await world.topic(bus), await world.topic(bus)]
    for topic in topics:
        await bus.publish(outgoing(topic, range(100)))
    for group in ("one", "two"):
        found = await read(bus.subscribe(f"{world.name}-{group}", topics), 200)
        assert sorted(numbers(found)) == sorted([*range(100), *range(100)])


async def test_latest_begins_at_the_end_and_stays_there(world: World) -> None:
    bus = await world.bus()
    topic = await world.topic(bus)
    await bus.publish(outgoing(topic, range(50)))
    first = bus.subscribe(world.name, [topic], start="latest")
    await settle(first, partitions=4)
    await first.close()
    await bus.publish(outgoing(topic, range(50, 60)))
    # The group's beginning was settled when it first joined, so what came meanwhile is not skipped.
    found = await read(bus.subscribe(world.name, [topic], start="latest"), 10)
    assert sorted(numbers(found)) == list(range(50, 60))


async def test_a_group_goes_on_where_it_stopped(world: World) -> None:
    bus = await world.bus()
    topic = await world.topic(bus)
    await bus.publish(outgoing(topic, range(100)))
    first = bus.subscribe(world.name, [topic])
    before = await read(first, 40, max_records=20)
    await first.close()
    after = await read(bus.subscribe(world.name, [topic]), 100 - len(before))
    assert sorted(numbers(before) + numbers(after)) == list(range(100))


async def test_nothing_in_time_is_an_empty_batch(world: World) -> None:
    bus = await world.bus()
    topic = await world.topic(bus)
    async with bus.subscribe(world.name, [topic]).batch(10, 0.05) as records:
        assert not records


async def test_an_exception_brings_the_same_records_again(world: World) -> None:
    bus = await world.bus()
    topic = await world.topic(bus, partitions=1)
    await bus.publish(outgoing(topic, range(30)))
    subscription = bus.subscribe(world.name, [topic])
    refused: list[Record] = []
    while not refused:
        with contextlib.suppress(LookupError):
            async with subscription.batch(10, 1.0) as records:
                refused = list(records)
                raise LookupError
    assert numbers(await read(subscription, 30)) == list(range(30))
    assert numbers(refused) == list(range(len(refused)))


async def test_a_vanished_consumer_is_replaced_and_its_batch_comes_again(world: World) -> None:
    bus = await world.bus()
    topic = await world.topic(bus)
    await bus.publish(outgoing(topic, range(40)))
    kind, address = world.connection
    victim = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.shared.bus.victim",
        *(kind, address, world.name, topic),
        stdout=subprocess.PIPE,
    )
    assert victim.stdout is not None
    async with asyncio.timeout(DEADLINE_SECONDS):
        held = int(await victim.stdout.readline())
    victim.send_signal(signal.SIGKILL)
    await victim.wait()
    assert held > 0
    found = await read(bus.subscribe(world.name, [topic]), 40)
    assert sorted(numbers(found)) == list(range(40))


async def test_members_share_the_partitions_and_nothing_is_read_twice(world: World) -> None:
    bus, other = await world.bus(), await world.bus()
    topic = await world.topic(bus)
    one, two = bus.subscribe(world.name, [topic]), other.subscribe(world.name, [topic])
    await one.start()
    await two.start()
    await settle(one, two, partitions=4)
    assert not one.assigned & two.assigned
    await bus.publish(outgoing(topic, range(200), keys=50))
    found: list[Record] = []
    async with asyncio.timeout(DEADLINE_SECONDS):
        while len(found) < 200:
            for subscription in (one, two):
                async with subscription.batch(50, 0.1) as records:
                    assert {(each.topic, each.partition) for each in records} <= subscription.assigned
                    found.extend(records)
    assert sorted(numbers(found)) == list(range(200))


async def test_a_newcomer_waits_for_the_batch_in_hand(world: World) -> None:
    bus, other = await world.bus(), await world.bus()
    topic = await world.topic(bus)
    await bus.publish(outgoing(topic, range(100), keys=50))
    one, two = bus.subscribe(world.name, [topic]), other.subscribe(world.name, [topic])
    found = await read(one, 10, max_records=10)
    newcomer: asyncio.Task[list[Record]] | None = None
    async with asyncio.timeout(DEADLINE_SECONDS):
        async with one.batch(30, 1.0) as held:
            assert held
            held_partitions = {(each.topic, each.partition) for each in held}
            newcomer = asyncio.create_task(read(two, 1))
            # Time in which the newcomer could take what is not its own yet.
            for _ in range(20):
                async with bus.subscribe(f"{world.name}-clock", [topic]).batch(1, 0.05):
                    assert not two.assigned & held_partitions
        found.extend(held)
        while not newcomer.done():
            async with one.batch(30, 0.1) as records:
                found.extend(records)
        found.extend(newcomer.result())
        while len(found) < 100:
            for subscription in (one, two):
                async with subscription.batch(30, 0.1) as records:
                    found.extend(records)
    assert sorted(numbers(found)) == list(range(100))


async def test_a_member_that_leaves_is_replaced_at_once(world: World) -> None:
    bus, other = await world.bus(), await world.bus()
    topic = await world.topic(bus)
    one, two = bus.subscribe(world.name, [topic]), other.subscribe(world.name, [topic])
    await one.start()
    await two.start()
    await settle(one, two, partitions=4)
    await two.close()
    await bus.publish(outgoing(topic, range(20)))
    assert sorted(numbers(await read(one, 20))) == list(range(20))


async def test_what_comes_right_after_a_rebalance_is_not_lost(world: World) -> None:
    bus, other = await world.bus(), await world.bus()
    topic = await world.topic(bus)
    one = bus.subscribe(world.name, [topic])

    async def alone() -> bool:
        return len(one.assigned) == 4

    await settle(one, partitions=4)
    for number in range(5):
        two = other.subscribe(world.name, [topic])
        await two.start()
        await settle(one, two, partitions=4)
        # One look spans the rebalance: it begins before, and finds what was published after.
        looking = asyncio.create_task(read(one, 20))
        await two.close()
        await until(alone)
        await bus.publish(outgoing(topic, range(number * 20, number * 20 + 20)))
        assert sorted(numbers(await looking)) == list(range(number * 20, number * 20 + 20))


async def test_nothing_is_lost_and_nothing_overtakes_while_members_come_and_go(world: World) -> None:
    bus = await world.bus()
    topic = await world.topic(bus)
    heard: dict[str | None, list[int]] = defaultdict(list)
    members: list[tuple[asyncio.Task[None], asyncio.Event]] = []

    async def member(leaving: asyncio.Event) -> None:
        subscription = (await world.bus()).subscribe(world.name, [topic])
        await subscription.start()
        while not leaving.is_set():
            async with subscription.batch(9, 0.2) as records:
                for record in records:
                    heard[record.key].append(int(record.value or b"-1"))
        await subscription.close()

    async def leave() -> None:
        task, leaving = members.pop(0)
        leaving.set()
        await task

    for step, joins in enumerate([True, True, False, True, True, False, False, True]):
        if joins:
            leaving = asyncio.Event()
            members.append((asyncio.create_task(member(leaving)), leaving))
        else:
            await leave()
        # Some come before the change is through, and some after it.
        for part in range(4):
            first = 40 * step + 10 * part
            await bus.publish(outgoing(topic, range(first, first + 10)))

            async def enough(goal: int = first - 20) -> bool:
                return sum(len(set(each)) for each in heard.values()) >= goal

            await until(enough)

    async def caught_up() -> bool:
        return set((await bus.lag(world.name, [topic])).values()) == {0}

    await until(caught_up)
    for key in range(7):
        # What comes again does so after it came first.
        assert list(dict.fromkeys(heard[f"key-{key}"])) == list(range(key, 320, 7))
    while members:
        await leave()


async def test_replay_from_an_offset_is_durable(world: World) -> None:
    bus = await world.bus()
    topic = await world.topic(bus, partitions=1)
    await bus.publish(outgoing(topic, range(20)))
    first = bus.subscribe(world.name, [topic])
    await read(first, 20)
    await first.seek(topic, 0, 15)
    await first.close()
    second = bus.subscribe(world.name, [topic])
    assert numbers(await read(second, 5)) == list(range(15, 20))
    await second.seek_to_beginning()
    assert numbers(await read(second, 20)) == list(range(20))
    with pytest.raises(KeyError):
        await second.seek(topic, 99, 0)


async def test_an_operator_moves_a_group_only_while_nobody_reads(world: World) -> None:
    bus = await world.bus()
    topic = await world.topic(bus, partitions=1)
    await bus.publish(outgoing(topic, range(10)))
    first = bus.subscribe(world.name, [topic])
    await read(first, 10)
    with pytest.raises(RuntimeError):
        await bus.reset(world.name, {(topic, 0): 4})
    await first.close()
    await bus.reset(world.name, {(topic, 0): 4})
    assert await bus.committed(world.name, [topic]) == {(topic, 0): 4}
    assert numbers(await read(bus.subscribe(world.name, [topic]), 6)) == list(range(4, 10))


async def test_a_batch_is_never_larger_than_asked(world: World) -> None:
    bus = await world.bus()
    topic = await world.topic(bus)
    await bus.publish(outgoing(topic, range(3_000)))
    subscription = bus.subscribe(world.name, [topic])
    seen = 0
    async with asyncio.timeout(DEADLINE_SECONDS):
        while seen < 3_000:
            async with subscription.batch(64, 0.5) as records:
                assert len(records) <= 64
                seen += len(records)
    assert seen == 3_000


async def test_lag_counts_what_was_not_committed(world: World) -> None:
    bus = await world.bus()
    topic = await world.topic(bus, partitions=2)
    await bus.publish(outgoing(topic, range(30)))
    assert sum((await bus.lag(world.name, [topic])).values()) == 30
    subscription = bus.subscribe(world.name, [topic])
    taken = len(await read(subscription, 1, max_records=10))
    assert sum((await bus.lag(world.name, [topic])).values()) == 30 - taken
    await read(subscription, 30 - taken)
    assert set((await bus.lag(world.name, [topic])).values()) == {0}
    assert sum((await bus.committed(world.name, [topic])).values()) == 30
    assert set(await bus.end_offsets([topic])) == {(topic, 0), (topic, 1)}


async def test_topics_are_made_once_and_may_grow(world: World) -> None:
    bus, other = await world.bus(), await world.bus()
    name = f"topic-{world.name}"
    await asyncio.gather(
        bus.ensure_topics([Topic(name, 2)]), other.ensure_topics([Topic(name, 2, retention_seconds=3600)])
    )
    await bus.publish(outgoing(name, range(20), keys=20))
    await bus.ensure_topics([Topic(name, 3, compacted=True)])

    async def grown() -> bool:
        return len(await bus.end_offsets([name])) == 3

    await until(grown)
    await bus.publish(outgoing(name, range(20, 40), keys=20))
    found = await read(bus.subscribe(world.name, [name]), 40)
    assert (sorted(numbers(found)), {each.partition for each in found}) == (list(range(40)), {0, 1, 2})


async def test_what_can_never_be_published_is_refused(world: World) -> None:
    bus = await world.bus()
    topic = await world.topic(bus)
    with pytest.raises(RecordTooLarge):
        await bus.publish([Outgoing(topic, "key", b"x" * (MAX_RECORD_BYTES + 1))])
    with pytest.raises(KeyError):
        await bus.publish([Outgoing("no-such-topic", "key", b"x")])
    await bus.publish([Outgoing(topic, "key", b"x" * (MAX_RECORD_BYTES - 1000))] * 3)
    assert len(await read(bus.subscribe(world.name, [topic]), 3)) == 3


@pytest.mark.kill
@pytest.mark.parametrize(
    "fragile_world", ["postgres", pytest.param("kafka", marks=pytest.mark.kafka)], indirect=True
)
async def test_an_outage_is_said_and_survived(fragile_world: World) -> None:
    world = fragile_world
    bus = await world.bus()
    topic = await world.topic(bus)
    subscription = bus.subscribe(world.name, [topic])
    await bus.publish(outgoing(topic, range(20)))
    found = await read(subscription, 10, max_records=10)
    assert await bus.ping()

    await asyncio.to_thread(world.break_it)
    assert not await bus.ping()
    with pytest.raises(BusUnavailable):
        await bus.publish(outgoing(topic, range(20, 40)))
    with pytest.raises(BusUnavailable):
        await bus.lag(world.name, [topic])
    with pytest.raises(BusUnavailable):
        # What was fetched before the outage may still be handed out; it cannot be committed.
        await read(subscription, 1_000)
    latecomer = await world.bus()
    assert not await latecomer.ping()

    await asyncio.to_thread(world.repair_it)

    async def everything_has_come() -> bool:
        with contextlib.suppress(BusUnavailable):
            if not {*range(20, 40)} & {*numbers(found)}:
                await latecomer.publish(outgoing(topic, range(20, 40)))
            async with subscription.batch(10, 0.5) as records:
                found.extend(records)
        return {*range(40)} <= {*numbers(found)}

    await eventually(everything_has_come, DEADLINE_SECONDS, poll_seconds=0.1)
    await bus.publish(outgoing(topic, range(40, 50)))
    while {*range(50)} - {*numbers(found)}:
        found.extend(await read(subscription, 1))
