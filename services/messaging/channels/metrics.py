"""Metrics of messaging, each declared once with its meaning."""

from typing import Final

from shared.metrics import counter, histogram

__all__ = ["MESSAGES", "PLANNED", "SMTP_CONNECTIONS", "WAVE_SECONDS", "WEBHOOK_DELIVERIES"]

PLANNED: Final = counter(
    "regulars_messaging_planned_total",
    "New messages by the gate's verdict at planning: `queued`, `held` or `dropped`.",
    ("channel", "verdict"),
)
MESSAGES: Final = counter(
    "regulars_messaging_attempts_total",
    "Attempts to send a message by where they left it; a growing share of `queued` is a struggling provider.",
    ("channel", "state"),
)
WAVE_SECONDS: Final = histogram(
    "regulars_messaging_wave_seconds",
    "Sending one wave of messages over a channel, without the bookkeeping.",
    ("channel",),
)
SMTP_CONNECTIONS: Final = counter(
    "regulars_messaging_smtp_connections_total",
    "Connections made to the mail relay; close to the number of mails means that none is reused.",
)
WEBHOOK_DELIVERIES: Final = counter(
    "regulars_messaging_webhook_attempts_total",
    "Attempts to deliver an event to a webhook by where they left it.",
    ("state",),
)
