"""Records that come again, in another order and twice over, change nothing."""

import pytest

from tests.chaos.replaying import everything_comes_again
from tests.chaos.world import World

pytestmark = [pytest.mark.kill, pytest.mark.slow]


async def test_records_come_again_in_any_order(world: World) -> None:
    await everything_comes_again(world)
