"""Where aiokafka would leave a member of a group standing still, and say nothing."""

import asyncio

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.coordinator.assignors.range import RangePartitionAssignor

from cli.embedded.kafka import EmbeddedKafka
from shared.bus import BusUnavailable, Record
from shared.bus.kafka import KafkaBus
from shared.bus.kafka_subscription import KafkaSubscription
from tests.shared.bus.world import DEADLINE_SECONDS, kafka_world, numbers, outgoing, read, settle, until

pytestmark = [pytest.mark.kafka, pytest.mark.server]


async def read_in_spite_of_outages(subscription: KafkaSubscription, count: int) -> tuple[list[Record], int]:
    """At least `count` records, and how often the bus was said to be away meanwhile."""
    found: list[Record] = []
    outages = 0
    async with asyncio.timeout(DEADLINE_SECONDS):
        while len(found) < count:
            try:
                async with subscription.batch(100, 0.5) as records:
                    found.extend(records)
            except BusUnavailable:
                outages += 1
    return found, outages


async def test_a_group_that_refuses_us_is_said_and_joined_once_it_can_be(kafka: EmbeddedKafka) -> None:
    world = kafka_world(kafka)
    async with world.stack:
        bus = await world.bus()
        topic = await world.topic(bus)
        await bus.publish(outgoing(topic, range(10)))
        other = AIOKafkaConsumer(
            topic,
            bootstrap_servers=kafka.bootstrap,
            group_id=world.name,
            enable_auto_commit=False,
            partition_assignment_strategy=(RangePartitionAssignor,),
        )
        await other.start()
        subscription = bus.subscribe(world.name, [topic])
        try:
            with pytest.raises(BusUnavailable, match="InconsistentGroupProtocol"):
                await read(subscription, 1)
        finally:
            await other.stop()
        found, _ = await read_in_spite_of_outages(subscription, 10)
    assert sorted(numbers(found)) == list(range(10))


async def test_a_member_that_did_not_poll_for_an_hour_is_still_one(kafka: EmbeddedKafka) -> None:
    world = kafka_world(kafka)
    async with world.stack:
        bus, other = await world.bus(), await world.bus()
        assert isinstance(bus, KafkaBus)
        topic = await world.topic(bus)
        one, two = bus.subscribe(world.name, [topic]), other.subscribe(world.name, [topic])
        await settle(one, partitions=4)
        client = one._consumer
        assert client is not None
        client._subscription._last_fetch_ended -= 3_600.0
        epoch = one._epoch

        async def gave_up() -> bool:
            return one._epoch > epoch

        # The rebalance begins before anybody polls again, as it does where a broker was away in the middle.
        await two.start()
        await until(gave_up)
        await settle(one, two, partitions=4)
        await bus.publish(outgoing(topic, range(20)))
        found = await asyncio.gather(read(one, 1), read(two, 1))
        assert one._consumer is client
    assert set(numbers([*found[0], *found[1]])) <= set(range(20))


@pytest.mark.parametrize("worker", ["coordination", "fetching"])
async def test_a_client_whose_work_in_the_background_ended_is_replaced(
    kafka: EmbeddedKafka, worker: str
) -> None:
    world = kafka_world(kafka)
    async with world.stack:
        bus = await world.bus()
        assert isinstance(bus, KafkaBus)
        topic = await world.topic(bus)
        subscription = bus.subscribe(world.name, [topic])
        await settle(subscription, partitions=4)
        first = subscription._consumer
        assert first is not None
        tasks = {
            "coordination": first._coordinator._coordination_task,
            "fetching": first._fetcher._fetch_task,
        }
        tasks[worker].cancel()
        await asyncio.wait({tasks[worker]})
        await bus.publish(outgoing(topic, range(20)))
        found, outages = await read_in_spite_of_outages(subscription, 20)
        assert sorted(numbers(found)) == list(range(20))
        assert outages > 0
        # What the old one still has to say concerns nobody.
        assigned = subscription.assigned
        await subscription.revoked(first)
        assert subscription.assigned == assigned
