"""Every statement of analytics."""

from services.analytics.repository.facts import (
    alias_members,
    match_refunds,
    order_lines,
    store_allocations,
    store_events,
    store_lines,
    store_orders,
    store_refunds,
)
from services.analytics.repository.summaries import (
    add_campaign_counts,
    add_campaign_sales,
    add_counts,
    add_ingest,
    add_members,
    add_products,
    add_sales,
    name_products,
    set_stages,
    set_tiers,
)

__all__ = [
    "add_campaign_counts",
    "add_campaign_sales",
    "add_counts",
    "add_ingest",
    "add_members",
    "add_products",
    "add_sales",
    "alias_members",
    "match_refunds",
    "name_products",
    "order_lines",
    "set_stages",
    "set_tiers",
    "store_allocations",
    "store_events",
    "store_lines",
    "store_orders",
    "store_refunds",
]
