"""Between events and records: JSON values and CloudEvents headers.

Headers follow the binary mode of the CloudEvents 1.0.2 Kafka protocol binding
(https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/kafka-protocol-binding.md, section 3.2):
every attribute is a header `ce_<name>`, the value is the data itself, `content-type` says its media type.
The version of an event is the last part of `ce_dataschema`.
"""

import functools
import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol
from uuid import NAMESPACE_URL, UUID, uuid5

import msgspec

from shared.events.base import (
    EVENT_TYPES,
    NEWEST_VERSIONS,
    Envelope,
    Event,
    EventTooLarge,
    UndecodableEvent,
    UnknownEventType,
    UnknownEventVersion,
)
from shared.events.topics import TOPICS
from shared.ids import parse_id

Headers = list[tuple[str, bytes]]

SCHEMA_PREFIX = "regulars:/schemas/"
"""`dataschema` must be an absolute URI, so the path of the schema gets a scheme of ours before it."""

MAX_EVENT_BYTES = 900_000
"""The buses refuse records above 1,000,000 bytes; the rest is room for the key and the headers."""

# A backslash that is itself escaped does not escape what follows it.
_ESCAPED_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")

_encoder = msgspec.json.Encoder()


class RecordLike(Protocol):
    """What the codec reads of a bus record; named here because services import the catalogue, not the bus."""

    @property
    def topic(self) -> str: ...
    @property
    def partition(self) -> int: ...
    @property
    def offset(self) -> int: ...
    @property
    def key(self) -> str | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Sequence[tuple[str, bytes]]: ...
    @property
    def timestamp(self) -> datetime: ...


def encode(event: Event) -> bytes:
    """The event as JSON, empty for a tombstone (a bus writes an empty value as none).

    Raises EventTooLarge, so that the writer's transaction fails and not the relay, which could never get
    past such a row.
    """
    if event.tombstone:
        return b""
    payload = _encoder.encode(event if event.body_field is None else getattr(event, event.body_field))
    if len(payload) > MAX_EVENT_BYTES:
        raise EventTooLarge(f"{event.type} takes {len(payload)} bytes of at most {MAX_EVENT_BYTES}")
    return payload


def decode(event_type: str, version: int, payload: bytes | None, key: str | None = None) -> Event:
    """The event in its newest version; `key` is the record key, which is all that a tombstone has.

    Raises UnknownEventType if no version of the type is declared, UnknownEventVersion if only older ones
    are, and UndecodableEvent if the payload is not what the version says.
    """
    cls = _class_of(event_type, version)
    try:
        event = _read(cls, payload, key)
        while event.version < NEWEST_VERSIONS[event_type]:
            event = event.upcast()
    # UnicodeDecodeError is a ValueError as msgspec's errors are; RecursionError is absurdly deep nesting.
    except (ValueError, RecursionError) as error:
        raise UndecodableEvent(f"{event_type} version {version}: {error}") from error
    return event


def _class_of(event_type: str, version: int) -> type[Event]:
    cls = EVENT_TYPES.get((event_type, version))
    if cls is not None:
        return cls
    if event_type not in NEWEST_VERSIONS:
        raise UnknownEventType(event_type)
    raise UnknownEventVersion(f"{event_type} version {version} is not known here")


def _read(cls: type[Event], payload: bytes | None, key: str | None) -> Event:
    if not payload:
        # A null value on a compacted topic erases, whichever type its headers name.
        eraser = _eraser_of(cls.topic)
        if eraser is None or not key:
            raise ValueError("the record has no value")
        return msgspec.convert({eraser.key_field: key}, eraser)
    if cls.tombstone:
        raise ValueError("a tombstone has no value")
    if b"\\u0000" in payload and _ESCAPED_NUL.search(payload):
        # PostgreSQL has no such character in text: one of these would fail the whole batch it is in.
        raise ValueError("a text holds the character U+0000")
    value = _decoder_of(cls).decode(payload)
    if cls.body_field is not None:
        return cls(**{cls.body_field: value})
    return value  # type: ignore[no-any-return]  # the decoder of a class without a body answers that class


@functools.cache
def _eraser_of(topic: str) -> type[Event] | None:
    return next((cls for cls in EVENT_TYPES.values() if cls.tombstone and cls.topic == topic), None)


@functools.cache
def _decoder_of(cls: type[Event]) -> msgspec.json.Decoder[Any]:
    if cls.body_field is None:
        return msgspec.json.Decoder(cls)
    body = next(field for field in msgspec.structs.fields(cls) if field.name == cls.body_field)
    return msgspec.json.Decoder(body.type)


def schema_uri(event_type: str, version: int) -> str:
    """The `dataschema` of an event, such as `regulars:/schemas/order.paid/1`."""
    return f"{SCHEMA_PREFIX}{event_type}/{version}"


