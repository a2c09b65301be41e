"""What an event says, as triggers see it: its fields for conditions and templates, and whom it concerns."""

import functools
import types
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, Union, get_args, get_origin, get_type_hints
from uuid import UUID

import msgspec

from shared.conditions import FieldSet, FieldType
from shared.events import EVENT_TYPES, NEWEST_VERSIONS, Event

__all__ = [
    "HEARD",
    "TRIGGERING",
    "condition_facts",
    "event_fields",
    "facts_json",
    "occurrence_of",
    "recipients",
]

# Snapshots of profiles are what messaging knows people by; they are no news that anybody is told of.
_PERSONAL_TOPIC: Final = "member-profiles"
# Fields that name the members whom an event is about; the first that an event has counts.
_RECIPIENT_FIELDS: Final = ("member_id", "initiator_id", "surviving_id", "member_ids")
_PREFIX: Final = "event."

_TYPES: Final[Mapping[Any, FieldType]] = {
    str: FieldType.STRING,
    int: FieldType.INTEGER,
    bool: FieldType.BOOLEAN,
    datetime: FieldType.INSTANT,
    UUID: FieldType.ID,
}

HEARD: Final[Mapping[str, type[Event]]] = {
    event_type: cls
    for (event_type, version), cls in EVENT_TYPES.items()
    if version == NEWEST_VERSIONS[event_type] and "messaging" in cls.heard_by and cls.topic != _PERSONAL_TOPIC
}
"""Every event that can reach a webhook, by type: those that the catalogue says messaging hears."""

TRIGGERING: Final[Mapping[str, type[Event]]] = {
    event_type: cls
    for event_type, cls in HEARD.items()
    if any(field in cls.__struct_fields__ for field in _RECIPIENT_FIELDS)
}
"""The events among them that concern members, and so can trigger a message."""


def recipients(event: Event) -> list[UUID]:
    """The members that an event is about, each once."""
    for field in _RECIPIENT_FIELDS:
        value = getattr(event, field, None)
        if isinstance(value, UUID):
            return [value]
        if isinstance(value, list):
            return list(dict.fromkeys(value))
    return []


@functools.cache
def event_fields(event_type: str) -> FieldSet:
    """The fields of an event that a condition may ask about, as `event.<field>`; plain values only."""
    cls = TRIGGERING[event_type]
    hints = get_type_hints(cls)
    fields = {name: _field_type(hints[name]) for name in cls.__struct_fields__}
    return FieldSet({f"{_PREFIX}{name}": kind for name, kind in fields.items() if kind is not None})


def _field_type(hint: Any) -> FieldType | None:
    if get_origin(hint) in (Union, types.UnionType):
        inner = [part for part in get_args(hint) if part is not type(None)]
        return _field_type(inner[0]) if len(inner) == 1 else None
    if get_origin(hint) is list:
        return FieldType.STRINGS if _field_type(get_args(hint)[0]) is FieldType.STRING else None
    return _TYPES.get(hint)


def condition_facts(event: Event) -> dict[str, object]:
    """An event as the facts of a condition."""
    return {f"{_PREFIX}{name}": getattr(event, name) for name in event.__struct_fields__}


def facts_json(event: Event) -> str:
    """An event as templates see it: its fields as JSON, ids and figures only."""
    return msgspec.json.encode(event).decode()


def occurrence_of(event: Event, event_id: UUID, field: str | None) -> str:
    """What makes this occasion one: the value of a field if the trigger names one, else the event itself."""
    value = None if field is None else getattr(event, field.removeprefix(_PREFIX), None)
    return str(event_id) if value is None else f"{field}={value}"
