"""Points, members and PostgreSQL are killed while members spend in every way there is."""

from functools import partial

import pytest

from tests.chaos.shopping import everybody_shops
from tests.chaos.world import World

pytestmark = [pytest.mark.kill, pytest.mark.slow]


async def test_points_members_and_postgres_are_killed_while_everybody_shops(world: World) -> None:
    platform = world.platform
    before, server = world.pids, platform.postgres.pid
    world.cut_off_the_sender(1)
    kills = [partial(platform.kill, "points"), partial(platform.kill, "members"), platform.kill_postgres]
    await everybody_shops(world, "shopping", *kills, moments=(0.2, 0.45, 0.7))
    assert platform.postgres.pid not in (None, server)
    assert {name for name, pid in before.items() if world.pids[name] != pid} == {"points", "members"}
