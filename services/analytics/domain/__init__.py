"""The rules of analytics: what a fact is, whose day it belongs to, and what it adds to which sum."""

from services.analytics.domain.days import ShopDays
from services.analytics.domain.deltas import Deltas
from services.analytics.domain.facts import (
    MAX_AMOUNT,
    Alias,
    Batch,
    EventFact,
    LineFact,
    Match,
    OrderFact,
    OrderLine,
    RefundFact,
    Title,
    impossible_amount,
    impossible_time,
    judged_at,
)
from services.analytics.domain.shares import line_revenues, refund_shares

__all__ = [
    "MAX_AMOUNT",
    "Alias",
    "Batch",
    "Deltas",
    "EventFact",
    "LineFact",
    "Match",
    "OrderFact",
    "OrderLine",
    "RefundFact",
    "ShopDays",
    "Title",
    "impossible_amount",
    "impossible_time",
    "judged_at",
    "line_revenues",
    "refund_shares",
]
