"""The same on Kafka: the ledger and the broker are killed while members spend in every way there is."""

from functools import partial

import pytest

from tests.chaos.shopping import everybody_shops
from tests.chaos.world import World

pytestmark = [pytest.mark.kill, pytest.mark.kafka, pytest.mark.slow]


async def test_points_and_kafka_are_killed_while_everybody_shops(world: World) -> None:
    platform = world.platform
    points, broker = platform.pid("points"), platform.kafka.pid
    kills = [partial(platform.kill, "points"), platform.kill_kafka]
    await everybody_shops(world, "kafka-shopping", *kills, moments=(0.25, 0.55))
    assert platform.pid("points") not in (None, points)
    assert platform.kafka.pid not in (None, broker)
