"""The verbs of analytics."""

from services.analytics.operations.books import Ingested, count_duplicates
from services.analytics.operations.figures import (
    Books,
    CampaignFigures,
    GroupBy,
    MemberFigures,
    Totals,
    campaign,
    campaigns,
    daily_sales,
    ingest_books,
    member,
    now,
    summary,
)
from services.analytics.operations.ingest import ingest
from services.analytics.operations.report import ReportFigures, report
from services.analytics.operations.verification import rebuild, verify, verify_recent
from services.analytics.operations.zones import shop_days

__all__ = [
    "Books",
    "CampaignFigures",
    "GroupBy",
    "Ingested",
    "MemberFigures",
    "ReportFigures",
    "Totals",
    "campaign",
    "campaigns",
    "count_duplicates",
    "daily_sales",
    "ingest",
    "ingest_books",
    "member",
    "now",
    "rebuild",
    "report",
    "shop_days",
    "summary",
    "verify",
    "verify_recent",
]
