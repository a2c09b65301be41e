"""Rule sets: what a version of the earning rules says, read from its document and made ready to judge by.

A document is what the API stores: see `docs/earning-rules.md`. It is read once per version and process.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final, Literal
from uuid import UUID
from zoneinfo import ZoneInfo

from services.points.domain.expiry import ExpiryPolicy
from services.points.domain.facts import ALL_FIELDS, LINE_FIELDS, ORDER_FIELDS, is_about_lines
from shared.conditions import Condition, ConditionError, FieldSet, fields_of, parse
from shared.money import exponent

Combine = Literal["max", "product", "sum"]
Rounding = Literal["floor", "ceiling", "half_up", "half_even"]
Period = Literal["order", "day", "week", "month"]
WhenSpent = Literal["debt", "pending", "forgive"]

# The subject of a program's budget in the table of used caps: no member has this id.
PROGRAM: Final = UUID(int=0)


@dataclass(frozen=True, slots=True)
class Rate:
    """Points for each so many minor units; only whole multiples count if `whole`."""

    points: int
    step_minor: Fraction
    whole: bool


@dataclass(frozen=True, slots=True)
class Basis:
    """What of the money counts: whether tax and shipping are in it, and discounts and points still are."""

    tax: bool = True
    shipping: bool = True
    discount: bool = False
    redeemed: bool = False


@dataclass(frozen=True, slots=True)
class Multiplier:
    """Makes the points of an order, or of those lines that it is about, more or fewer."""

    id: str
    factor: Fraction | None
    when: Condition | None
    by_line: bool


@dataclass(frozen=True, slots=True)
class OrderBonus:
    """Points for an order as a whole; they go back once the order no longer qualifies."""

    id: str
    points: int
    when: Condition | None


@dataclass(frozen=True, slots=True)
class LineBonus:
    """Points for each line, or each unit of it, that the condition is about."""

    id: str
    points: int
    per_unit: bool
    when: Condition | None


@dataclass(frozen=True, slots=True)
class Cap:
    """At most so many points per order or per local day, week (from Monday) or month."""

    scope: Literal["member", "program"]
    per: Period
    points: int

    @property
    def id(self) -> str:
        """Its name in entries and explanations."""
        return f"{self.scope}_{self.per}"

    def window(self, paid_at: datetime, zone: ZoneInfo) -> date:
        """Return the first local day of the window that a payment falls into.

        A day is what the calendar of the zone calls one, be it 23, 24 or 25 hours long.
        """
        day = paid_at.astimezone(zone).date()
        if self.per == "week":
            return day - timedelta(days=day.weekday())
        return day.replace(day=1) if self.per == "month" else day


@dataclass(frozen=True, slots=True)
class Referral:
    """Points for the member who brought another to a group, when the other has paid."""

    points: int
    first_only: bool


@dataclass(frozen=True, slots=True)
class RuleSet:
    """A version's rules, ready to judge by. Nothing of it depends on anything but its document."""

    base: Rate | None
    by_currency: Mapping[str, Rate]
    currency: str | None
    rates: Mapping[str, Decimal]
    basis: Basis
    rounding: Rounding
    exclude: Condition | None
    multipliers: tuple[Multiplier, ...]
    combine: Combine
    order_bonuses: tuple[OrderBonus, ...]
    line_bonuses: tuple[LineBonus, ...]
    caps: tuple[Cap, ...]
    zone: ZoneInfo
    birthday_days: int
    expiry: ExpiryPolicy
    matures_after_days: int | None
    matures_on_delivery: bool
    when_spent: WhenSpent
    referral: Referral | None
    order_fields: frozenset[str] = field(default=frozenset())
    line_fields: frozenset[str] = field(default=frozenset())

    @property
    def multiplies_lines(self) -> bool:
        """Whether some lines may have factors that others have not."""
        return any(multiplier.by_line for multiplier in self.multipliers)

    @property
    def needs_member(self) -> bool:
        """Whether the projection of the member has to be loaded."""
        by_tier = any(multiplier.factor is None for multiplier in self.multipliers)
        return by_tier or not self.order_fields.isdisjoint({"member.tier", "member.birthday"})

    @property
    def needs_first_order(self) -> bool:
        """Whether it matters that the order is the member's first."""
        return "member.first_order" in self.order_fields

    @property
    def used_caps(self) -> tuple[Cap, ...]:
        """Caps that count over more than the order at hand."""
        return tuple(cap for cap in self.caps if cap.per != "order")


class RuleSetError(ValueError):
    """The document cannot be read; `pointer` is the JSON pointer to the place."""

    def __init__(self, pointer: str, message: str) -> None:
        super().__init__(f"{pointer or '/'}: {message}")
        self.pointer = pointer
        self.message = message


