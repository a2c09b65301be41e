"""The same on Kafka: the services, the broker and PostgreSQL are killed under load, and the books balance."""

from functools import partial

import pytest

from cli.platform import SERVICES
from shared.testing import eventually
from tests.chaos.killing import MOMENTS, killing
from tests.chaos.reconciliation import ready, reconciled
from tests.chaos.storefront import Load
from tests.chaos.world import World

pytestmark = [pytest.mark.kill, pytest.mark.kafka, pytest.mark.slow]

ORDERS = 400


async def test_every_service_is_killed_in_turn_under_load(world: World) -> None:
    platform = world.platform
    before = world.pids
    kills = [partial(platform.kill, service) for service in SERVICES]
    moments = [(turn + 1) / (len(kills) + 1) for turn in range(len(kills))]
    load = Load("kafka-services", 2 * ORDERS)
    await world.storefront.send(load, meanwhile=killing(*kills, moments=moments))
    world.cut_off_the_sender(1)
    await reconciled(platform, world.books, mails_twice=world.mails_twice)
    assert set(before.values()).isdisjoint(world.pids.values())


async def test_kafka_is_killed_under_load(world: World) -> None:
    platform, storefront = world.platform, world.storefront
    before, broker = world.pids, platform.kafka.pid
    await storefront.send(Load("kill-kafka", ORDERS), meanwhile=killing(platform.kill_kafka))
    # Orders are accepted while the bus is away: the outbox keeps what must be said.
    assert not storefront.troubles
    await reconciled(platform, world.books, mails_twice=world.mails_twice)
    assert platform.kafka.pid not in (None, broker)
    assert world.pids == before


async def test_both_servers_are_killed_under_load(world: World) -> None:
    platform = world.platform

    def kill_servers() -> None:
        platform.kill_postgres()
        platform.kill_kafka()

    await world.storefront.send(Load("kill-servers", ORDERS), meanwhile=killing(kill_servers))
    world.cut_off_the_sender(len(MOMENTS))
    await reconciled(platform, world.books, mails_twice=world.mails_twice)


async def test_orders_are_taken_while_kafka_is_away(world: World) -> None:
    platform, storefront = world.platform, world.storefront
    with world.unattended():
        platform.kill_kafka()
        await eventually(lambda: _bus_is_down(world))
        await storefront.send(Load("kafka-away", ORDERS // 2))
        assert not storefront.troubles
        report = await ready(platform, "members")
        assert report["backlog"]["outbox"] >= ORDERS // 2
    await reconciled(platform, world.books, mails_twice=world.mails_twice)


async def _bus_is_down(world: World) -> bool:
    """Whether every service has noticed, and is ready all the same."""
    for service in SERVICES:
        report = await ready(world.platform, service)
        assert report["status"] == "ready"
        if report["bus"] != "down":
            return False
    return True
