"""The same on Kafka: the services, the broker and PostgreSQL are killed under load, and the books balance."""

from functools import partial

import pytest

from cli.platform import SERVICES
from shared.testing import eventually
from tests.chaos.conftest import World
from tests.chaos.killing import ON_THE_WIRE, killing
from tests.chaos.reconciliation import ready, reconciled
from tests.chaos.storefront import Load

pytestmark = [pytest.mark.kill, pytest.mark.kafka, pytest.mark.slow]

ORDERS = 600


async def test_every_service_is_killed_in_turn_under_load(kafka_world: World) -> None:
    platform = kafka_world.platform
    before = kafka_world.pids
    kills = [partial(platform.kill, service) for service in SERVICES]
    moments = [(turn + 1) / (len(kills) + 1) for turn in range(len(kills))]
    load = Load("kafka-services", 2 * ORDERS)
    await kafka_world.storefront.send(load, meanwhile=killing(*kills, moments=moments))
    kafka_world.mails_twice += ON_THE_WIRE
    await reconciled(platform, kafka_world.books, mails_twice=kafka_world.mails_twice)
    assert set(before.values()).isdisjoint(kafka_world.pids.values())


async def test_kafka_is_killed_under_load(kafka_world: World) -> None:
    platform, storefront = kafka_world.platform, kafka_world.storefront
    before, broker = kafka_world.pids, platform.kafka.pid
    await storefront.send(Load("kill-kafka", ORDERS), meanwhile=killing(platform.kill_kafka))
    # Orders are accepted while the bus is away: the outbox keeps what must be said.
    assert not storefront.troubles
    await reconciled(platform, kafka_world.books, mails_twice=kafka_world.mails_twice)
    assert platform.kafka.pid not in (None, broker)
    assert kafka_world.pids == before


async def test_both_servers_are_killed_under_load(kafka_world: World) -> None:
    platform = kafka_world.platform

    def kill_servers() -> None:
        platform.kill_postgres()
        platform.kill_kafka()

    await kafka_world.storefront.send(Load("kill-servers", ORDERS), meanwhile=killing(kill_servers))
    await reconciled(platform, kafka_world.books, mails_twice=kafka_world.mails_twice)


async def test_orders_are_taken_while_kafka_is_away(kafka_world: World) -> None:
    platform, storefront = kafka_world.platform, kafka_world.storefront
    with kafka_world.unattended():
        platform.kill_kafka()
        await eventually(lambda: _bus_is_down(kafka_world))
        await storefront.send(Load("kafka-away", ORDERS // 2))
        assert not storefront.troubles
        report = await ready(platform, "members")
        assert report["backlog"]["outbox"] >= ORDERS // 2
    await reconciled(platform, kafka_world.books, mails_twice=kafka_world.mails_twice)


async def _bus_is_down(world: World) -> bool:
    """Whether every service has noticed, and is ready all the same."""
    for service in SERVICES:
        report = await ready(world.platform, service)
        assert report["status"] == "ready"
        if report["bus"] != "down":
            return False
    return True
