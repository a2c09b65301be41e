"""A service that dies between commit and answer has done its work once, and says so when asked again."""

import asyncio
from collections import Counter
from datetime import UTC, datetime
from functools import partial
from typing import Any

import httpx
import pytest

from tests.chaos.insisting import insist
from tests.chaos.reconciliation import reconciled
from tests.chaos.shoppers import CENTS, POINTS, Shop
from tests.chaos.storefront import order
from tests.chaos.swallowing import swallowing
from tests.chaos.world import World

pytestmark = [pytest.mark.kill, pytest.mark.slow]


async def killed_before_it_answers(world: World, service: str, path: str, body: Any) -> httpx.Response:
    """Have the service die of its answer, and return what the same request is answered then."""
    platform, key = world.platform, f"swallowed-{service}"
    before = platform.pid(service)
    headers = {"Authorization": f"Bearer {platform.key}"}
    async with (
        swallowing(platform.urls[service], partial(platform.kill, service)) as line,
        httpx.AsyncClient(base_url=line, headers=headers, timeout=60) as client,
    ):
        with pytest.raises(httpx.TransportError):
            await client.post(path, json=body, headers={"Idempotency-Key": key})
    async with httpx.AsyncClient(base_url=platform.urls[service], headers=headers, timeout=60) as client:
        answer = await insist(client, path, body, key, Counter())
    assert platform.pid(service) not in (None, before)
    return answer


async def test_a_service_is_killed_between_commit_and_answer(world: World) -> None:
    orders = [
        order(f"swallowed-{number}", f"swallowed-{number}", CENTS, datetime.now(UTC)) for number in (1, 2)
    ]
    world.books.enter(orders)
    async with Shop.of(world.platform) as shop:
        member = (await shop.ask("members", "/v1/orders", orders[0], "swallowed-first"))["member_id"]
        await shop.until("points", f"/v1/members/{member}/points", "available_points", POINTS)
        taken, held = await asyncio.gather(
            killed_before_it_answers(world, "members", "/v1/orders", orders[1]),
            killed_before_it_answers(world, "points", "/v1/holds", {"member_id": member, "points": 60}),
        )
        for answer in (taken, held):
            assert (answer.status_code, answer.headers["idempotency-replayed"]) == (201, "true")
        assert taken.json()["status"] == "accepted"
        assert (await shop.points(member))["held_points"] == 60
        await shop.ask("points", f"/v1/holds/{held.json()['hold_id']}/void", {}, "swallowed-void")
    await reconciled(world.platform, world.books, mails_twice=world.mails_twice)