def read_rule_set(terms: Mapping[str, Any]) -> RuleSet:
    """Read a document whose shape has been checked; raises `RuleSetError` if a condition is wrong."""
    base = terms.get("base") or {}
    currency = terms.get("currency")
    multipliers = tuple(_multiplier(item, at) for item, at in _items(terms, "multipliers"))
    exclude = _condition(terms.get("exclude"), LINE_FIELDS, "/exclude")
    order_bonuses = tuple(
        OrderBonus(item["id"], item["points"], _condition(item.get("when"), ORDER_FIELDS, f"{at}/when"))
        for item, at in _items(terms, "order_bonuses")
    )
    line_bonuses = tuple(
        LineBonus(
            item["id"],
            item["points"],
            item.get("per", "line") == "unit",
            _condition(item.get("when"), ALL_FIELDS, f"{at}/when"),
        )
        for item, at in _items(terms, "line_bonuses")
    )
    parts: tuple[Multiplier | OrderBonus | LineBonus, ...] = (*multipliers, *order_bonuses, *line_bonuses)
    _refuse_twins(parts)
    conditions = [part.when for part in parts if part.when is not None]
    names = frozenset(name for condition in conditions for name in fields_of(condition))
    matures = terms.get("matures") or {}
    referral = terms.get("referral")
    return RuleSet(
        base=_rate(base, currency) if base else None,
        by_currency={code: _rate(rate, code) for code, rate in (terms.get("by_currency") or {}).items()},
        currency=currency,
        rates={code: Decimal(rate) for code, rate in (terms.get("exchange_rates") or {}).items()},
        basis=Basis(**(terms.get("basis") or {})),
        rounding=terms.get("rounding", "floor"),
        exclude=exclude,
        multipliers=multipliers,
        combine=terms.get("combine", "max"),
        order_bonuses=order_bonuses,
        line_bonuses=line_bonuses,
        caps=_caps(terms.get("caps") or []),
        zone=ZoneInfo(terms.get("zone", "UTC")),
        birthday_days=terms.get("birthday_days", 1),
        expiry=ExpiryPolicy.parse(terms.get("expiry", "rolling:365d")),
        matures_after_days=matures.get("after_days"),
        matures_on_delivery=matures.get("on") == "delivered",
        when_spent=terms.get("when_spent", "debt"),
        referral=Referral(referral["points"], referral.get("first_only", True)) if referral else None,
        order_fields=frozenset(names & ORDER_FIELDS.keys()),
        line_fields=frozenset(
            (names | (fields_of(exclude) if exclude is not None else frozenset())) & LINE_FIELDS.keys()
        ),
    )


def _items(terms: Mapping[str, Any], name: str) -> Iterable[tuple[Mapping[str, Any], str]]:
    return ((item, f"/{name}/{index}") for index, item in enumerate(terms.get(name) or []))


def _condition(json: object, fields: FieldSet, pointer: str) -> Condition | None:
    if json is None:
        return None
    try:
        return parse(json, fields)
    except ConditionError as error:
        raise RuleSetError(f"{pointer}{error.pointer}", error.message) from error


def _multiplier(item: Mapping[str, Any], at: str) -> Multiplier:
    when = _condition(item.get("when"), ALL_FIELDS, f"{at}/when")
    factor = item.get("factor")
    return Multiplier(
        item["id"], None if factor == "tier" else Fraction(str(factor)), when, is_about_lines(when)
    )


def _rate(rate: Mapping[str, Any], currency: str | None) -> Rate:
    units = Fraction(str(rate.get("per_units", 1)))
    # Without a program's currency every currency counts in its own units; `step_minor` is then scaled when
    # the order's currency is known.
    places = exponent(currency) if currency is not None else 0
    return Rate(rate["points"], units * 10**places, rate.get("whole_units", True))


def _caps(items: Iterable[Mapping[str, Any]]) -> tuple[Cap, ...]:
    order: list[str] = ["order", "day", "week", "month"]
    caps = [Cap(item.get("scope", "member"), item["per"], item["points"]) for item in items]
    if len({cap.id for cap in caps}) < len(caps):
        raise RuleSetError("/caps", "a scope has one cap for each period")
    # The tightest window first, the member's before the program's: what a member may not earn uses no budget.
    return tuple(sorted(caps, key=lambda cap: (cap.scope == "program", order.index(cap.per))))


def _refuse_twins(parts: Iterable[Multiplier | OrderBonus | LineBonus]) -> None:
    met: set[str] = set()
    for part in parts:
        if part.id in met:
            raise RuleSetError("", f"two rules are called {part.id!r}")
        met.add(part.id)
