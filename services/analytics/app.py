"""What makes the service analytics."""

from services.analytics.api import report_router, router
from services.analytics.handlers import handlers
from services.analytics.jobs import jobs
from services.analytics.settings import settings
from shared.service import Service

__all__ = ["service"]

service = Service(
    name="analytics",
    title="Facts, daily sales, members and campaigns as they were, and a report for people.",
    settings=settings,
    routers=[router, report_router],
    handlers=handlers,
    jobs=jobs,
)
