"""Fixtures of the tests of members."""

import pytest

from shared.database import Database
from tests.members.shop import Shop


@pytest.fixture
def shop(members_database: Database) -> Shop:
    """A shop on a fresh database of members."""
    return Shop(members_database)
