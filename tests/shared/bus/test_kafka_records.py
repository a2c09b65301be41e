"""What other programs may write to Kafka's topics, and what we make of it."""

import time

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from cli.embedded.kafka import EmbeddedKafka
from tests.shared.bus.world import kafka_world, numbers, outgoing, read


@pytest.mark.kafka
async def test_keys_and_headers_that_are_no_text_come_as_text(kafka: EmbeddedKafka) -> None:
    world = kafka_world(kafka)
    async with world.stack:
        bus = await world.bus()
        topic = await world.topic(bus, partitions=1)
        async with AIOKafkaProducer(bootstrap_servers=kafka.bootstrap) as producer:
            await producer.send_and_wait(topic, b"value", key=b"\xff", headers=[("name", None)])
        await bus.publish(outgoing(topic, range(1)))
        first, second = await read(bus.subscribe(world.name, [topic]), 2)
    assert (first.key, first.value, first.headers) == ("\ufffd", b"value", (("name", b""),))
    assert second.value == b"0"


@pytest.mark.kafka
async def test_a_time_that_no_calendar_has_does_not_stop_a_partition(kafka: EmbeddedKafka) -> None:
    world = kafka_world(kafka)
    async with world.stack:
        bus = await world.bus()
        topic = await world.topic(bus, partitions=1)
        admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
        await admin.start()
        # What brokers before 4.0 allow by themselves.
        settings = {"message.timestamp.after.max.ms": str(2**63 - 1)}
        await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, settings)])
        await admin.close()
        async with AIOKafkaProducer(bootstrap_servers=kafka.bootstrap) as producer:
            await producer.send_and_wait(topic, b"0", timestamp_ms=int(time.time() * 1_000_000))
        await bus.publish(outgoing(topic, range(1, 2)))
        found = await read(bus.subscribe(world.name, [topic]), 2)
    assert numbers(found) == [0, 1]
