"""Declaring an event: what the base class checks and derives."""

import pytest

from shared.events import (
    EVENT_TYPES,
    TOPICS,
    Event,
    MemberMerged,
    OrderPaid,
    ReportRestated,
    StorefrontOrderSubmitted,
    schema_uri,
)
from shared.events.base import EventMeta
from shared.ids import new_id
from tests.shared.events.strategies import INSTANT

DOC = "Something happened.\n\n    Stated by: members.\n    Heard by: points, analytics.\n    "


def _declare(doc: str | None = DOC, **keywords: object) -> None:
    chosen = {"type": "test.declared", "topic": "orders", "key": "order_id"} | keywords
    EventMeta("Declared", (Event,), {"__doc__": doc, "__annotations__": {"order_id": str}}, **chosen)  # type: ignore[arg-type]  # the point is wrong keywords


@pytest.mark.parametrize(
    ("keywords", "complaint"),
    [
        ({"type": "TestDeclared"}, "noun.verbed"),
        ({"topic": "nowhere"}, "declared topic"),
        ({"key": "member_id"}, "no field member_id"),
        ({"version": 0}, "a version"),
        ({"type": "order.paid"}, "declared twice"),
        ({"doc": None}, "Stated by"),
        ({"doc": "Stated by: members."}, "Heard by"),
        ({"doc": "Stated by: nobody.\nHeard by: members."}, "Stated by"),
    ],
)
def test_a_careless_declaration_is_refused(keywords: dict[str, object], complaint: str) -> None:
    with pytest.raises(TypeError, match=complaint):
        _declare(**keywords)  # type: ignore[arg-type]  # the point is wrong keywords
    assert ("test.declared", 1) not in EVENT_TYPES


def test_a_tombstone_carries_nothing_but_its_key() -> None:
    fields = {"__doc__": DOC, "__annotations__": {"order_id": str, "why": str}}
    with pytest.raises(TypeError, match="nothing but its key"):
        EventMeta("Loud", (Event,), fields, type="a.b", topic="orders", key="order_id", tombstone=True)


def test_a_field_cannot_hide_an_attribute_of_every_event() -> None:
    fields = {"__doc__": DOC, "__annotations__": {"order_id": str, "topic": str}}
    with pytest.raises(TypeError, match="like an attribute"):
        EventMeta("Hiding", (Event,), fields, type="a.b", topic="orders", key="order_id")


def test_parties_are_read_from_the_docstring() -> None:
    assert OrderPaid.stated_by == ("members",)
    assert OrderPaid.heard_by == ("points", "campaigns", "messaging", "analytics")
    assert OrderPaid.stated_yet
    assert ReportRestated.stated_by == ("analytics",)
    assert not ReportRestated.stated_yet


def test_the_key_is_the_field_that_the_class_names() -> None:
    merged = MemberMerged(surviving_id=new_id(), merged_id=new_id(), merged_at=INSTANT)
    assert merged.key == str(merged.surviving_id)
    assert StorefrontOrderSubmitted(document={"external_order_id": "7"}).key == "7"
    assert StorefrontOrderSubmitted(document={}).key == ""


def test_events_cannot_be_changed() -> None:
    event = StorefrontOrderSubmitted(document={})
    with pytest.raises(AttributeError):
        event.document = {}  # type: ignore[misc]  # the point is that it is frozen


def test_every_topic_has_events_and_only_the_profiles_are_compacted() -> None:
    assert {cls.topic for cls in EVENT_TYPES.values()} == TOPICS.keys()
    assert [topic.name for topic in TOPICS.values() if topic.compacted] == ["member-profiles"]
    assert TOPICS["member-profiles"].retention_seconds is None
    assert TOPICS["dead-letters"].retention_seconds == 30 * 24 * 60 * 60


def test_the_schema_has_an_absolute_uri() -> None:
    assert schema_uri("order.paid", 1) == "regulars:/schemas/order.paid/1"
