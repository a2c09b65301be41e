"""What newly stored facts add to the summaries. Addition commutes, so their order never matters."""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

from services.analytics.domain.facts import EventFact, LineFact, Match, OrderFact, RefundFact

__all__ = ["Deltas"]

K = TypeVar("K")


class Deltas:
    """Sums by the keys of the summary tables; the order of the numbers is that of the tables' columns.

    - `sales[day, source, shop, channel, currency]`: orders, units, revenue, shipping, discount, tax, refunds,
      refunded, cohort refunded
    - `products[day, source, product, currency]`: orders, units, revenue, refunded, cohort refunded
    - `members[member, currency]`: orders, units, revenue, refunded, first order, last order
    - `counts[day, kind, label, currency]`: occurrences, amount
    - `campaigns[activity, kind, label]`: occurrences
    - `campaign_sales[activity, currency]`: orders, units, revenue, refunded
    """

    def __init__(self) -> None:
        self.sales: dict[tuple[Any, ...], list[int]] = {}
        self.products: dict[tuple[Any, ...], list[int]] = {}
        self.members: dict[tuple[UUID, str], list[Any]] = {}
        self.counts: dict[tuple[Any, ...], list[int]] = {}
        self.campaigns: dict[tuple[Any, ...], list[int]] = {}
        self.campaign_sales: dict[tuple[UUID, str], list[int]] = {}

    def add_orders(self, orders: Iterable[OrderFact], lines: Mapping[UUID, Collection[LineFact]]) -> None:
        """Count paid orders, and their lines by product."""
        for order in orders:
            total, units = order.total_minor, order.units
            _add(
                self.sales,
                (order.day, order.source, order.shop_id, order.channel, order.currency),
                (1, units, total, order.shipping_minor, order.discount_minor, order.tax_minor, 0, 0, 0),
            )
            self._add_member(order.member_id, order.currency, (1, units, total, 0), order.occurred_at)
            if order.activity_id is not None:
                _add(self.campaign_sales, (order.activity_id, order.currency), (1, units, total, 0))
            self._add_lines(order, lines.get(order.order_id, ()))

    def _add_lines(self, order: OrderFact, lines: Collection[LineFact]) -> None:
        rest_minor = order.total_minor
        met: set[str] = set()
        for line in lines:
            rest_minor -= line.revenue_minor
            first = line.product_id not in met
            met.add(line.product_id)
            key = (order.day, order.source, line.product_id, order.currency)
            _add(self.products, key, (int(first), line.quantity, line.revenue_minor, 0, 0))
        if rest_minor:
            _add(self.products, (order.day, order.source, "", order.currency), (0, 0, rest_minor, 0, 0))

    def add_refunds(self, refunds: Iterable[RefundFact]) -> None:
        """Take refunds off what members spent, whether their orders are known or not."""
        for refund in refunds:
            self._add_member(refund.member_id, refund.currency, (0, 0, 0, refund.amount_minor), None)

    def add_waiting(self, refund: RefundFact | Match, sign: int) -> None:
        """Count a refund on its own day without channel or product, or take that back (`sign` -1)."""
        amount = sign * refund.amount_minor
        key = (refund.day, refund.source, refund.shop_id, "", refund.currency)
        _add(self.sales, key, (0, 0, 0, 0, 0, 0, sign, amount, 0))
        _add(self.products, (refund.day, refund.source, "", refund.currency), (0, 0, 0, amount, 0))

    def add_match(self, match: Match, shares: Mapping[str, int]) -> None:
        """Count a refund whose order is known in both views, by the order's channel and products."""
        amount, source, currency = match.amount_minor, match.source, match.currency
        _add(
            self.sales,
            (match.day, source, match.shop_id, match.channel, currency),
            (0, 0, 0, 0, 0, 0, 1, amount, 0),
        )
        _add(
            self.sales,
            (match.order_day, source, match.order_shop_id, match.channel, currency),
            (0, 0, 0, 0, 0, 0, 0, 0, amount),
        )
        for product_id, share in shares.items():
            _add(self.products, (match.day, source, product_id, currency), (0, 0, 0, share, 0))
            _add(self.products, (match.order_day, source, product_id, currency), (0, 0, 0, 0, share))
        if match.activity_id is not None:
            _add(self.campaign_sales, (match.activity_id, currency), (0, 0, 0, amount))

    def add_events(self, events: Iterable[EventFact]) -> None:
        """Count everything else by day, and by activity if it belongs to one."""
        for event in events:
            _add(self.counts, (event.day, event.kind, event.label, event.currency), (1, event.amount))
            if event.activity_id is not None:
                _add(self.campaigns, (event.activity_id, event.kind, event.label), (1,))

    def _add_member(
        self, member_id: UUID, currency: str, numbers: tuple[int, int, int, int], at: datetime | None
    ) -> None:
        row = self.members.get((member_id, currency))
        if row is None:
            self.members[member_id, currency] = [*numbers, at, at]
            return
        for index, number in enumerate(numbers):
            row[index] += number
        if at is not None:
            row[4] = at if row[4] is None else min(row[4], at)
            row[5] = at if row[5] is None else max(row[5], at)


def _add(sums: dict[K, list[int]], key: K, numbers: tuple[int, ...]) -> None:
    row = sums.get(key)
    if row is None:
        sums[key] = list(numbers)
        return
    for index, number in enumerate(numbers):
        row[index] += number
