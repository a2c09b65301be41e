"""The report page."""

from fastapi import APIRouter

__all__ = ["report_router"]

report_router = APIRouter(tags=["report"])
