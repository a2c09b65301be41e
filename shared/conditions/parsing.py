"""From JSON to a checked condition, or to an error that points at the place."""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Final
from uuid import UUID

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
    Scalar,
    Value,
)

__all__ = [
    "MAX_DEPTH",
    "MAX_LIST_VALUES",
    "MAX_NODES",
    "MAX_TEXT_CHARACTERS",
    "ConditionError",
    "parse",
]

# Limits that no rule a person wrote comes near, but that keep a hostile one from costing anything: levels of
# nesting, conditions in all, values of one `in`, and characters of one string.
MAX_DEPTH: Final = 10
MAX_NODES: Final = 200
MAX_LIST_VALUES: Final = 1_000
MAX_TEXT_CHARACTERS: Final = 1_000

# A century is the furthest that a relative instant reaches, and years beyond these are typing errors.
_MAX_RELATIVE_DAYS: Final = 36_525
_EARLIEST_YEAR, _LATEST_YEAR = 1900, 2999
_MIN_INTEGER, _MAX_INTEGER = -(2**63), 2**63 - 1

_COMPOSITES: Final = ("all", "any", "not")
# RFC 3339, with microseconds at most, as PostgreSQL keeps them.
_RFC_3339: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?([Zz]|[+-][0-9]{2}:[0-9]{2})"
)
_DECIMAL: Final = re.compile(r"[+-]?[0-9]{1,32}(\.[0-9]{1,32})?")
_HYPHENATED_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


class ConditionError(ValueError):
    """The condition is not acceptable; `pointer` is the JSON pointer (RFC 6901) to the place that is not."""

    def __init__(self, pointer: str, message: str) -> None:
        super().__init__(f"{pointer or '/'}: {message}")
        self.pointer = pointer
        self.message = message


def parse(json: object, fields: FieldSet) -> Condition:
    """The condition that decoded JSON describes, checked against `fields`; raises `ConditionError`."""
    return _Parser(fields).condition(json, "", 1)


class _Parser:
    def __init__(self, fields: FieldSet) -> None:
        self._fields = fields
        self._nodes = 0

    def condition(self, json: object, pointer: str, depth: int) -> Condition:
        self._nodes += 1
        if depth > MAX_DEPTH:
            raise ConditionError(pointer, f"conditions are nested more than {MAX_DEPTH} deep")
        if self._nodes > MAX_NODES:
            raise ConditionError(pointer, f"there are more than {MAX_NODES} conditions")
        members = _object(json, pointer)
        kinds = [name for name in (*_COMPOSITES, "field") if name in members]
        if len(kinds) != 1:
            raise ConditionError(pointer, "a condition has exactly one of: all, any, not, field")
        if kinds[0] == "field":
            return self._comparison(members, pointer)
        _only(members, (kinds[0],), pointer)
        return self._composite(kinds[0], members[kinds[0]], f"{pointer}/{kinds[0]}", depth)

    def _composite(self, kind: str, json: object, pointer: str, depth: int) -> Condition:
        if kind == "not":
            return Not(self.condition(json, pointer, depth + 1))
        if not isinstance(json, list):
            raise ConditionError(pointer, "must be a list of conditions")
        parts = tuple(
            self.condition(part, f"{pointer}/{index}", depth + 1) for index, part in enumerate(json)
        )
        return AllOf(parts) if kind == "all" else AnyOf(parts)

    def _comparison(self, members: Mapping[str, object], pointer: str) -> Comparison:
        name = members["field"]
        if not isinstance(name, str) or name not in self._fields:
            raise ConditionError(f"{pointer}/field", f"must be one of: {', '.join(sorted(self._fields))}")
        field_type = self._fields[name]
        allowed = sorted(OPERATORS[field_type])
        if members.get("op") not in allowed:
            raise ConditionError(
                f"{pointer}/op", f"for a field of type {field_type} must be one of: {', '.join(allowed)}"
            )
        operator = Operator(str(members["op"]))
        if operator is Operator.EXISTS:
            _only(members, ("field", "op"), pointer)
            return Comparison(name, field_type, operator, None)
        _only(members, ("field", "op", "value"), pointer)
        if "value" not in members:
            raise ConditionError(pointer, f"{operator} needs a value")
        return Comparison(
            name, field_type, operator, _value(operator, field_type, members["value"], f"{pointer}/value")
        )


