"""The database that the migrations make is the one that the models describe."""

from services.campaigns.models import Base
from shared.database import Database
from shared.migrations import differences


async def test_models_and_migrations_agree(campaigns_database: Database) -> None:
    assert await differences(Base.metadata, campaigns_database) == []
