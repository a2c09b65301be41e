"""One condition language for triggers, rules and audiences.

A condition is JSON that a person or a screen writes:

    {"all": [
        {"field": "order.total_minor", "op": "gte", "value": 1000},
        {"any": [{"field": "member.tags", "op": "contains", "value": "vip"},
                 {"field": "member.last_order_at", "op": "lt", "value": {"days_ago": 30}}]},
        {"not": {"field": "member.country", "op": "in", "value": ["US", "CA"]}}]}

`parse` checks it against the fields that exist and their types, `evaluate` answers it on the facts of one
event or member (and `compiled` makes a function of it for who asks again and again), and
`shared.conditions.sql.to_sql` turns it into a WHERE clause over many. The answers are the same for every
condition and all facts; a property test on a real PostgreSQL holds them to it.

What the answer is, stated once:

- A fact is *missing* if its key is absent or its value is None (NULL). Every comparison with a missing fact
  is false, `ne` too; so `not` of it is true. There is no third truth value. `exists` asks for presence.
- An empty list of strings is present, and contains nothing.
- `between` includes both ends. `all` of nothing is true, `any` of nothing is false.
- Strings are equal only code point by code point, and their order is that of the code points.
- A relative instant such as {"days_ago": 30} counts back from the `now` that the caller gives, in days of 24
  hours, so that a replay gives the same answer again.

This package imports the standard library only, so that pure rules may use it; what needs SQLAlchemy is in its
module `sql`, which nothing here imports.
"""

from shared.conditions.compiling import Test, compiled
from shared.conditions.evaluation import evaluate
from shared.conditions.fields import FieldSet, FieldType
from shared.conditions.language import (
    OPERATORS,
    AllOf,
    AnyOf,
    Comparison,
    Condition,
    Not,
    Operator,
    RelativeInstant,
    comparisons,
    fields_of,
    is_relative,
)
from shared.conditions.parsing import (
    MAX_DEPTH,
    MAX_LIST_VALUES,
    MAX_NODES,
    MAX_TEXT_CHARACTERS,
    ConditionError,
    parse,
)

__all__ = [
    "MAX_DEPTH",
    "MAX_LIST_VALUES",
    "MAX_NODES",
    "MAX_TEXT_CHARACTERS",
    "OPERATORS",
    "AllOf",
    "AnyOf",
    "Comparison",
    "Condition",
    "ConditionError",
    "FieldSet",
    "FieldType",
    "Not",
    "Operator",
    "RelativeInstant",
    "Test",
    "comparisons",
    "compiled",
    "evaluate",
    "fields_of",
    "is_relative",
    "parse",
]