def _value(operator: Operator, field_type: FieldType, json: object, pointer: str) -> Value:
    read = _READERS[field_type]
    if operator not in (Operator.IN, Operator.BETWEEN):
        return read(json, pointer)
    if not isinstance(json, list):
        raise ConditionError(pointer, "must be a list of values")
    if operator is Operator.BETWEEN and len(json) != 2:
        raise ConditionError(pointer, "must be the two ends, the lower one first")
    if not 1 <= len(json) <= MAX_LIST_VALUES:
        raise ConditionError(pointer, f"must have between 1 and {MAX_LIST_VALUES} values")
    return tuple(read(item, f"{pointer}/{index}") for index, item in enumerate(json))


def _text(json: object, pointer: str) -> str:
    if not isinstance(json, str):
        raise ConditionError(pointer, "must be a string")
    if len(json) > MAX_TEXT_CHARACTERS:
        raise ConditionError(pointer, f"must have at most {MAX_TEXT_CHARACTERS} characters")
    # PostgreSQL's text can hold neither, so no fact can ever be equal to it.
    if any(character == "\0" or "\ud800" <= character <= "\udfff" for character in json):
        raise ConditionError(pointer, "must not contain NUL or unpaired surrogates")
    return json


def _integer(json: object, pointer: str) -> int:
    if type(json) is not int:
        raise ConditionError(pointer, "must be an integer")
    if not _MIN_INTEGER <= json <= _MAX_INTEGER:
        raise ConditionError(pointer, "must fit into 64 bits")
    return json


def _decimal(json: object, pointer: str) -> Decimal:
    if type(json) is int:
        return Decimal(_integer(json, pointer))
    # A JSON number with a fraction has been through binary floating point by now and is no longer exact.
    if isinstance(json, str) and _DECIMAL.fullmatch(json):
        return Decimal(json)
    raise ConditionError(pointer, "must be an integer or a string with a plain decimal number")


def _boolean(json: object, pointer: str) -> bool:
    if not isinstance(json, bool):
        raise ConditionError(pointer, "must be true or false")
    return json


def _id(json: object, pointer: str) -> UUID:
    if isinstance(json, str) and _HYPHENATED_UUID.fullmatch(json):
        return UUID(json)
    raise ConditionError(pointer, "must be a UUID")


def _instant(json: object, pointer: str) -> datetime | RelativeInstant:
    if isinstance(json, dict):
        return _relative_instant(json, pointer)
    if isinstance(json, str) and _RFC_3339.fullmatch(json):
        try:
            instant = datetime.fromisoformat(json.upper()).astimezone(UTC)
        except (ValueError, OverflowError):
            instant = None
        if instant is not None and _EARLIEST_YEAR <= instant.year <= _LATEST_YEAR:
            return instant
    raise ConditionError(
        pointer,
        f"must be an RFC 3339 instant with its offset, in the years {_EARLIEST_YEAR} to {_LATEST_YEAR},"
        ' or relative such as {"days_ago": 30}',
    )


def _relative_instant(members: Mapping[str, object], pointer: str) -> RelativeInstant:
    if len(members) != 1 or not members.keys() <= _RELATIVE_UNITS.keys():
        raise ConditionError(pointer, f"a relative instant has exactly one of: {', '.join(_RELATIVE_UNITS)}")
    ((name, count),) = members.items()
    unit, most = _RELATIVE_UNITS[name], _MAX_RELATIVE_DAYS * timedelta(days=1)
    if type(count) is not int or not 0 <= count <= most // abs(unit):
        raise ConditionError(f"{pointer}/{name}", f"must be an integer from 0 to {most // abs(unit)}")
    return RelativeInstant(count * unit)


def _object(json: object, pointer: str) -> Mapping[str, object]:
    if not isinstance(json, dict):
        raise ConditionError(pointer, "must be an object")
    return json


def _only(members: Mapping[str, object], known: tuple[str, ...], pointer: str) -> None:
    for name in members:
        if name not in known:
            escaped = str(name).replace("~", "~0").replace("/", "~1")
            raise ConditionError(f"{pointer}/{escaped}", f"is not known here; known are: {', '.join(known)}")


_RELATIVE_UNITS: Final = {
    "days_ago": timedelta(days=-1),
    "hours_ago": timedelta(hours=-1),
    "days_ahead": timedelta(days=1),
    "hours_ahead": timedelta(hours=1),
}

_READERS: Final[dict[FieldType, Callable[[object, str], Scalar]]] = {
    FieldType.STRING: _text,
    FieldType.INTEGER: _integer,
    FieldType.DECIMAL: _decimal,
    FieldType.BOOLEAN: _boolean,
    FieldType.INSTANT: _instant,
    FieldType.ID: _id,
    FieldType.STRINGS: _text,
}
