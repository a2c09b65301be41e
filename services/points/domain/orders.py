"""Orders that earned: what a refund takes back."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from fractions import Fraction
from math import floor
from typing import NamedTuple
from uuid import UUID

from services.points.domain.earning import Parts, bonuses_held
from services.points.domain.facts import MemberFacts, line_total
from services.points.domain.rule_sets import RuleSet
from services.points.domain.rules import EarningRule
from shared.money import allocate


@dataclass(frozen=True, slots=True)
class LineFacts:
    """A line of an order as the ledger remembers it."""

    line_no: int
    sku: str
    product_id: str
    category: str | None
    quantity: int
    unit_price_minor: int
    discount_minor: int = 0
    tax_minor: int = 0


@dataclass(frozen=True, slots=True)
class Seat:
    """The group-buy seat that an order paid for."""

    activity_id: UUID
    group_id: UUID


@dataclass(frozen=True, slots=True)
class OrderFacts:
    """A paid order as the ledger remembers it: what a rule may ask of it, whenever that is."""

    order_id: UUID
    source: str
    shop_id: str
    currency: str
    total_minor: int
    paid_at: datetime
    placed_at: datetime
    shipping_minor: int = 0
    discount_minor: int = 0
    tax_minor: int = 0
    redeemed_minor: int = 0
    channel: str | None = None
    campaign_ref: str | None = None
    country: str | None = None
    coupon_codes: tuple[str, ...] = ()
    participation: Seat | None = None
    lines: tuple[LineFacts, ...] = ()


class Returned(NamedTuple):
    """What was refunded of a line: units, and money in minor units."""

    quantity: int
    amount_minor: int


NOTHING_RETURNED = Returned(0, 0)


@dataclass(frozen=True, slots=True)
class Grant:
    """What an order was granted under a rule set, part by part, and the facts that decided."""

    order: OrderFacts
    member: MemberFacts
    parts: Parts
    bonuses: tuple[str, ...]


@dataclass(slots=True)
class EarnedOrder:
    """An order that earned, with what has been refunded of it and taken back for it so far.

    `grant` is there if points were given part by part; without it they are a matter of the total alone.
    """

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
    refunded_shipping_minor: int = 0
    refunded_lines: dict[int, Returned] = field(default_factory=dict)
    grant: Grant | None = None

    def refund(
        self,
        amount_minor: int,
        *,
        complete: bool,
        shipping_minor: int = 0,
        lines: Sequence[tuple[int, int, int]] = (),
    ) -> None:
        """Count a refund in; `lines` are (number, units, minor units)."""
        self.refunded_minor += amount_minor
        self.refunded_shipping_minor += shipping_minor
        self.complete = self.complete or complete
        for line_no, quantity, line_minor in lines:
            before = self.refunded_lines.get(line_no, NOTHING_RETURNED)
            self.refunded_lines[line_no] = Returned(
                before.quantity + quantity, before.amount_minor + line_minor
            )


def claw_back_due(order: EarnedOrder, rule: EarningRule) -> int:
    """Return what still has to be taken back, now that `order` is refunded as far as it says.

    The member keeps what is due for what was not refunded, under the version that granted. So the target
    depends on the refunds together and not on how they were split, and is everything once the order is
    refunded in full. Points of the order that have expired were taken back already.
    """
    target = order.granted_points - kept_points(order, rule)
    return max(0, target - order.expired_points - order.clawed_back_points)


def kept_points(order: EarnedOrder, rule: EarningRule) -> int:
    """Return what of the points granted is due for what was not refunded, under the rule that granted."""
    return min(order.granted_points, _due_points(order, rule))


def _due_points(order: EarnedOrder, rule: EarningRule) -> int:
    if order.complete or order.refunded_minor >= order.total_minor:
        return 0
    if order.grant is None or rule.rule_set is None:
        return rule.points_for(order.total_minor - order.refunded_minor, order.currency)
    return _kept_of_grant(order, order.grant, rule.rule_set)


def _kept_of_grant(order: EarnedOrder, grant: Grant, rules: RuleSet) -> int:
    """Return the points of the lines that stayed, and of the bonuses that the order still qualifies for.

    A line loses as large a part of its points as of its units or of its money, whichever is more. Money that
    went back for no line in particular, or beyond what its line or the postage cost, takes the same part of
    all that is left.
    """
    facts = grant.order
    shipping = min(facts.shipping_minor, facts.total_minor)
    paid = _paid_by_line(facts, facts.total_minor - shipping)
    returned = [order.refunded_lines.get(line.line_no, NOTHING_RETURNED) for line in facts.lines]
    kept = list(map(_kept_share, facts.lines, paid, returned))
    kept_shipping = _left(shipping, order.refunded_shipping_minor)
    named = min(shipping, order.refunded_shipping_minor)
    named += sum(min(amount, item.amount_minor) for amount, item in zip(paid, returned, strict=True))
    unnamed = max(0, order.refunded_minor - named)
    standing = sum((amount * share for amount, share in zip(paid, kept, strict=True)), Fraction(0))
    # What no line stands for is the postage, or all of an order whose lines are not known.
    loose = facts.total_minor - shipping - sum(paid)
    standing += loose + shipping * kept_shipping
    evenly = max(Fraction(0), 1 - Fraction(unnamed) / standing) if standing else Fraction(0)
    rest_share = kept_shipping if loose == 0 else Fraction(1)
    points = sum((points * share for points, share in zip(grant.parts.lines, kept, strict=True)), Fraction(0))
    return floor((points + grant.parts.rest * rest_share) * evenly) + _kept_bonuses(order, grant, rules, kept)


def _paid_by_line(facts: OrderFacts, goods_minor: int) -> list[int]:
    weights = [line_total(line) for line in facts.lines]
    return allocate(goods_minor, weights) if any(weights) else [0] * len(weights)


def _left(whole: int, gone: int) -> Fraction:
    return max(Fraction(0), 1 - Fraction(gone, whole)) if whole else Fraction(1)


def _kept_share(line: LineFacts, paid_minor: int, returned: Returned) -> Fraction:
    return min(_left(line.quantity, returned.quantity), _left(paid_minor, returned.amount_minor))


def _kept_bonuses(order: EarnedOrder, grant: Grant, rules: RuleSet, kept: Sequence[Fraction]) -> int:
    """Return the bonuses that the order, as it is after its refunds, would still be given."""
    facts = grant.order
    if facts.lines and not any(kept):
        return 0
    lines = tuple(
        replace(line, quantity=max(1, floor(line.quantity * share)))
        for line, share in zip(facts.lines, kept, strict=True)
        if share
    )
    left = replace(
        facts,
        total_minor=facts.total_minor - order.refunded_minor,
        shipping_minor=max(0, facts.shipping_minor - order.refunded_shipping_minor),
        lines=lines,
    )
    still = bonuses_held(rules, left, grant.member)
    return sum(
        points for name, points in zip(grant.bonuses, grant.parts.bonuses, strict=True) if name in still
    )
