"""The tables are what the migrations make."""

from services.members.models import Base
from shared.database import Database
from shared.migrations import differences


async def test_models_and_migrations_agree(members_database: Database) -> None:
    assert await differences(Base.metadata, members_database) == []
