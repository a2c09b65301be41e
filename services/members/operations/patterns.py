"""Regular expressions that an operator wrote, answered in linear time whatever they and the text are.

Python's engine backtracks: `(a+)+$` takes an hour on forty characters. Patterns of the attribute schema are
answered by Rust's instead, which pydantic brings along. It knows no look-around and no references back, and
says so when the schema is made.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError
from jsonschema.validators import extend
from pydantic_core import SchemaError, SchemaValidator, core_schema

__all__ = ["PatternInvalid", "Validator", "check_patterns"]

# An address or a product code is described by less; longer ones are slow to compile.
MAX_PATTERN_CHARACTERS = 500
# Patterns that are kept ready, of the few schemas that a process meets.
MAX_KEPT = 256


class PatternInvalid(ValueError):
    """A pattern cannot be judged by; the message says where and why."""


def check_patterns(schema: Mapping[str, Any]) -> None:
    """Raise `PatternInvalid` if a schema has a pattern that cannot be answered in linear time."""
    _check(schema, "", is_root=True)


def _check(node: Any, pointer: str, *, is_root: bool = False) -> None:
    if isinstance(node, list):
        for index, part in enumerate(node):
            _check(part, f"{pointer}/{index}")
    if not isinstance(node, dict):
        return
    for name, part in node.items():
        where = f"{pointer}/{name}"
        if name == "pattern" and isinstance(part, str):
            _check_pattern(part, where)
        elif name == "patternProperties" and isinstance(part, dict):
            for pattern in part:
                _check_pattern(pattern, f"{where}/{pattern[:100]}")
        elif name == "$schema" and isinstance(part, str) and not is_root:
            # It would bring the dialect's own way to answer patterns with it.
            raise PatternInvalid(f"{where}: only the schema as a whole names its dialect")
        elif name == "unevaluatedProperties" and part is not True and _has_patterns(node):
            raise PatternInvalid(f"{where}: say additionalProperties where there are patternProperties")
        _check(part, where)


def _has_patterns(node: Any) -> bool:
    if isinstance(node, dict):
        return "patternProperties" in node or any(_has_patterns(part) for part in node.values())
    return isinstance(node, list) and any(_has_patterns(part) for part in node)


def _check_pattern(pattern: str, where: str) -> None:
    if len(pattern) > MAX_PATTERN_CHARACTERS:
        raise PatternInvalid(f"{where}: a pattern has at most {MAX_PATTERN_CHARACTERS} characters")
    try:
        _linear(pattern)
    except SchemaError as error:
        reason = str(error).strip().splitlines()[-1].removeprefix("error: ").strip()
        raise PatternInvalid(f"{where}: {reason}") from error


def _linear(pattern: str) -> Callable[[str], bool]:
    judge = SchemaValidator(core_schema.str_schema(pattern=pattern, regex_engine="rust-regex", strict=True))
    return judge.isinstance_python


@lru_cache(maxsize=MAX_KEPT)
def _matcher(pattern: str) -> Callable[[str], bool]:
    try:
        return _linear(pattern)
    except SchemaError:
        # A schema from before patterns were checked goes on as it was.
        old = re.compile(pattern)
        return lambda text: old.search(text) is not None


def _pattern(validator: Any, pattern: str, instance: Any, schema: Any) -> Iterator[ValidationError]:
    if validator.is_type(instance, "string") and not _matcher(pattern)(instance):
        yield ValidationError(f"{instance!r} does not match {pattern!r}")


def _pattern_properties(
    validator: Any, patterns: Mapping[str, Any], instance: Any, schema: Any
) -> Iterator[ValidationError]:
    if not validator.is_type(instance, "object"):
        return
    for pattern, subschema in patterns.items():
        matches = _matcher(pattern)
        for name, value in instance.items():
            if matches(name):
                yield from validator.descend(value, subschema, path=name, schema_path=pattern)


def _additional_properties(
    validator: Any, additional: Any, instance: Any, schema: Mapping[str, Any]
) -> Iterator[ValidationError]:
    if not validator.is_type(instance, "object"):
        return
    known = schema.get("properties", {})
    matchers = [_matcher(pattern) for pattern in schema.get("patternProperties", {})]
    for name, value in instance.items():
        if name in known or any(matches(name) for matches in matchers):
            continue
        if validator.is_type(additional, "object"):
            yield from validator.descend(value, additional, path=name)
        elif not additional:
            yield ValidationError(f"{name!r} is not allowed: the schema does not know it")


Validator: Any = extend(  # type: ignore[no-untyped-call]  # jsonschema gives it no types
    Draft202012Validator,
    {
        "pattern": _pattern,
        "patternProperties": _pattern_properties,
        "additionalProperties": _additional_properties,
    },
)
"""A validator of the draft 2020-12 that answers patterns in linear time."""
