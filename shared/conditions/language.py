"""What a parsed condition is made of."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Final, TypeAlias
from uuid import UUID

from shared.conditions.fields import FieldType

__all__ = [
    "OPERATORS",
    "AllOf",
    "AnyOf",
    "Comparison",
    "Condition",
    "Not",
    "Operator",
    "RelativeInstant",
    "Scalar",
    "Value",
    "comparisons",
    "fields_of",
    "is_relative",
    "resolve",
]


class Operator(StrEnum):
    """How a fact is compared with the value of the condition."""

    EQ = "eq"
    NE = "ne"
    LT = "lt"
    LTE = "lte"
    GT = "gt"
    GTE = "gte"
    IN = "in"
    BETWEEN = "between"
    CONTAINS = "contains"
    EXISTS = "exists"


_EQUALITY: Final = frozenset({Operator.EQ, Operator.NE, Operator.EXISTS})
_ORDER: Final = frozenset({Operator.LT, Operator.LTE, Operator.GT, Operator.GTE, Operator.BETWEEN})

# Which operators a type has. Ids and truth values have no order that means anything; a list of strings is
# asked for its members only.
OPERATORS: Final[dict[FieldType, frozenset[Operator]]] = {
    FieldType.STRING: _EQUALITY | _ORDER | {Operator.IN, Operator.CONTAINS},
    FieldType.INTEGER: _EQUALITY | _ORDER | {Operator.IN},
    FieldType.DECIMAL: _EQUALITY | _ORDER | {Operator.IN},
    FieldType.BOOLEAN: _EQUALITY,
    FieldType.INSTANT: _EQUALITY | _ORDER | {Operator.IN},
    FieldType.ID: _EQUALITY | {Operator.IN},
    FieldType.STRINGS: frozenset({Operator.CONTAINS, Operator.EXISTS}),
}


@dataclass(frozen=True, slots=True)
class RelativeInstant:
    """An instant so far from now; negative is in the past."""

    offset: timedelta


Scalar: TypeAlias = str | int | Decimal | bool | datetime | UUID | RelativeInstant
# One scalar for most operators, several for `in`, two for `between`, and None for `exists`.
Value: TypeAlias = Scalar | tuple[Scalar, ...] | None


@dataclass(frozen=True, slots=True)
class AllOf:
    """True if every condition is."""

    conditions: "tuple[Condition, ...]"


@dataclass(frozen=True, slots=True)
class AnyOf:
    """True if at least one condition is."""

    conditions: "tuple[Condition, ...]"


@dataclass(frozen=True, slots=True)
class Not:
    """True if the condition is not."""

    condition: "Condition"


@dataclass(frozen=True, slots=True)
class Comparison:
    """One fact against one value."""

    field: str
    type: FieldType
    operator: Operator
    value: Value


Condition: TypeAlias = AllOf | AnyOf | Not | Comparison


def fields_of(condition: Condition) -> frozenset[str]:
    """The names of the fields that the condition asks for, so that only these facts need loading."""
    return frozenset(comparison.field for comparison in comparisons(condition))


def is_relative(condition: Condition) -> bool:
    """Whether the answer moves with time, because the condition counts from now."""
    return any(
        isinstance(scalar, RelativeInstant)
        for comparison in comparisons(condition)
        for scalar in (comparison.value if isinstance(comparison.value, tuple) else (comparison.value,))
    )


def resolve(value: Value, now: datetime | None) -> Value:
    """`value` with its relative instants counted from `now`; `ValueError` if now is needed and None."""
    if isinstance(value, tuple):
        return tuple(_resolve_scalar(scalar, now) for scalar in value)
    return None if value is None else _resolve_scalar(value, now)


def _resolve_scalar(scalar: Scalar, now: datetime | None) -> Scalar:
    if not isinstance(scalar, RelativeInstant):
        return scalar
    if now is None:
        raise ValueError("this condition counts from now, so it needs the argument now")
    if now.utcoffset() is None:
        raise ValueError("now is an instant, so it needs a UTC offset")
    return now + scalar.offset


def comparisons(condition: Condition) -> Iterator[Comparison]:
    """All comparisons of a condition, from left to right."""
    match condition:
        case AllOf(conditions) | AnyOf(conditions):
            for part in conditions:
                yield from comparisons(part)
        case Not(part):
            yield from comparisons(part)
        case Comparison():
            yield condition
