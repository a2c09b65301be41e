"""The condition language: what it accepts, what it answers, and where it points when it refuses."""

import json
import sys
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from shared.conditions import (
    MAX_DEPTH,
    MAX_LIST_VALUES,
    MAX_NODES,
    AllOf,
    ConditionError,
    FieldSet,
    FieldType,
    compiled,
    evaluate,
    fields_of,
    is_relative,
    parse,
)

FIELDS = FieldSet(
    {
        "order.total_minor": "integer",
        "order.score": "decimal",
        "member.country": "string",
        "member.tags": "strings",
        "member.is_new": "boolean",
        "member.last_order_at": "instant",
        "activity_id": "id",
    }
)
NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
ACTIVITY = "01936b2e-7a4f-7c3e-9d2a-111111111111"
FACTS: dict[str, object] = {
    "order.total_minor": 1000,
    "order.score": Decimal("0.25"),
    "member.country": "US",
    "member.tags": ["vip", "early"],
    "member.is_new": False,
    "member.last_order_at": NOW - timedelta(days=30),
    "activity_id": UUID(ACTIVITY),
}


def compare(field: str, op: str, *value: object) -> dict[str, object]:
    return {"field": field, "op": op, **({"value": value[0]} if value else {})}


def answer(condition: object, facts: dict[str, object] = FACTS) -> bool:
    parsed = parse(condition, FIELDS)
    answered = evaluate(parsed, facts, NOW)
    assert compiled(parsed)(facts, NOW) is answered
    return answered


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (compare("order.total_minor", "eq", 1000), True),
        (compare("order.total_minor", "ne", 1000), False),
        (compare("order.total_minor", "lt", 1000), False),
        (compare("order.total_minor", "lte", 1000), True),
        (compare("order.total_minor", "gt", 999), True),
        (compare("order.total_minor", "gte", 1001), False),
        (compare("order.total_minor", "in", [1, 1000]), True),
        (compare("order.total_minor", "between", [1000, 1000]), True),
        (compare("order.total_minor", "between", [1001, 5]), False),
        (compare("order.score", "eq", "0.250"), True),
        (compare("order.score", "lt", 1), True),
        (compare("member.country", "lt", "us"), True),
        (compare("member.country", "contains", "S"), True),
        (compare("member.country", "contains", "s"), False),
        (compare("member.tags", "contains", "vip"), True),
        (compare("member.tags", "contains", "vi"), False),
        (compare("member.is_new", "eq", False), True),
        (compare("member.last_order_at", "lte", {"days_ago": 30}), True),
        (compare("member.last_order_at", "lt", {"days_ago": 30}), False),
        (compare("member.last_order_at", "gt", {"hours_ago": 721}), True),
        (compare("member.last_order_at", "lt", {"hours_ahead": 1}), True),
        (compare("member.last_order_at", "eq", "2026-10-02T14:00:00+02:00"), True),
        (compare("activity_id", "eq", ACTIVITY.upper()), True),
        (compare("activity_id", "in", [ACTIVITY]), True),
        ({"all": []}, True),
        ({"any": []}, False),
        ({"not": {"any": []}}, True),
    ],
)
def test_answers(condition: object, expected: bool) -> None:
    assert answer(condition) is expected


@pytest.mark.parametrize("facts", [{}, dict.fromkeys(FACTS)])
@pytest.mark.parametrize("op", ["eq", "ne", "lt", "gte", "in", "between", "contains"])
def test_every_comparison_with_a_missing_fact_is_false_and_its_opposite_true(
    op: str, facts: dict[str, object]
) -> None:
    value: Any = ["a", "z"] if op in ("in", "between") else "a"
    condition = compare("member.country", op, value)
    assert answer(condition, facts) is False
    assert answer({"not": condition}, facts) is True


def test_presence_is_asked_for_by_name_and_an_empty_list_is_present() -> None:
    assert answer(compare("member.country", "exists")) is True
    assert answer(compare("member.country", "exists"), {"member.country": None}) is False
    assert answer(compare("member.tags", "exists"), {"member.tags": []}) is True
    assert answer({"not": compare("member.tags", "exists")}, {}) is True


def deep(levels: int) -> object:
    condition: object = {"all": []}
    for _ in range(levels - 1):
        condition = {"not": condition}
    return condition


