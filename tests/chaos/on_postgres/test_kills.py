"""Each service, and PostgreSQL, is killed with SIGKILL in the middle of the work, and the books balance."""

import pytest

from cli.platform import SERVICES
from tests.chaos.killing import MOMENTS, killing
from tests.chaos.reconciliation import reconciled
from tests.chaos.storefront import Load
from tests.chaos.world import World

pytestmark = [pytest.mark.kill, pytest.mark.slow]

ORDERS = 400


@pytest.mark.parametrize("service", SERVICES)
async def test_a_service_is_killed_under_load(world: World, service: str) -> None:
    platform, storefront = world.platform, world.storefront
    before = platform.pid(service)
    await storefront.send(Load(f"kill-{service}", ORDERS), meanwhile=killing(lambda: platform.kill(service)))
    # Orders come in through members; whoever else is down, a storefront does not notice.
    assert bool(storefront.troubles) == (service == "members"), storefront.troubles
    if service == "messaging":
        world.cut_off_the_sender(len(MOMENTS))
    await reconciled(platform, world.books, mails_twice=world.mails_twice)
    assert platform.pid(service) not in (None, before)


async def test_postgres_is_killed_under_load(world: World) -> None:
    platform, storefront = world.platform, world.storefront
    before, server = world.pids, platform.postgres.pid
    await storefront.send(Load("kill-postgres", ORDERS), meanwhile=killing(platform.kill_postgres))
    world.cut_off_the_sender(len(MOMENTS))
    assert storefront.troubles
    await reconciled(platform, world.books, mails_twice=world.mails_twice)
    assert platform.postgres.pid not in (None, server)
    # They waited for their database; nobody had to start them again.
    assert world.pids == before


async def test_everything_is_killed_at_once(world: World) -> None:
    platform = world.platform

    def kill_all() -> None:
        for service in SERVICES:
            platform.kill(service)
        platform.kill_postgres()

    await world.storefront.send(Load("kill-all", ORDERS), meanwhile=killing(kill_all))
    world.cut_off_the_sender(len(MOMENTS))
    await reconciled(platform, world.books, mails_twice=world.mails_twice)
