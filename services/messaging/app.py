"""The composition of messaging."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from services.messaging import api, handlers, jobs, operations
from services.messaging.channels import open_channels
from services.messaging.settings import settings
from shared.service import Service

__all__ = ["service"]


@asynccontextmanager
async def channels_open(app: FastAPI) -> AsyncIterator[None]:
    """Keep the channels' connections for as long as the process serves."""
    async with open_channels(settings()):
        yield


service = Service(
    name="messaging",
    title="Content, channels, every message and its fate, outbound webhooks.",
    settings=settings,
    routers=api.routers,
    handlers=handlers.handlers,
    jobs=jobs.jobs,
    backlogs={
        "messages": operations.count_open,
        "webhook_deliveries": operations.count_open_deliveries,
    },
    lifespan=channels_open,
)
