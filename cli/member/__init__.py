"""One member as a person would want to see it: read from the services, and shown on a screen."""

from cli.member.reading import Found, MemberUnknown, Unanswered, find, read
from cli.member.screen import show_found, show_member

__all__ = ["Found", "MemberUnknown", "Unanswered", "find", "read", "show_found", "show_member"]
