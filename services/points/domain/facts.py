"""What a rule may ask: the facts of an order, of its lines and of the member, each with its type.

The paid order is taken as the event says it. It is described here by what rules read of it, because the
domain knows no events.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple, Protocol
from uuid import UUID

from shared.conditions import Condition, FieldSet, FieldType, fields_of


class Participation(Protocol):
    """The group-buy seat that an order pays for."""

    @property
    def activity_id(self) -> UUID: ...
    @property
    def group_id(self) -> UUID: ...


class Line(Protocol):
    """A line of an order; amounts in minor units of the order's currency."""

    @property
    def line_no(self) -> int: ...
    @property
    def sku(self) -> str: ...
    @property
    def product_id(self) -> str: ...
    @property
    def category(self) -> str | None: ...
    @property
    def quantity(self) -> int: ...
    @property
    def unit_price_minor(self) -> int: ...
    @property
    def discount_minor(self) -> int: ...
    @property
    def tax_minor(self) -> int: ...


class PaidOrder(Protocol):
    """A paid order; amounts in minor units of its currency."""

    @property
    def order_id(self) -> UUID: ...
    @property
    def source(self) -> str: ...
    @property
    def shop_id(self) -> str: ...
    @property
    def currency(self) -> str: ...
    @property
    def total_minor(self) -> int: ...
    @property
    def shipping_minor(self) -> int: ...
    @property
    def discount_minor(self) -> int: ...
    @property
    def tax_minor(self) -> int: ...
    @property
    def redeemed_minor(self) -> int: ...
    @property
    def placed_at(self) -> datetime: ...
    @property
    def paid_at(self) -> datetime: ...
    @property
    def channel(self) -> str | None: ...
    @property
    def campaign_ref(self) -> str | None: ...
    @property
    def country(self) -> str | None: ...
    @property
    def coupon_codes(self) -> Sequence[str]: ...
    @property
    def participation(self) -> Participation | None: ...
    @property
    def lines(self) -> Sequence[Line]: ...


class MemberFacts(NamedTuple):
    """What points know of a member when an order is judged: a projection of what members said."""

    tier: str | None = None
    tier_percent: int | None = None
    first_order: bool = False
    birthday_starts_at: datetime | None = None
    birthday_ends_at: datetime | None = None
    tags: Collection[str] = ()
    groups: Collection[str] = ()

    def has_birthday(self, at: datetime, window_days: int) -> bool:
        """Say whether `at` is within so many days from the beginning of the birthday."""
        if self.birthday_starts_at is None or self.birthday_ends_at is None:
            return False
        return self.birthday_starts_at <= at < self.birthday_ends_at + timedelta(days=window_days - 1)


NOBODY: Final = MemberFacts()


def line_total(line: Line) -> int:
    """Return what was paid for a line: its units less its own discount, in minor units."""
    return max(0, line.unit_price_minor * line.quantity - line.discount_minor)


_ORDER: Final[dict[str, tuple[FieldType, Callable[[PaidOrder], object]]]] = {
    "order.source": (FieldType.STRING, lambda order: order.source),
    "order.shop_id": (FieldType.STRING, lambda order: order.shop_id),
    "order.currency": (FieldType.STRING, lambda order: order.currency),
    "order.total_minor": (FieldType.INTEGER, lambda order: order.total_minor),
    "order.shipping_minor": (FieldType.INTEGER, lambda order: order.shipping_minor),
    "order.discount_minor": (FieldType.INTEGER, lambda order: order.discount_minor),
    "order.tax_minor": (FieldType.INTEGER, lambda order: order.tax_minor),
    "order.redeemed_minor": (FieldType.INTEGER, lambda order: order.redeemed_minor),
    "order.placed_at": (FieldType.INSTANT, lambda order: order.placed_at),
    "order.paid_at": (FieldType.INSTANT, lambda order: order.paid_at),
    "order.channel": (FieldType.STRING, lambda order: order.channel),
    "order.campaign_ref": (FieldType.STRING, lambda order: order.campaign_ref),
    "order.country": (FieldType.STRING, lambda order: order.country),
    "order.coupon_codes": (FieldType.STRINGS, lambda order: order.coupon_codes),
    "order.skus": (FieldType.STRINGS, lambda order: [line.sku for line in order.lines]),
    "order.units": (FieldType.INTEGER, lambda order: sum(line.quantity for line in order.lines)),
    "order.group_buy": (FieldType.BOOLEAN, lambda order: order.participation is not None),
    "order.activity_id": (
        FieldType.ID,
        lambda order: order.participation.activity_id if order.participation else None,
    ),
}

_LINE: Final[dict[str, tuple[FieldType, Callable[[Line], object]]]] = {
    "line.sku": (FieldType.STRING, lambda line: line.sku),
    "line.product_id": (FieldType.STRING, lambda line: line.product_id),
    "line.category": (FieldType.STRING, lambda line: line.category),
    "line.quantity": (FieldType.INTEGER, lambda line: line.quantity),
    "line.unit_price_minor": (FieldType.INTEGER, lambda line: line.unit_price_minor),
    "line.total_minor": (FieldType.INTEGER, line_total),
}

_MEMBER: Final = {
    "member.tier": FieldType.STRING,
    "member.first_order": FieldType.BOOLEAN,
    "member.birthday": FieldType.BOOLEAN,
    "member.tags": FieldType.STRINGS,
    "member.groups": FieldType.STRINGS,
}

ORDER_FIELDS: Final = FieldSet({name: kind for name, (kind, _) in _ORDER.items()} | _MEMBER)
LINE_FIELDS: Final = FieldSet({name: kind for name, (kind, _) in _LINE.items()})
ALL_FIELDS: Final = ORDER_FIELDS | LINE_FIELDS


def is_about_lines(condition: Condition) -> bool:
    """Say whether a condition has to be answered line by line."""
    return any(name in _LINE for name in fields_of(condition))


class Asked:
    """The facts that some conditions ask for, and how each is gathered."""

    def __init__(self, names: Collection[str], birthday_days: int) -> None:
        self._order = [(name, _ORDER[name][1]) for name in names if name in _ORDER]
        self._line = [(name, _LINE[name][1]) for name in names if name in _LINE]
        self._member = [name for name in names if name in _MEMBER]
        self._birthday_days = birthday_days

    def of_order(self, order: PaidOrder, member: MemberFacts) -> dict[str, object]:
        """Gather what is asked of an order and its member."""
        facts = {name: read(order) for name, read in self._order}
        for name in self._member:
            if name == "member.tier":
                facts[name] = member.tier
            elif name == "member.first_order":
                facts[name] = member.first_order
            elif name == "member.tags":
                facts[name] = member.tags
            elif name == "member.groups":
                facts[name] = member.groups
            else:
                facts[name] = member.has_birthday(order.paid_at, self._birthday_days)
        return facts

    def of_lines(self, facts: Mapping[str, object], lines: Sequence[Line]) -> list[dict[str, object]]:
        """Gather what is asked of each line, beside the facts of its order."""
        return [{**facts, **{name: read(line) for name, read in self._line}} for line in lines]
