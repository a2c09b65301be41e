"""The two buses as fixtures; what a test does with them is in `world`."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cli.embedded.kafka import EmbeddedKafka
from cli.embedded.postgres import EmbeddedPostgres
from tests.shared.bus.world import World, kafka_world, postgres_world


@pytest.fixture(params=["postgres", pytest.param("kafka", marks=pytest.mark.kafka)])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    """Each test runs once for each bus."""
    if request.param == "postgres":
        world = postgres_world(request.getfixturevalue("postgres"))
    else:
        world = kafka_world(request.getfixturevalue("kafka"))
    async with world.stack:
        yield world


@pytest.fixture
async def fragile_world(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[World]:
    """A bus with a server of its own, which may be killed without harm to other tests."""
    home: Path = tmp_path_factory.mktemp("fragile")
    server: EmbeddedPostgres | EmbeddedKafka
    if request.param == "postgres":
        server = EmbeddedPostgres(home, durable=False).start()
        world = postgres_world(server)
    else:
        # Skips, or fails, where Kafka cannot run.
        request.getfixturevalue("kafka")
        server = EmbeddedKafka(home).start()
        world = kafka_world(server)
    try:
        async with world.stack:
            yield world
    finally:
        server.stop()
