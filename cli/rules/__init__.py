"""Earning rules on the command line: read from a file, tried, and shown on a screen."""

from cli.rules.document import Unreadable, read_document
from cli.rules.screen import show_report, show_version, show_versions

__all__ = ["Unreadable", "read_document", "show_report", "show_version", "show_versions"]