@functools.cache
def _static_headers(event_type: str, version: int, source: str) -> tuple[tuple[str, bytes], ...]:
    # The same for every event of a type, so built once: the relay writes tens of thousands per second.
    return (
        ("ce_specversion", b"1.0"),
        ("ce_type", event_type.encode()),
        ("ce_source", source.encode()),
        ("ce_dataschema", schema_uri(event_type, version).encode()),
        ("content-type", b"application/json"),
    )


def event_headers(
    *, event_type: str, version: int, source: str, event_id: UUID, time: datetime, traceparent: str | None
) -> Headers:
    """The headers of an event by its parts, for the relay, which has an outbox row and no event object."""
    if time.tzinfo is not UTC:
        time = time.astimezone(UTC)
    headers = [
        *_static_headers(event_type, version, source),
        ("ce_id", str(event_id).encode()),
        # RFC 3339 with the Z that people expect; isoformat of a UTC instant always ends in "+00:00".
        ("ce_time", time.isoformat()[:-6].encode() + b"Z"),
    ]
    if traceparent is not None:
        headers.append(("traceparent", traceparent.encode()))
    return headers


def headers_of(envelope: Envelope[Event]) -> Headers:
    """The record headers of an envelope, whose data is written in the newest version."""
    return event_headers(
        event_type=envelope.type,
        version=envelope.data.version,
        source=envelope.source,
        event_id=envelope.id,
        time=envelope.time,
        traceparent=envelope.traceparent,
    )


def envelope_of(record: RecordLike) -> Envelope[Event]:
    """The envelope in a record.

    Raises UnknownEventType for an event that is not in the catalogue, UndecodableEvent for anything else
    that is not an event. On a topic with a `bare_type` headers are optional, and the id of an event that
    brings none follows from its place on the bus, so that every delivery has the same.
    """
    headers = dict(record.headers)
    topic = TOPICS.get(record.topic)
    if topic is not None and topic.bare_type is not None:
        return _bare_envelope(record, headers, topic.bare_type)
    try:
        event_type, version = _type_and_version(headers["ce_type"], headers["ce_dataschema"])
        event_id = parse_id(headers["ce_id"].decode())
        source = headers["ce_source"].decode()
        time = datetime.fromisoformat(headers["ce_time"].decode())
    except KeyError as error:
        raise UndecodableEvent(f"CloudEvents headers: {error.args[0]} is missing") from error
    except ValueError as error:
        raise UndecodableEvent(f"CloudEvents headers: {error!r}") from error
    if time.tzinfo is None:
        raise UndecodableEvent("CloudEvents headers: ce_time has no offset")
    data = decode(event_type, version, record.value, record.key)
    return Envelope(
        id=event_id,
        type=data.type,
        source=source,
        time=time if time.tzinfo is UTC else time.astimezone(UTC),
        key=record.key or "",
        data=data,
        traceparent=_traceparent(headers),
        version=version,
    )


@functools.lru_cache(maxsize=1024)
def _type_and_version(event_type: bytes, schema: bytes) -> tuple[str, int]:
    # The same few pairs over and over. Whoever reads foreign records cannot be made to remember them all.
    name = event_type.decode()
    if name not in NEWEST_VERSIONS:
        raise UnknownEventType(name)
    return name, int(schema.rpartition(b"/")[2])


def _bare_envelope(record: RecordLike, headers: dict[str, bytes], bare_type: str) -> Envelope[Event]:
    """The envelope of a record that others wrote, with whatever headers their producer sets.

    A type that we do not know is a bad record here and not one to pass over: on a topic of one type it is
    somebody's mistake, and passing over it would lose an order in silence.
    """
    if headers.get("ce_type", bare_type.encode()) != bare_type.encode():
        raise UndecodableEvent(f"CloudEvents headers: ce_type on {record.topic} can only be {bare_type}")
    source = headers.get("ce_source", record.topic.encode()).decode("utf-8", "replace")
    if "ce_id" in headers:
        # CloudEvents ids are any text, unique within their source.
        name = f"{source}#{headers['ce_id'].decode('utf-8', 'replace')}"
    else:
        name = f"{record.topic}/{record.partition}/{record.offset}"
    data = decode(bare_type, 1, record.value, record.key)
    return Envelope(
        id=uuid5(NAMESPACE_URL, name),
        type=bare_type,
        source=source,
        time=record.timestamp,
        key=record.key or data.key,
        data=data,
        traceparent=_traceparent(headers),
    )


def _traceparent(headers: dict[str, bytes]) -> str | None:
    value = headers.get("traceparent")
    return None if value is None else value.decode("ascii", "replace")


def in_catalogue_order() -> Iterable[type[Event]]:
    """Every declared event in the order of its topic and then of declaration, for generated pages."""
    order = {name: position for position, name in enumerate(TOPICS)}
    return sorted(EVENT_TYPES.values(), key=lambda cls: order[cls.topic])