@pytest.mark.parametrize(
    ("condition", "pointer"),
    [
        (None, ""),
        ([], ""),
        ({}, ""),
        ({"all": [], "any": []}, ""),
        ({"all": {}}, "/all"),
        ({"all": [], "note": 1}, "/note"),
        ({"all": [], "a/b~c": 1}, "/a~1b~0c"),
        ({"all": [{"any": [7]}]}, "/all/0/any/0"),
        ({"not": {"not": []}}, "/not/not"),
        (compare("member.age", "eq", 1), "/field"),
        (compare(["x"], "eq", 1), "/field"),  # type: ignore[arg-type]  # The wrong type is the point.
        (compare("member.tags", "eq", "vip"), "/op"),
        (compare("member.is_new", "lt", True), "/op"),
        (compare("activity_id", "gt", ACTIVITY), "/op"),
        (compare("member.country", "like", "U%"), "/op"),
        (compare("member.country", ["eq"], "US"), "/op"),  # type: ignore[arg-type]  # The wrong type is the point.
        (compare("member.country", "exists", True), "/value"),
        (compare("member.country", "eq"), ""),
        (compare("member.country", "eq", None), "/value"),
        (compare("member.country", "eq", 1), "/value"),
        (compare("member.country", "eq", "a\0"), "/value"),
        (compare("member.country", "eq", "\ud800"), "/value"),
        (compare("member.country", "eq", "x" * 1001), "/value"),
        (compare("member.country", "in", "US"), "/value"),
        (compare("member.country", "in", []), "/value"),
        (compare("member.country", "in", ["US", 1]), "/value/1"),
        (compare("member.country", "in", ["US"] * (MAX_LIST_VALUES + 1)), "/value"),
        (compare("order.total_minor", "between", [1]), "/value"),
        (compare("order.total_minor", "eq", True), "/value"),
        (compare("order.total_minor", "eq", 1.0), "/value"),
        (compare("order.total_minor", "eq", 2**63), "/value"),
        (compare("order.total_minor", "eq", "1"), "/value"),
        (compare("order.score", "eq", 0.25), "/value"),
        (compare("order.score", "eq", "NaN"), "/value"),
        (compare("order.score", "eq", "1e5"), "/value"),
        (compare("member.is_new", "eq", 1), "/value"),
        (compare("activity_id", "eq", "1"), "/value"),
        (compare("member.last_order_at", "eq", "2026-01-01"), "/value"),
        (compare("member.last_order_at", "eq", "2026-01-01T00:00:00"), "/value"),
        (compare("member.last_order_at", "eq", "2026-02-30T00:00:00Z"), "/value"),
        (compare("member.last_order_at", "eq", "0001-01-01T00:00:00+14:00"), "/value"),
        (compare("member.last_order_at", "eq", {"weeks_ago": 1}), "/value"),
        (compare("member.last_order_at", "eq", {"days_ago": 1, "hours_ago": 1}), "/value"),
        (compare("member.last_order_at", "eq", {"days_ago": -1}), "/value/days_ago"),
        (compare("member.last_order_at", "eq", {"days_ago": 10**9}), "/value/days_ago"),
        (compare("member.last_order_at", "eq", {"days_ago": True}), "/value/days_ago"),
        (deep(MAX_DEPTH + 1), "/not" * MAX_DEPTH),
        ({"any": [{"all": []}] * MAX_NODES}, f"/any/{MAX_NODES - 1}"),
    ],
)
def test_a_bad_condition_is_refused_with_a_pointer_to_the_place(condition: object, pointer: str) -> None:
    with pytest.raises(ConditionError) as caught:
        parse(condition, FIELDS)
    assert caught.value.pointer == pointer
    assert caught.value.message


def test_the_limits_themselves_are_acceptable() -> None:
    parse(deep(MAX_DEPTH), FIELDS)
    parse({"any": [{"all": []}] * (MAX_NODES - 1)}, FIELDS)
    parse(compare("member.country", "in", ["US"] * MAX_LIST_VALUES), FIELDS)


def test_json_nested_without_end_does_not_exhaust_the_stack() -> None:
    condition: object = {"all": []}
    for _ in range(sys.getrecursionlimit() * 2):
        condition = {"not": condition}
    with pytest.raises(ConditionError, match="nested"):
        parse(condition, FIELDS)


@pytest.mark.parametrize(
    ("field", "fact"),
    [
        ("order.total_minor", True),
        ("order.total_minor", "1000"),
        ("order.score", 0.25),
        ("order.score", Decimal("NaN")),
        ("member.tags", "vip"),
        ("member.last_order_at", datetime(2026, 1, 1)),  # noqa: DTZ001  # A naive time is the point.
        ("activity_id", ACTIVITY),
        ("member.is_new", 0),
        ("member.country", 1),
    ],
)
def test_a_fact_of_the_wrong_type_is_an_error_of_the_code_and_no_answer(field: str, fact: object) -> None:
    with pytest.raises(TypeError, match=field):
        answer(compare(field, "exists"), {field: fact})
    with pytest.raises(TypeError, match=field):
        compiled(parse(compare(field, "exists"), FIELDS))({field: fact}, NOW)


def test_what_counts_from_now_needs_now() -> None:
    condition = parse(
        {"not": compare("member.last_order_at", "between", [{"days_ago": 2}, NOW.isoformat()])}, FIELDS
    )
    assert is_relative(condition)
    assert not is_relative(parse(compare("member.last_order_at", "eq", NOW.isoformat()), FIELDS))
    with pytest.raises(ValueError, match="argument now"):
        evaluate(condition, FACTS)
    with pytest.raises(ValueError, match="argument now"):
        compiled(condition)(FACTS, None)
    with pytest.raises(ValueError, match="UTC offset"):
        evaluate(condition, FACTS, NOW.replace(tzinfo=None))


def test_a_condition_knows_its_fields_and_two_of_the_same_words_are_equal() -> None:
    words = json.dumps(
        {"all": [compare("member.country", "eq", "US"), {"not": compare("member.tags", "exists")}]}
    )
    condition = parse(json.loads(words), FIELDS)
    assert fields_of(condition) == {"member.country", "member.tags"}
    assert condition == parse(json.loads(words), FIELDS)
    assert isinstance(condition, AllOf)


def test_field_sets_join_and_refuse_contradictions() -> None:
    joined = FieldSet({"a.b": "string"}) | FieldSet({"c": FieldType.INTEGER})
    assert dict(joined) == {"a.b": FieldType.STRING, "c": FieldType.INTEGER}
    with pytest.raises(ValueError, match="two types"):
        FieldSet({"a": "string"}) | FieldSet({"a": "integer"})
    with pytest.raises(ValueError, match="field name"):
        FieldSet({"A b": "string"})
    with pytest.raises(ValueError, match="colour"):
        FieldSet({"a": "colour"})
