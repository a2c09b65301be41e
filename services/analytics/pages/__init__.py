"""Pages for people."""

from services.analytics.pages.rendering import render_report

__all__ = ["render_report"]
