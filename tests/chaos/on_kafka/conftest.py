"""One platform for everything that is done to it here."""

import os
from collections.abc import Iterator

import pytest

from cli.embedded.kafka import unavailable_reason
from tests.chaos.world import World, running


@pytest.fixture(scope="package")
def world() -> Iterator[World]:
    """The platform on Kafka. Skips with the reason where Kafka cannot run, and fails under CI=true."""
    reason = unavailable_reason()
    if reason is not None:
        if os.environ.get("CI") == "true":
            pytest.fail(f"Kafka cannot run here: {reason}")
        pytest.skip(f"Kafka cannot run here: {reason}")
    with running("kafka") as world:
        yield world
