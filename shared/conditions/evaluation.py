"""The answer to a condition on the facts of one event, order or member."""

from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal
from operator import contains, eq, ge, gt, le, lt, ne
from typing import Any, Final
from uuid import UUID

from shared.conditions.fields import FieldType
from shared.conditions.language import AllOf, AnyOf, Comparison, Condition, Not, Operator, resolve

__all__ = ["HAS_TYPE", "OPERATIONS", "evaluate"]


def evaluate(condition: Condition, facts: Mapping[str, object], now: datetime | None = None) -> bool:
    """Whether `condition` is true of `facts` (field name to value; absent and None are both missing).

    `now` is an aware datetime that relative instants count from; it is needed only by conditions that have
    some (`is_relative`), and its lack raises `ValueError`. A fact whose type is not the field's raises
    `TypeError`: the code that gathered the facts is wrong then, and an answer would hide it.
    """
    match condition:
        case AllOf(conditions):
            return all(evaluate(part, facts, now) for part in conditions)
        case AnyOf(conditions):
            return any(evaluate(part, facts, now) for part in conditions)
        case Not(part):
            return not evaluate(part, facts, now)
        case Comparison():
            return _compare(condition, facts.get(condition.field), now)


def _compare(comparison: Comparison, fact: object, now: datetime | None) -> bool:
    if fact is None:
        return False
    if not HAS_TYPE[comparison.type](fact):
        raise TypeError(
            f"{comparison.field} is of type {comparison.type}, but its fact is {type(fact).__name__}"
        )
    if comparison.operator is Operator.EXISTS:
        return True
    return OPERATIONS[comparison.operator](fact, resolve(comparison.value, now))


def _is_integer(fact: object) -> bool:
    # A bool is an int to Python, but not to PostgreSQL.
    return isinstance(fact, int) and not isinstance(fact, bool)


HAS_TYPE: Final[dict[FieldType, Callable[[object], bool]]] = {
    FieldType.STRING: lambda fact: isinstance(fact, str),
    FieldType.INTEGER: _is_integer,
    FieldType.DECIMAL: lambda fact: (isinstance(fact, Decimal) and fact.is_finite()) or _is_integer(fact),
    FieldType.BOOLEAN: lambda fact: isinstance(fact, bool),
    FieldType.INSTANT: lambda fact: isinstance(fact, datetime) and fact.utcoffset() is not None,
    FieldType.ID: lambda fact: isinstance(fact, UUID),
    FieldType.STRINGS: lambda fact: isinstance(fact, list | tuple | set | frozenset),
}

OPERATIONS: Final[dict[Operator, Callable[[Any, Any], bool]]] = {
    Operator.EQ: eq,
    Operator.NE: ne,
    Operator.LT: lt,
    Operator.LTE: le,
    Operator.GT: gt,
    Operator.GTE: ge,
    Operator.IN: lambda fact, values: fact in values,
    Operator.BETWEEN: lambda fact, ends: bool(ends[0] <= fact <= ends[1]),
    Operator.CONTAINS: contains,
}
