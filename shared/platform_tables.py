"""The tables that every service has beside its own, as they are now.

How they came to be so is in `platform_migrations`.
"""

from sqlalchemy import MetaData

from shared.auth import api_keys_table
from shared.dead_letters import dead_letters_table
from shared.idempotency import idempotency_table
from shared.inbox import inbox_table
from shared.outbox import outbox_tables

__all__ = ["add_platform_tables"]


def add_platform_tables(metadata: MetaData) -> None:
    """Declare outbox, inbox, idempotency, dead letters and API keys in a service's metadata."""
    outbox_tables(metadata)
    inbox_table(metadata)
    idempotency_table(metadata)
    dead_letters_table(metadata)
    api_keys_table(metadata)
