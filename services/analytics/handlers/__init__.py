"""What analytics hears. Facts add up whatever order they come in, so one handler takes a whole batch."""

from services.analytics.handlers.hearing import handlers

__all__ = ["handlers"]
