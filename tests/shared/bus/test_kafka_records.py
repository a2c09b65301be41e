"""What other programs may write to Kafka's topics, and what we make of it."""

import pytest
from aiokafka import AIOKafkaProducer

from cli.embedded.kafka import EmbeddedKafka
from tests.shared.bus.world import kafka_world, outgoing, read


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
