"""Health: what makes a process not ready, and what only shows."""

from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from cli.embedded.postgres import EmbeddedPostgres
from shared import health as health_module
from shared.bus import Bus, connect
from shared.consumer import Consumer, Handlers
from shared.database import Database
from shared.health import Health
from shared.migrations import heads


async def two(_: Any) -> int:
    return 2


def health_of(database: Database, bus: Bus) -> Health:
    return Health("points", database, bus, heads("points"), {"things_to_do": two})


async def test_a_migrated_service_is_ready_and_says_what_is_left(
    points_database: Database, platform_bus: Bus
) -> None:
    report = await health_of(points_database, platform_bus).ready()
    assert (report["status"], report["bus"]) == ("ready", "up")
    assert report["backlog"] == {"lag": 0, "outbox": 0, "dead_letters": 0, "things_to_do": 2}


async def test_migrations_behind_or_a_database_away_are_not_ready(
    platform_database: Database, platform_bus: Bus
) -> None:
    report = await health_of(platform_database, platform_bus).ready()
    assert report["checks"] == {
        "database": True,
        "migrations": False,
        "consumer": True,
        "loops": True,
        "serving": True,
    }
    away = Database("postgresql://nobody@127.0.0.1:1/nothing", pool_size=1)
    report = await health_of(away, platform_bus).ready()
    assert (report["status"], report["checks"]["database"]) == ("not ready", False)
    await away.close()


async def test_a_database_that_goes_away_meanwhile_is_not_ready(
    points_database: Database, platform_bus: Bus
) -> None:
    async def cut_off(session: AsyncSession) -> int:
        await session.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))
        return 0

    health = Health("points", points_database, platform_bus, heads("points"), {"cut_off": cut_off})
    report = await health.ready()
    assert (report["status"], report["checks"]["database"]) == ("not ready", False)
    assert report["backlog"] == {"lag": 0}


async def test_an_outage_of_the_bus_shows_but_does_not_take_the_api_out(
    points_database: Database, postgres: EmbeddedPostgres
) -> None:
    away = connect("postgres", database_url="postgresql://nobody@127.0.0.1:1/nothing")
    await away.start()
    report = await health_of(points_database, away).ready()
    assert (report["status"], report["bus"], report["backlog"]["lag"]) == ("ready", "down", None)
    await away.close()


async def test_draining_a_stopped_consumer_and_a_dying_loop_are_not_ready(
    points_database: Database, platform_bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    health = health_of(points_database, platform_bus)
    health.loop_failed("consumer", after_seconds=600)
    assert (await health.ready())["status"] == "ready"
    health.loop_failed("consumer", after_seconds=0.1)
    assert (await health.ready())["checks"]["loops"] is False
    monkeypatch.setattr(health_module, "BROKEN_WITHIN_SECONDS", 0.0)
    assert (await health.ready())["status"] == "ready"
    health.consumer = Consumer(
        points_database,
        platform_bus,
        Handlers(),
        group="points",
        batch_records=1,
        wait_seconds=0,
        stop_ratio=1,
        stop_window=1,
    )
    health.consumer.stopped = True
    assert (await health.ready())["checks"]["consumer"] is False
    health.consumer.stopped = False
    health.drain()
    assert (await health.ready())["checks"]["serving"] is False


async def test_a_loop_that_no_longer_turns_is_not_alive(
    points_database: Database, platform_bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    health = health_of(points_database, platform_bus)
    beat = health.heartbeat("consumer")
    assert health.live() == {"status": "alive", "stuck": []}
    monkeypatch.setattr(health_module, "HEARTBEAT_LIMIT_SECONDS", -1.0)
    assert health.live() == {"status": "stuck", "stuck": ["consumer"]}
    monkeypatch.undo()
    beat()
    assert health.live()["status"] == "alive"
