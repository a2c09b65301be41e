"""The API of analytics, and the report that people look at."""

from services.analytics.api.figures import router
from services.analytics.api.report import report_router

__all__ = ["report_router", "router"]
