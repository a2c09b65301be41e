"""Hypothesis strategies for events, built from the fields of their structs."""

import types
from datetime import UTC, date, datetime
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints
from uuid import UUID

import msgspec
from hypothesis import strategies as st

from shared.events import Event

INSTANT = datetime(2026, 11, 21, 18, 5, tzinfo=UTC)

# PostgreSQL has no U+0000 in text and JSON has no lone surrogates, so neither is in any event.
TEXT = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(TEXT, max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(TEXT, max_size=8), inner, max_size=3),
    max_leaves=6,
)


def events(cls: type[Event]) -> st.SearchStrategy[Event]:
    """Any instance of an event class within the bounds of its fields."""
    return _struct(cls)


def _struct(cls: Any) -> st.SearchStrategy[Any]:
    hints = get_type_hints(cls, include_extras=True)
    fields = {field.name: _of(hints[field.name], {}) for field in msgspec.structs.fields(cls)}
    return st.builds(cls, **fields)


def _of(hint: Any, bounds: dict[str, Any]) -> st.SearchStrategy[Any]:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        inner, *metas = arguments
        for meta in metas:
            names = ("ge", "le", "min_length", "max_length", "pattern")
            bounds = bounds | {name: value for name in names if (value := getattr(meta, name)) is not None}
        return _of(inner, bounds)
    if origin in (Union, types.UnionType):
        return st.one_of(*(_of(choice, bounds) for choice in arguments))
    if origin is list:
        return st.lists(_of(arguments[0], {}), max_size=min(3, bounds.get("max_length", 3)))
    if origin is dict:
        return st.dictionaries(st.text(TEXT, max_size=8), JSON, max_size=4)
    if issubclass(hint, msgspec.Struct):
        return _struct(hint)
    return _plain(hint, bounds)


def _plain(hint: Any, bounds: dict[str, Any]) -> st.SearchStrategy[Any]:
    if hint is str and "pattern" in bounds:
        return st.from_regex(bounds["pattern"].replace("$", r"\Z"), fullmatch=True)
    if hint is str:
        longest = bounds.get("max_length", 40)
        usual = st.text(TEXT, min_size=bounds.get("min_length", 0), max_size=min(longest, 40))
        return usual | st.just("é" * longest)
    if hint is int:
        return st.integers(bounds["ge"], bounds["le"])
    plain: dict[Any, st.SearchStrategy[Any]] = {
        bool: st.booleans(),
        bytes: st.binary(max_size=40),
        UUID: st.uuids(),
        date: st.dates(),
        datetime: st.datetimes(timezones=st.just(UTC)),
        type(None): st.none(),
    }
    return plain[hint]
