"""The migrations and the models describe the same database."""

from services.messaging.models import metadata
from shared.database import Database
from shared.migrations import differences


async def test_migrated_database_is_what_the_models_say(messaging_database: Database) -> None:
    assert await differences(metadata, messaging_database) == []
