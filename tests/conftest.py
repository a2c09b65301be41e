"""What every test may ask for; anything longer than a few lines is a plugin in `tests/fixtures`."""

import os

import pytest
from hypothesis import settings

pytest_plugins = [
    "tests.fixtures.servers",
    "tests.fixtures.services",
    "tests.fixtures.platform",
    "tests.fixtures.moment",
]

# A property is about answers, not about how long a busy machine takes to find them.
settings.register_profile("regulars", deadline=None)
settings.register_profile("inner-loop", deadline=None, max_examples=20)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "regulars"))

SERVERS = {"postgres", "kafka"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark whatever asks for a server, however indirectly, so that the inner loop can leave it out."""
    for item in items:
        if SERVERS.intersection(getattr(item, "fixturenames", ())):
            item.add_marker("server")
