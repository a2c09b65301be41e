"""What an event is: the base class, the catalogue it enters on declaration, and its envelope.

    class OrderPaid(Event, type="order.paid", topic="orders", key="member_id"):
        '''An order was paid.

        Stated by: members.
        Heard by: points, analytics.
        '''

        member_id: MemberId

Declaring the class is all it takes: the codec, the schemas and the reference find it in `EVENT_TYPES`.
"""

import re
import sys
from collections.abc import Mapping
from datetime import datetime
from typing import Any, ClassVar, Generic, TypeVar, dataclass_transform
from uuid import UUID

import msgspec

from shared.events.topics import TOPICS

SERVICES = ("members", "points", "campaigns", "messaging", "analytics")
PARTIES = frozenset((*SERVICES, "storefronts", "operators"))
"""Who may state or hear an event: the five services, and the two kinds of users beyond the bus."""

EVENT_TYPES: dict[tuple[str, int], type["Event"]] = {}
"""Every declared event by (type, version)."""
NEWEST_VERSIONS: dict[str, int] = {}
"""The version that `decode` answers with, by type."""

_RESERVED = frozenset({"type", "topic", "key", "version"})
_TYPE = re.compile(r"[a-z]+\.[a-z]+(_[a-z]+)*")


class UndecodableEvent(Exception):
    """The record is not an event of ours in a form that we know; it belongs in the dead letters."""


class UnknownEventVersion(UndecodableEvent):
    """The event is of a newer version than this release knows.

    It is put aside like a bad record and not skipped, because after the upgrade it can be read.
    """


class EventTooLarge(ValueError):
    """The event would not fit into a record of the bus, so it must not be said at all."""


class UnknownEventType(Exception):
    """The catalogue has no event of this type; a consumer passes over it."""


class EventMeta(msgspec.StructMeta):
    """Takes the class keywords of an event, checks them and enters the class into the catalogue."""

    def __new__(
        mcls,
        name: str,
        bases: tuple[type, ...],
        namespace: dict[str, Any],
        *,
        type: str | None = None,  # noqa: A002 - the class keyword should read like CloudEvents' own attribute
        topic: str | None = None,
        key: str | None = None,
        version: int = 1,
        tombstone: bool = False,
        body: str | None = None,
        **config: Any,
    ) -> Any:
        if type is not None:
            if not _TYPE.fullmatch(type) or topic not in TOPICS or key is None or version < 1:
                raise TypeError(f"{name} needs type='noun.verbed', a declared topic, a key and a version")
            namespace |= {"type": type, "topic": topic, "version": version, "key_field": key}
            namespace |= {"tombstone": tombstone, "body_field": body}
            namespace |= _parties(name, namespace.get("__doc__"))
        # msgspec's type is written in C and declares no keywords, hence the untyped call.
        cls: Any = super().__new__(mcls, name, bases, namespace, **{"kw_only": True, "frozen": True} | config)
        if type is not None:
            _enter(cls)
        return cls


def _parties(name: str, doc: str | None) -> dict[str, Any]:
    """Who states and who hears an event, read from the last lines of its docstring."""
    if doc is None and sys.flags.optimize >= 2:
        return {"stated_by": (), "heard_by": (), "stated_yet": True}
    found: dict[str, Any] = {}
    for label, attribute, mark in (
        ("Stated by", "stated_by", r"( \(not yet\))?"),
        ("Heard by", "heard_by", "()"),
    ):
        match = re.search(rf"^ *{label}: ([a-z, ]+?){mark}\.$", doc or "", re.MULTILINE)
        parties = tuple(match[1].split(", ")) if match else ()
        if not match or not PARTIES.issuperset(parties):
            raise TypeError(f"The docstring of {name} lacks a line '{label}: <service>, <service>.'")
        found[attribute] = parties
        if attribute == "stated_by":
            found["stated_yet"] = not match[2]
    return found


def _enter(cls: "type[Event]") -> None:
    """Put a class into the catalogue, refusing names that would hide each other."""
    fields = set(cls.__struct_fields__)
    if taken := fields & _RESERVED:
        raise TypeError(f"{cls.__name__} names a field like an attribute of every event: {sorted(taken)}")
    if (cls.body_field or cls.key_field) not in fields:
        raise TypeError(f"{cls.__name__} has no field {cls.body_field or cls.key_field}")
    if cls.tombstone and fields != {cls.key_field}:
        raise TypeError(f"{cls.__name__} is a tombstone and can carry nothing but its key")
    if (cls.type, cls.version) in EVENT_TYPES:
        raise TypeError(f"{cls.type} version {cls.version} is declared twice")
    EVENT_TYPES[cls.type, cls.version] = cls
    NEWEST_VERSIONS[cls.type] = max(cls.version, NEWEST_VERSIONS.get(cls.type, 0))


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(msgspec.field,))
class Event(msgspec.Struct, metaclass=EventMeta, frozen=True, kw_only=True, forbid_unknown_fields=False):
    """Something that happened, in the words of whoever knows it.

    Fields that this release does not know are ignored, so that a newer writer may add optional ones.
    """

    type: ClassVar[str]
    topic: ClassVar[str]
    version: ClassVar[int]
    key_field: ClassVar[str]
    tombstone: ClassVar[bool]
    """Whether the record has no value: it erases its key from a compacted topic."""
    body_field: ClassVar[str | None]
    """The field whose value alone is the record's value, for documents that others define."""
    stated_by: ClassVar[tuple[str, ...]]
    stated_yet: ClassVar[bool]
    """Whether its service says it already; an event may be declared before, so that others can prepare."""
    heard_by: ClassVar[tuple[str, ...]]

    @property
    def key(self) -> str:
        """The record key: events with the same key keep their order."""
        if self.body_field is not None:
            body: Mapping[str, Any] = getattr(self, self.body_field)
            return str(body.get(self.key_field, ""))
        return str(getattr(self, self.key_field))

    def upcast(self) -> "Event":
        """The same event as the next version says it; every version but the newest defines this."""
        raise TypeError(f"{self.type} version {self.version} does not say how to become the next version")


E_co = TypeVar("E_co", bound=Event, covariant=True)


class Envelope(msgspec.Struct, Generic[E_co], frozen=True, kw_only=True):
    """An event with what CloudEvents says about it.

    `id` is the same in every delivery of the event, `source` names the service that stated it, `time` is
    when it was stated (UTC), `version` is the version it was written in: `data` is always of the newest.
    """

    id: UUID
    type: str
    source: str
    time: datetime
    key: str
    data: E_co
    traceparent: str | None = None
    version: int = 1
