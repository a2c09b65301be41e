"""Rule sets: what a version of the earning rules says, read from its document and made ready to judge by.

A document is what the API stores: see `docs/earning-rules.md`. It is read once per version and process.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from math import lcm
from typing import Any, Final, Literal, NamedTuple, TypeAlias
from uuid import UUID
from zoneinfo import ZoneInfo

from services.points.domain.expiry import ExpiryPolicy
from services.points.domain.facts import ALL_FIELDS, LINE_FIELDS, ORDER_FIELDS, Asked, is_about_lines
from shared.conditions import (
    AllOf,
    Condition,
    ConditionError,
    FieldSet,
    Test,
    comparisons,
    compiled,
    fields_of,
    parse,
)
from shared.money import exponent

Combine = Literal["max", "product", "sum"]
Rounding = Literal["floor", "ceiling", "half_up", "half_even"]
Period = Literal["order", "day", "week", "month"]
WhenSpent = Literal["debt", "pending", "forgive"]

# The subject of a program's budget in the table of used caps: no member has this id.
PROGRAM: Final = UUID(int=0)
# Orders of a batch were paid on a few days; what is kept of more of them was for a replay of years.
MAX_DAYS_KEPT: Final = 1_000


# A tag or a group that a condition asks for. Whether there is a list of them is no question: there always is.
Label: TypeAlias = tuple[str, str]
LABELS: Final = {"member.tags": "tag", "member.groups": "group"}


class When(NamedTuple):
    """A condition in two parts, made ready: what is asked of the order, and what is asked of each line.

    A part that is None asks for nothing. So a condition that the order fails is not asked of its lines.
    """

    order: Test | None
    line: Test | None
    fields: frozenset[str]
    labels: frozenset[Label]

    @classmethod
    def of(cls, condition: Condition | None) -> "When":
        """Take a condition apart, as far as it is a conjunction."""
        if condition is None:
            return cls(None, None, frozenset(), frozenset())
        parts = condition.conditions if isinstance(condition, AllOf) else (condition,)
        about_lines = tuple(part for part in parts if is_about_lines(part))
        others = tuple(part for part in parts if not is_about_lines(part))
        return cls(
            compiled(AllOf(others)) if others else None,
            compiled(AllOf(about_lines)) if about_lines else None,
            fields_of(condition),
            frozenset(
                (LABELS[each.field], each.value)
                for each in comparisons(condition)
                if each.field in LABELS and isinstance(each.value, str)
            ),
        )


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
    when: When
    by_line: bool


@dataclass(frozen=True, slots=True)
class OrderBonus:
    """Points for an order as a whole; they go back once the order no longer qualifies."""

    id: str
    points: int
    when: When


@dataclass(frozen=True, slots=True)
class LineBonus:
    """Points for each line, or each unit of it, that the condition is about."""

    id: str
    points: int
    per_unit: bool
    when: When


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

    def window(self, day: date) -> date:
        """Return the first day of the window that a local day falls into."""
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
    exclude: When | None
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
    plan: "Plan"


class Plan:
    """What follows from the document alone, reckoned once instead of for every order.

    Factors are multiplied by `scale`, which makes all of them integers: integers are exact, and much cheaper
    than fractions. `general` are the multipliers of whole orders, `by_line` those that lines have for
    themselves, each with its scaled factor, or None for the tier's.
    """

    def __init__(
        self,
        multipliers: Sequence[Multiplier],
        conditions: Sequence[When],
        caps: Sequence[Cap],
        zone: ZoneInfo,
        birthday_days: int,
    ) -> None:
        by_tier = any(multiplier.factor is None for multiplier in multipliers)
        factors = [multiplier.factor for multiplier in multipliers if multiplier.factor is not None]
        self.scale = lcm(100 if by_tier else 1, *(factor.denominator for factor in factors))
        scaled = [
            (each, None if each.factor is None else int(each.factor * self.scale)) for each in multipliers
        ]
        self.general = [item for item in scaled if not item[0].by_line]
        self.by_line = [item for item in scaled if item[0].by_line]
        names = frozenset(name for condition in conditions for name in condition.fields)
        self.asked = Asked(names, birthday_days)
        # Whether the projection of the member has to be loaded, and whether it matters that the order is the
        # member's first.
        self.needs_member = by_tier or not names.isdisjoint({"member.tier", "member.birthday"})
        self.needs_first_order = "member.first_order" in names
        # The tags and groups that are asked for: no others are read, or remembered with what was granted.
        self.labels = frozenset(label for condition in conditions for label in condition.labels)
        # Caps that count over more than the order at hand.
        self.used_caps = [cap for cap in caps if cap.per != "order"]
        self.zone = zone
        # By currency: the rate, its step as a numerator and a denominator, and what converts it.
        self.rates: dict[str, tuple[Rate | None, int, int, str | None]] = {}
        self._starts: dict[date, tuple[date, ...]] = {}

    def window_starts(self, paid_at: datetime) -> tuple[date, ...]:
        """Return the first local day of the window of each of `used_caps` that a payment falls into."""
        if not self.used_caps:
            return ()
        # A day is what the calendar of the zone calls one, be it 23, 24 or 25 hours long.
        day = paid_at.astimezone(self.zone).date()
        starts = self._starts.get(day)
        if starts is None:
            if len(self._starts) >= MAX_DAYS_KEPT:
                self._starts.clear()
            starts = self._starts[day] = tuple(cap.window(day) for cap in self.used_caps)
        return starts


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
    exclude = None
    if terms.get("exclude") is not None:
        exclude = _condition(terms["exclude"], LINE_FIELDS, "/exclude")
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
    caps, zone = _caps(terms.get("caps") or []), ZoneInfo(terms.get("zone", "UTC"))
    birthday_days = terms.get("birthday_days", 1)
    conditions = [part.when for part in parts] + ([exclude] if exclude is not None else [])
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
        caps=caps,
        zone=zone,
        birthday_days=birthday_days,
        expiry=ExpiryPolicy.parse(terms.get("expiry", "rolling:365d")),
        matures_after_days=matures.get("after_days"),
        matures_on_delivery=matures.get("on") == "delivered",
        when_spent=terms.get("when_spent", "debt"),
        referral=Referral(referral["points"], referral.get("first_only", True)) if referral else None,
        plan=Plan(multipliers, conditions, caps, zone, birthday_days),
    )


def _items(terms: Mapping[str, Any], name: str) -> Iterable[tuple[Mapping[str, Any], str]]:
    return ((item, f"/{name}/{index}") for index, item in enumerate(terms.get(name) or []))


def _condition(json: object, fields: FieldSet, pointer: str) -> When:
    if json is None:
        return When.of(None)
    try:
        return When.of(parse(json, fields))
    except ConditionError as error:
        raise RuleSetError(f"{pointer}{error.pointer}", error.message) from error


def _multiplier(item: Mapping[str, Any], at: str) -> Multiplier:
    when = _condition(item.get("when"), ALL_FIELDS, f"{at}/when")
    factor = item.get("factor")
    return Multiplier(
        item["id"], None if factor == "tier" else Fraction(str(factor)), when, when.line is not None
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
