"""Fixtures of the tests of campaigns."""

from collections.abc import AsyncIterator

import httpx
import pytest
from pydantic import SecretStr

from services.campaigns.app import service
from services.campaigns.settings import CampaignsSettings
from shared.database import Database
from shared.testing import api_client


@pytest.fixture
async def api(campaigns_database: Database) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the service over a fresh database; no loops run, so that time is the test's."""
    settings = CampaignsSettings(database_url=SecretStr(campaigns_database.url), role="api")
    app = service.application(settings)
    async with api_client(app, key="rk_development") as client:
        yield client
