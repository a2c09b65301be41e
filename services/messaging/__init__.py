"""Messaging: content, channels, every message and its fate, outbound webhooks."""
