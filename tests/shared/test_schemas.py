"""Request models refuse whatever the platform could not hold, and say so in their JSON schema."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, TypeAdapter, ValidationError

from shared.problems import InvalidItem
from shared.schemas import (
    MAX_BIGINT,
    CurrencyCode,
    ExternalId,
    Instant,
    JsonObject,
    MinorUnits,
    Points,
    ShortText,
    StrictModel,
    validate_items,
)


class Inner(StrictModel):
    note: str
    count: int


class Outer(StrictModel):
    default: str = "a field may have this name"
    inner: list[Inner] = Field(default_factory=list)
    labels: dict[str, str] = Field(default_factory=dict)
    flag: bool | None = None
    ratio: float = 0.0
    extra: JsonObject = Field(default_factory=dict)


ANY_TEXT = st.text(alphabet=st.characters(codec=None, categories=None))


@given(ANY_TEXT)
def test_text_is_accepted_exactly_if_postgresql_could_hold_it(text: str) -> None:
    holdable = "\x00" not in text and not re.search("[\ud800-\udfff]", text)
    places: list[dict[str, Any]] = [
        {"default": text},
        {"inner": [{"note": text, "count": 1}]},
        {"labels": {"a": text}},
        {"labels": {text: "a"}},
        {"extra": {"a": [{"b": text}]}},
        {"extra": {text: 1}},
    ]
    for place in places:
        if holdable:
            Outer.model_validate(place)
        else:
            with pytest.raises(ValidationError):
                Outer.model_validate(place)


@pytest.mark.parametrize("count", [MAX_BIGINT + 1, -MAX_BIGINT - 2, "1", True, 1.0, float("nan"), 10**400])
def test_integers_are_integers_within_bigint(count: object) -> None:
    with pytest.raises(ValidationError):
        Inner.model_validate({"note": "n", "count": count})
    with pytest.raises(ValidationError):
        TypeAdapter(MinorUnits).validate_python(count)
    with pytest.raises(ValidationError):
        TypeAdapter(Points).validate_python(count)


@pytest.mark.parametrize(
    "place",
    [
        {"flag": "yes"},
        {"flag": 1},
        {"ratio": float("inf")},
        {"unknown": 1},
        {"extra": {"a": float("nan")}},
        {"extra": []},
    ],
)
def test_wrong_types_and_unknown_fields(place: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Outer.model_validate(place)


def test_free_json_has_a_depth() -> None:
    deep: dict[str, Any] = {}
    for _ in range(30):
        deep = {"a": deep}
    with pytest.raises(ValidationError, match="nested deeper"):
        Outer.model_validate({"extra": deep})


def test_the_json_schema_states_the_limits() -> None:
    schema = Inner.model_json_schema()
    assert schema["properties"]["note"]["pattern"] == r"^[^\x00]*$"
    assert schema["properties"]["count"]["maximum"] == MAX_BIGINT
    assert schema["additionalProperties"] is False


@pytest.mark.parametrize(
    "value",
    [
        "2020-01-01T00:00:00",
        "2020-01-01",
        1_600_000_000,
        "1600000000",
        "1969-12-31T23:59:59Z",
        "9999-12-31T23:59:59-12:00",
        "0001-01-01T00:00:00+12:00",
        pytest.param((datetime.now(UTC) + timedelta(days=2)).isoformat(), id="in two days"),
    ],
)
def test_implausible_instants(value: object) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Instant).validate_python(value)


def test_instants_are_utc() -> None:
    instant = TypeAdapter(Instant).validate_python("2020-01-01T00:00:00+02:00")
    assert instant == datetime(2019, 12, 31, 22, tzinfo=UTC)
    assert instant.tzinfo is UTC


def test_short_words() -> None:
    currency, external, short = TypeAdapter(CurrencyCode), TypeAdapter(ExternalId), TypeAdapter(ShortText)
    assert currency.validate_python("EUR") == "EUR"
    assert external.validate_python(" a ") == " a "
    for adapter, wrong in (
        (currency, "eur"),
        (currency, "QQQ"),
        (external, ""),
        (external, "a\nb"),
        (external, "a" * 201),
        (external, "  "),
        (external, "\N{NO-BREAK SPACE}"),
        (short, "a\x00"),
    ):
        with pytest.raises(ValidationError):
            adapter.validate_python(wrong)


def test_items_are_judged_one_by_one() -> None:
    first, second, third = validate_items(Inner, [{"note": "n", "count": 1}, {"note": 1}, None])
    assert first == Inner(note="n", count=1)
    assert isinstance(second, InvalidItem)
    assert {error["pointer"] for error in second.members["errors"]} == {"/note", "/count"}
    assert isinstance(third, InvalidItem)
