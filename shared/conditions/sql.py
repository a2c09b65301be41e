"""The same answer as `evaluate`, as a WHERE clause for PostgreSQL."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    DateTime,
    Numeric,
    Text,
    Uuid,
    and_,
    any_,
    false,
    func,
    literal,
    or_,
    true,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.sql.elements import ColumnElement
from sqlalchemy.types import TypeEngine

from shared.conditions.fields import FieldType
from shared.conditions.language import AllOf, AnyOf, Comparison, Condition, Not, Operator, resolve

__all__ = ["to_sql"]

_Compile = Callable[[ColumnElement[Any], Any, FieldType], ColumnElement[bool]]


def to_sql(
    condition: Condition, columns: Mapping[str, ColumnElement[Any]], now: datetime | None = None
) -> ColumnElement[bool]:
    """`condition` as a WHERE clause in which every value is a bound parameter.

    `columns` gives each field's column or expression, of the type that `FieldType` says. `now` is as in
    `evaluate`. The clause is for a WHERE, where NULL counts as false; elsewhere append `.is_(true())`. It is
    left at that, instead of wrapping every comparison, so that PostgreSQL can use its indexes. Raises
    `KeyError` if a field has no column.
    """
    match condition:
        case AllOf(conditions):
            return and_(true(), *(to_sql(part, columns, now) for part in conditions))
        case AnyOf(conditions):
            return or_(false(), *(to_sql(part, columns, now) for part in conditions))
        case Not(part):
            # NULL is false here too, so its opposite is true. AND and OR alone never need this, because they
            # are true in three-valued logic exactly when they are true with NULL read as false.
            return to_sql(part, columns, now).self_group().is_not(true())
        case Comparison(field, field_type, operator, value):
            return _OPERATIONS[operator](columns[field], resolve(value, now), field_type)


def _bound(value: Any, field_type: FieldType) -> ColumnElement[Any]:
    return literal(value, _SQL_TYPES[field_type])


def _bound_list(values: tuple[Any, ...], field_type: FieldType) -> ColumnElement[Any]:
    # One array parameter: the statement's text stays the same for any number of values.
    return literal(list(values), ARRAY(_SQL_TYPES[field_type]))


def _ordered(column: ColumnElement[Any], field_type: FieldType) -> ColumnElement[Any]:
    # "C" orders UTF-8 by bytes, which is by code points, as Python does; a language's order would not be.
    return column.collate("C") if field_type is FieldType.STRING else column


def _between(column: ColumnElement[Any], ends: Any, field_type: FieldType) -> ColumnElement[bool]:
    low, high = (_bound(end, field_type) for end in ends)
    return _ordered(column, field_type).between(low, high)


def _contains(column: ColumnElement[Any], value: Any, field_type: FieldType) -> ColumnElement[bool]:
    if field_type is FieldType.STRINGS:
        # @> is the operator that a GIN index answers; = ANY(column) is not.
        return column.op("@>", is_comparison=True)(_bound_list((value,), FieldType.STRING))
    # strpos() has no wildcards to escape, which LIKE has.
    return func.strpos(column, _bound(value, field_type)) > 0


_SQL_TYPES: Final[dict[FieldType, TypeEngine[Any]]] = {
    FieldType.STRING: Text(),
    FieldType.INTEGER: BigInteger(),
    FieldType.DECIMAL: Numeric(),
    FieldType.BOOLEAN: Boolean(),
    FieldType.INSTANT: DateTime(timezone=True),
    FieldType.ID: Uuid(),
    FieldType.STRINGS: Text(),
}

_OPERATIONS: Final[dict[Operator, _Compile]] = {
    Operator.EQ: lambda column, value, kind: column == _bound(value, kind),
    Operator.NE: lambda column, value, kind: column != _bound(value, kind),
    Operator.LT: lambda column, value, kind: _ordered(column, kind) < _bound(value, kind),
    Operator.LTE: lambda column, value, kind: _ordered(column, kind) <= _bound(value, kind),
    Operator.GT: lambda column, value, kind: _ordered(column, kind) > _bound(value, kind),
    Operator.GTE: lambda column, value, kind: _ordered(column, kind) >= _bound(value, kind),
    Operator.IN: lambda column, values, kind: column == any_(_bound_list(values, kind)),
    Operator.BETWEEN: _between,
    Operator.CONTAINS: _contains,
    Operator.EXISTS: lambda column, _value, _kind: column.is_not(None),
}
