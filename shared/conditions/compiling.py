"""A condition made ready to be asked many times: functions within functions, and no walk of a tree."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, TypeAlias

from shared.conditions.evaluation import HAS_TYPE, OPERATIONS, evaluate
from shared.conditions.language import AllOf, AnyOf, Comparison, Condition, Not, Operator, is_relative

__all__ = ["Test", "compiled"]

Test: TypeAlias = Callable[[Mapping[str, object], datetime | None], bool]
"""Answers a condition on facts, with the instant that relative ones count from."""


def compiled(condition: Condition) -> Test:
    """Return what answers like `evaluate`, and raises like it, in a fraction of the time."""
    match condition:
        case AllOf((only,)) | AnyOf((only,)):
            return compiled(only)
        case AllOf(conditions):
            return _all_of(tuple(compiled(part) for part in conditions))
        case AnyOf(conditions):
            return _any_of(tuple(compiled(part) for part in conditions))
        case Not(part):
            test = compiled(part)
            return lambda facts, now: not test(facts, now)
        case Comparison():
            return _comparison(condition)


def _all_of(tests: tuple[Test, ...]) -> Test:
    def holds(facts: Mapping[str, object], now: datetime | None) -> bool:
        for test in tests:  # noqa: SIM110 - a generator costs as much as the tests
            if not test(facts, now):
                return False
        return True

    return holds


def _any_of(tests: tuple[Test, ...]) -> Test:
    def holds(facts: Mapping[str, object], now: datetime | None) -> bool:
        for test in tests:  # noqa: SIM110 - a generator costs as much as the tests
            if test(facts, now):
                return True
        return False

    return holds


def _comparison(comparison: Comparison) -> Test:
    if is_relative(comparison):
        # Its value is another one at every instant.
        return lambda facts, now: evaluate(comparison, facts, now)
    field, value, operator = comparison.field, comparison.value, comparison.operator
    has_type, operate = HAS_TYPE[comparison.type], OPERATIONS.get(operator)

    def holds(facts: Mapping[str, Any], now: datetime | None) -> bool:
        fact = facts.get(field)
        if fact is None:
            return False
        if operate is None or not has_type(fact):
            return evaluate(comparison, facts, now)
        return bool(operate(fact, value))

    if operator is Operator.EQ:

        def equals(facts: Mapping[str, Any], now: datetime | None) -> bool:
            fact = facts.get(field)
            if fact is None:
                return False
            return fact == value if has_type(fact) else evaluate(comparison, facts, now)

        return equals
    return holds
