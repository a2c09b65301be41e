"""Verbs of messaging over batches: load, decide, save, say. Nothing here commits."""

from services.messaging.operations.contacts import apply_profiles, erase_members, record_consents
from services.messaging.operations.dispatching import claim, hold, recover, release, settle_attempts, submit
from services.messaging.operations.listening import awaited_types, hear
from services.messaging.operations.persons import link_members
from services.messaging.operations.planning import plan, replan
from services.messaging.operations.reading import (
    count_open,
    count_open_deliveries,
    find_message,
    list_messages,
    summarise,
)
from services.messaging.operations.suppressing import lift, suppress
from services.messaging.operations.templates import (
    current,
    list_templates,
    list_triggers,
    preview,
    publish,
    replace_triggers,
)
from services.messaging.operations.unsubscribing import read_token, unsubscribe, unsubscribe_url
from services.messaging.operations.webhooks import (
    claim_deliveries,
    fan_out,
    list_deliveries,
    list_webhooks,
    recover_deliveries,
    register_webhook,
    remove_webhook,
    reopen_webhook,
    settle_deliveries,
)

__all__ = [
    "apply_profiles",
    "awaited_types",
    "claim",
    "claim_deliveries",
    "count_open",
    "count_open_deliveries",
    "current",
    "erase_members",
    "fan_out",
    "find_message",
    "hear",
    "hold",
    "lift",
    "link_members",
    "list_deliveries",
    "list_messages",
    "list_templates",
    "list_triggers",
    "list_webhooks",
    "plan",
    "preview",
    "publish",
    "read_token",
    "record_consents",
    "recover",
    "recover_deliveries",
    "register_webhook",
    "release",
    "remove_webhook",
    "reopen_webhook",
    "replace_triggers",
    "replan",
    "settle_attempts",
    "settle_deliveries",
    "submit",
    "summarise",
    "suppress",
    "unsubscribe",
    "unsubscribe_url",
]
