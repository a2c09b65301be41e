"""What a service does while its bus or its database is away, and how it comes back by itself."""

from functools import partial
from uuid import uuid4

import httpx
import pytest

from cli.platform import SERVICES
from shared.problems import PROBLEM_MEDIA_TYPE
from shared.testing import eventually
from tests.chaos.reconciliation import ready, reconciled
from tests.chaos.storefront import Load
from tests.chaos.world import World

pytestmark = [pytest.mark.kill, pytest.mark.slow]

ORDERS = 300


async def test_orders_are_taken_while_the_bus_is_away(world: World) -> None:
    platform, storefront = world.platform, world.storefront
    # The log is a database on the same server, with a role of its own.
    platform.postgres.sql('ALTER ROLE "bus" CONNECTION LIMIT 0')
    try:
        platform.postgres.sql(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = 'bus'"
        )
        await eventually(lambda: _bus_is(world, "down"))
        await storefront.send(Load("bus-away", ORDERS))
        assert not storefront.troubles
        assert (await ready(platform, "members"))["backlog"]["outbox"] >= ORDERS
    finally:
        platform.postgres.sql('ALTER ROLE "bus" CONNECTION LIMIT -1')
    await reconciled(platform, world.books, mails_twice=world.mails_twice)
    assert await _bus_is(world, "up")


async def _bus_is(world: World, state: str) -> bool:
    """Whether every service says so of the bus, being ready in either case."""
    reports = [await ready(world.platform, service) for service in SERVICES]
    assert {report["status"] for report in reports} == {"ready"}
    return {report["bus"] for report in reports} == {state}


async def test_requests_are_turned_away_while_postgres_is_away(world: World) -> None:
    platform = world.platform
    before = world.pids
    headers = {"Authorization": f"Bearer {platform.key}"}
    async with httpx.AsyncClient(headers=headers, timeout=30) as client:
        with world.unattended():
            platform.kill_postgres()
            for service, url in platform.urls.items():
                report = await client.get(f"{url}/readyz")
                assert (report.status_code, report.json()["checks"]["database"]) == (503, False)
                assert (await client.get(f"{url}/healthz")).status_code == 200, service
                _assert_unavailable(await client.get(f"{url}/v1/summary"))
            body = {"member_id": str(uuid4()), "reward_id": str(uuid4())}
            # A hot route that shares its transaction with others, and one that reads its body by itself.
            _assert_unavailable(await client.post(f"{platform.urls['points']}/v1/redemptions", json=body))
            orders = Load("never-taken", 10).orders
            _assert_unavailable(await client.post(f"{platform.urls['members']}/v1/orders", json=orders))
        for url in platform.urls.values():
            await eventually(partial(_answers, client, f"{url}/v1/summary"))
    assert world.pids == before
    # What was refused was not taken; what is sent now is.
    await world.storefront.send(Load("postgres-back", ORDERS))
    await reconciled(platform, world.books, mails_twice=world.mails_twice)


def _assert_unavailable(answer: httpx.Response) -> None:
    assert answer.status_code == 503
    assert answer.headers["content-type"] == PROBLEM_MEDIA_TYPE
    assert answer.json()["code"] == "unavailable"
    assert int(answer.headers["retry-after"]) >= 1


async def _answers(client: httpx.AsyncClient, url: str) -> bool:
    return (await client.get(url)).status_code == 200
