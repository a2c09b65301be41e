"""Between events and records: round trips, CloudEvents headers, and what cannot be read."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from typing import Annotated, Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from shared.bus import MAX_RECORD_BYTES
from shared.events import (
    EVENT_TYPES,
    NEWEST_VERSIONS,
    Envelope,
    Event,
    EventTooLarge,
    MemberProfile,
    MemberProfileErased,
    OrderCancelled,
    SegmentEntered,
    StorefrontOrderSubmitted,
    UndecodableEvent,
    UnknownEventType,
    UnknownEventVersion,
    decode,
    encode,
    envelope_of,
    headers_of,
)
from shared.events.codec import MAX_EVENT_BYTES
from shared.events.fields import Natural, says
from shared.events.schemas import file_name, schema_of
from shared.ids import new_id
from tests.shared.events.strategies import INSTANT, events

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
EVENTS = sorted(EVENT_TYPES.values(), key=file_name)


@dataclass
class Read:
    """A record as a bus gives it."""

    topic: str
    key: str | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()
    partition: int = 3
    offset: int = 41
    timestamp: datetime = field(default=INSTANT)


def _cancelled(**fields: Any) -> OrderCancelled:
    values: dict[str, Any] = {
        "order_id": new_id(),
        "member_id": new_id(),
        "source": "amazon",
        "shop_id": "us",
        "external_order_id": "7",
        "cancelled_at": INSTANT,
    }
    return OrderCancelled(**values | fields)


def _segment(**fields: Any) -> SegmentEntered:
    values: dict[str, Any] = {
        "segment_id": new_id(),
        "segment_version": 1,
        "member_id": new_id(),
        "at": INSTANT,
    }
    return SegmentEntered(**values | fields)


def _envelope(event: Event, **fields: Any) -> Envelope[Event]:
    values: dict[str, Any] = {"id": new_id(), "source": "members", "time": INSTANT, "traceparent": TRACE}
    return Envelope(type=event.type, key=event.key, data=event, **values | fields)


def _record(envelope: Envelope[Event], **replaced: bytes | None) -> Read:
    """The record of an envelope, with headers replaced, or removed by None."""
    headers = dict(headers_of(envelope)) | {
        name.replace("__", "-"): value for name, value in replaced.items()
    }
    kept = tuple((name, value) for name, value in headers.items() if value is not None)
    return Read(envelope.data.topic, envelope.key, encode(envelope.data), kept)


@pytest.mark.parametrize("cls", EVENTS, ids=file_name)
def test_every_event_comes_back_as_it_was_said(cls: type[Event]) -> None:
    schema = Draft202012Validator(schema_of(cls))

    @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
    @given(event=events(cls))
    def comes_back(event: Event) -> None:
        payload = encode(event)
        assert decode(cls.type, cls.version, payload, event.key) == event
        schema.validate(json.loads(payload or b"null"))

    comes_back()


@settings(max_examples=50, deadline=None)
@given(
    event_id=st.uuids(),
    time=st.datetimes(
        datetime(1900, 1, 1),  # noqa: DTZ001 - Hypothesis adds the zone
        datetime(9998, 1, 1),  # noqa: DTZ001 - Hypothesis adds the zone
        timezones=st.sampled_from([UTC, timezone(timedelta(hours=8)), timezone(timedelta(hours=-7))]),
    ),
    traceparent=st.none() | st.just(TRACE),
)
def test_an_envelope_comes_back_from_its_record(
    event_id: UUID, time: datetime, traceparent: str | None
) -> None:
    envelope = _envelope(_cancelled(), id=event_id, time=time, traceparent=traceparent)
    assert envelope_of(_record(envelope)) == envelope


def test_headers_follow_the_cloudevents_kafka_binding() -> None:
    east = datetime(2026, 11, 22, 2, 5, 0, 250_000, tzinfo=timezone(timedelta(hours=8)))
    envelope = _envelope(_cancelled(), time=east)
    assert dict(headers_of(envelope)) == {
        "ce_specversion": b"1.0",
        "ce_id": str(envelope.id).encode(),
        "ce_type": b"order.cancelled",
        "ce_source": b"members",
        "ce_time": b"2026-11-21T18:05:00.250000Z",
        "ce_dataschema": b"regulars:/schemas/order.cancelled/1",
        "content-type": b"application/json",
        "traceparent": TRACE.encode(),
    }


def test_a_type_outside_the_catalogue_is_told_apart_from_a_bad_record() -> None:
    record = _record(_envelope(_cancelled()), ce_type=b"order.levitated")
    with pytest.raises(UnknownEventType):
        envelope_of(record)
    with pytest.raises(UnknownEventType):
        decode("order.levitated", 1, b"{}")


@pytest.mark.parametrize(
    "replaced",
    [
        {"ce_type": None},
        {"ce_id": None},
        {"ce_id": b"7"},
        {"ce_time": b"yesterday"},
        {"ce_time": b"2026-11-21T18:05:00"},
        {"ce_dataschema": None},
        {"ce_dataschema": b"regulars:/schemas/order.cancelled/x"},
        {"ce_source": b"\xff"},
    ],
    ids=str,
)
def test_headers_that_say_nothing_sensible_make_a_bad_record(replaced: dict[str, bytes | None]) -> None:
    with pytest.raises(UndecodableEvent):
        envelope_of(_record(_envelope(_cancelled()), **replaced))


def test_a_header_that_is_missing_is_named() -> None:
    with pytest.raises(UndecodableEvent, match=r"^CloudEvents headers: ce_dataschema is missing$"):
        envelope_of(_record(_envelope(_cancelled()), ce_dataschema=None))


def test_a_version_from_the_future_is_kept_for_after_the_upgrade() -> None:
    record = _record(_envelope(_cancelled()), ce_dataschema=b"regulars:/schemas/order.cancelled/9")
    with pytest.raises(UnknownEventVersion) as refusal:
        envelope_of(record)
    assert isinstance(refusal.value, UndecodableEvent)


@pytest.mark.parametrize(
    "change",
    [
        {"order_id": "7"},
        {"source": ""},
        {"source": "a" * 65},
        {"cancelled_at": "2026-11-21T18:05:00"},
        {"reason": 5},
        {"reason": "a\0b"},
        {"reason": "a\\\0b"},
        {"shop_id": None},
    ],
    ids=str,
)
def test_values_out_of_bounds_make_a_bad_record(change: dict[str, Any]) -> None:
    value = json.loads(encode(_cancelled())) | change
    with pytest.raises(UndecodableEvent):
        decode("order.cancelled", 1, json.dumps(value).encode())


@pytest.mark.parametrize("payload", [None, b"", b"{", b"[]", b"\xff", b'"\\ud800"', b"[" * 100_000], ids=repr)
def test_what_is_not_the_event_makes_a_bad_record(payload: bytes | None) -> None:
    with pytest.raises(UndecodableEvent):
        decode("order.cancelled", 1, payload, "key")


def test_a_backslash_before_u0000_is_only_text() -> None:
    event = _cancelled(reason=r"the text \u0000 itself")
    assert decode("order.cancelled", 1, encode(event)) == event


def test_fields_of_a_newer_writer_are_passed_over() -> None:
    event = _cancelled()
    value = json.loads(encode(event)) | {"mood": "sad"}
    assert decode("order.cancelled", 1, json.dumps(value).encode()) == event


def test_an_event_that_no_bus_would_take_fails_its_writer() -> None:
    room = MAX_RECORD_BYTES - MAX_EVENT_BYTES
    assert room > 10 * sum(len(name) + len(value) for name, value in headers_of(_envelope(_cancelled())))
    with pytest.raises(EventTooLarge):
        encode(StorefrontOrderSubmitted(document={"note": "a" * MAX_EVENT_BYTES}))


def test_a_tombstone_is_an_empty_value_that_erases_its_key() -> None:
    erased = MemberProfileErased(member_id=new_id())
    assert encode(erased) == b""
    envelope = _envelope(erased)
    assert envelope_of(_record(envelope)) == envelope
    # Whoever writes a null value with the headers of a profile means the same.
    profile = MemberProfile(member_id=erased.member_id, updated_at=INSTANT, revision=1)
    record = _record(_envelope(profile))
    record.value = None
    assert envelope_of(record).data == erased
    assert envelope_of(record).type == "member.profile_erased"


def test_a_tombstone_needs_a_key_and_takes_no_value() -> None:
    with pytest.raises(UndecodableEvent):
        decode("member.profile_erased", 1, None, "not an id")
    with pytest.raises(UndecodableEvent):
        decode("member.profile_erased", 1, None, None)
    with pytest.raises(UndecodableEvent):
        decode("member.profile_erased", 1, b"{}", str(new_id()))


def test_storefronts_may_write_orders_without_headers() -> None:
    record = Read("storefront.orders", None, b'{"external_order_id": "7"}')
    first, again = envelope_of(record), envelope_of(record)
    assert first == again
    assert first.data == StorefrontOrderSubmitted(document={"external_order_id": "7"})
    assert (first.type, first.key, first.time) == ("storefront.order_submitted", "7", INSTANT)
    record.offset += 1
    assert envelope_of(record).id != first.id


def test_storefronts_may_use_ids_of_their_own() -> None:
    headers = (("ce_id", b"order-7"), ("ce_source", b"/shops/us"), ("ce_type", b"storefront.order_submitted"))
    record = Read("storefront.orders", "7", b"{}", headers)
    first = envelope_of(record)
    record.offset += 1
    assert envelope_of(record).id == first.id
    assert first.source == "/shops/us"


def test_a_foreign_type_among_storefront_orders_is_not_lost_in_silence() -> None:
    record = Read("storefront.orders", "7", b"{}", (("ce_type", b"com.shop.order"),))
    with pytest.raises(UndecodableEvent):
        envelope_of(record)


@pytest.fixture
def second_version() -> Iterator[type[Event]]:
    """`test.counted`, whose second version counts in units instead of dozens."""

    class CountedInUnits(Event, type="test.counted", topic="orders", key="sku", version=2):
        """Things were counted.

        Stated by: members.
        Heard by: analytics.
        """

        sku: str
        units: Annotated[Natural, says("Units counted.")]

    class CountedInDozens(Event, type="test.counted", topic="orders", key="sku"):
        """Things were counted.

        Stated by: members.
        Heard by: analytics.
        """

        sku: str
        dozens: Annotated[Natural, says("Dozens counted.")]

        def upcast(self) -> CountedInUnits:
            return CountedInUnits(sku=self.sku, units=12 * self.dozens)

    yield CountedInUnits
    for version in (1, 2):
        del EVENT_TYPES["test.counted", version]
    del NEWEST_VERSIONS["test.counted"]


def test_an_old_version_is_read_as_the_newest(second_version: Any) -> None:
    units = second_version(sku="egg", units=24)
    assert decode("test.counted", 1, b'{"sku": "egg", "dozens": 2}') == units
    assert decode("test.counted", 2, b'{"sku": "egg", "units": 24}') == units
    record = _record(_envelope(units), ce_dataschema=b"regulars:/schemas/test.counted/1")
    record.value = b'{"sku": "egg", "dozens": 2}'
    envelope = envelope_of(record)
    assert (envelope.version, envelope.data) == (1, units)


def test_the_newest_version_has_nowhere_to_go() -> None:
    with pytest.raises(TypeError, match="next version"):
        _segment().upcast()
