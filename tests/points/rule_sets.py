"""Shorthand for tests of rule sets: orders with lines, and rule sets from their documents."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from services.points.domain.orders import LineFacts, OrderFacts, Seat
from services.points.domain.rule_sets import RuleSet, read_rule_set

NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)
ORDER = UUID(int=7)
SEAT = Seat(UUID(int=1), UUID(int=2))

PER_DOLLAR = {"points": 1, "per_units": "1"}


def rules_of(**terms: Any) -> RuleSet:
    """A rule set of one point per whole unit, and what else is said."""
    return read_rule_set({"base": PER_DOLLAR} | terms)


def line(
    number: int, amount_minor: int, *, sku: str | None = None, quantity: int = 1, **facts: Any
) -> LineFacts:
    """A line whose every unit costs the same."""
    return LineFacts(
        number,
        sku or f"sku-{number}",
        facts.pop("product_id", f"product-{number}"),
        facts.pop("category", None),
        quantity,
        amount_minor,
        **facts,
    )


def order(*lines: LineFacts, **facts: Any) -> OrderFacts:
    """A paid order of these lines; its total is theirs and the postage unless it is said."""
    goods = sum(item.unit_price_minor * item.quantity - item.discount_minor for item in lines)
    return OrderFacts(
        **{
            "order_id": ORDER,
            "source": "shop",
            "shop_id": "1",
            "currency": "USD",
            "total_minor": goods + facts.get("shipping_minor", 0),
            "paid_at": NOON,
            "placed_at": NOON,
            "lines": tuple(lines),
        }
        | facts
    )
