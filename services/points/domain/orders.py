"""Orders that earned: what a refund takes back."""

from dataclasses import dataclass
from uuid import UUID

from services.points.domain.rules import EarningRule


@dataclass(slots=True)
class EarnedOrder:
    """An order that earned, with what has been refunded of it and taken back for it so far."""

    order_id: UUID
    member_id: UUID
    entry_id: UUID
    granted_points: int
    rule_version: int
    total_minor: int
    currency: str
    expired_points: int
    refunded_minor: int
    clawed_back_points: int
    complete: bool


def claw_back_due(order: EarnedOrder, rule: EarningRule) -> int:
    """Return what still has to be taken back, now that `order` is refunded as far as it says.

    The member keeps what the order would have earned on what was not refunded, under the version that
    granted. So the target depends on the refunds together and not on how they were split, and is everything
    once the order is refunded in full. Points of the order that have expired were taken back already.
    """
    kept_minor = 0 if order.complete else max(0, order.total_minor - order.refunded_minor)
    target = order.granted_points - rule.points_for(kept_minor, order.currency)
    return max(0, target - order.expired_points - order.clawed_back_points)
