"""One platform for everything that is done to it here."""

from collections.abc import Iterator

import pytest

from tests.chaos.world import World, running


@pytest.fixture(scope="package")
def world() -> Iterator[World]:
    """The platform on the bus in PostgreSQL."""
    with running("postgres") as world:
        yield world
