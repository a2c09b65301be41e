"""Fixtures of the ledger's tests."""

import pytest

from shared.database import Database
from tests.points.ledger import Books


@pytest.fixture
def books(points_database: Database) -> Books:
    """A fresh ledger."""
    return Books(points_database)
