"""The routes of messaging."""

from services.messaging.api import messages, templates, unsubscribe, webhooks

__all__ = ["routers"]

routers = [templates.router, messages.router, webhooks.router, unsubscribe.router]
