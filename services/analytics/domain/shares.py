"""Splitting an order and its refunds over products, so that products add up to the whole to the cent."""

from collections.abc import Sequence

from services.analytics.domain.facts import OrderLine
from shared.money import allocate

__all__ = ["line_revenues", "refund_shares"]


def line_revenues(
    total_minor: int, shipping_minor: int, line_totals_minor: Sequence[int], quantities: Sequence[int]
) -> list[int]:
    """What of an order's total each line brought, in minor units.

    The goods are the total less postage. Where the lines do not add up to them, because a discount was on
    the whole order, they are split in proportion to the lines (by quantity if every line is free), by the
    largest-remainder method. Without lines all of it stays with the order.
    """
    goods_minor = max(0, total_minor - shipping_minor)
    weights = [max(0, amount) for amount in line_totals_minor]
    if sum(weights) == goods_minor:
        return weights
    if not weights:
        return []
    if not any(weights):
        weights = [max(1, quantity) for quantity in quantities]
    return allocate(goods_minor, weights)


def refund_shares(
    amount_minor: int,
    shipping_minor: int,
    refunded_lines: Sequence[Sequence[int]],
    order_lines: Sequence[OrderLine],
    order_total_minor: int,
) -> dict[str, int]:
    """What of a refund each product gave back, in minor units; the key "" is postage and what names no line.

    `refunded_lines` are [line_no, quantity, amount_minor]. A refund that names none is split over the whole
    order as it was paid. The shares always add up to the amount.
    """
    if refunded_lines:
        products = {line.line_no: line.product_id for line in order_lines}
        parts = [(products.get(line_no, ""), amount) for line_no, _quantity, amount in refunded_lines]
        named_minor = sum(amount for _product, amount in parts)
        if named_minor > amount_minor:
            return _by_product(_split(amount_minor, parts))
        return _by_product([*parts, ("", amount_minor - named_minor)])
    postage_minor = min(shipping_minor, amount_minor)
    parts = [(line.product_id, line.revenue_minor) for line in order_lines]
    if not postage_minor:
        parts.append(("", max(0, order_total_minor - sum(line.revenue_minor for line in order_lines))))
    return _by_product([("", postage_minor), *_split(amount_minor - postage_minor, parts)])


def _split(amount_minor: int, parts: list[tuple[str, int]]) -> list[tuple[str, int]]:
    """The amount in proportion to the parts, or without a product if none of them weighs anything."""
    weights = [amount for _product, amount in parts]
    if not any(weights):
        return [("", amount_minor)]
    split = allocate(amount_minor, weights)
    return [(product, share) for (product, _), share in zip(parts, split, strict=True)]


def _by_product(parts: list[tuple[str, int]]) -> dict[str, int]:
    shares: dict[str, int] = {}
    for product_id, amount in parts:
        if amount:
            shares[product_id] = shares.get(product_id, 0) + amount
    return shares
