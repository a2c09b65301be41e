"""docs/events.md: the catalogue for people."""

import json
from typing import Any

from shared.events.base import Event
from shared.events.codec import in_catalogue_order, schema_uri
from shared.events.schemas import Schema, file_name, resolve, schema_of, summary_of
from shared.events.topics import TOPICS, Topic

_INTRODUCTION = """\
# Events

<!-- Generated from shared/events by `python -m shared.events.generate`; edit there. -->

What the services say to each other, by topic. Every record follows the CloudEvents 1.0.2 Kafka binding in
binary mode: the value is the event as JSON, the headers say the rest.

| header | what it says |
|---|---|
| `ce_id` | the event's id (UUID), the same in every delivery, which is at least once: remember it |
| `ce_type` | the type, such as `order.paid`; pass over types that you do not know |
| `ce_source` | the service that states it |
| `ce_time` | when it was stated, RFC 3339 in UTC |
| `ce_dataschema` | the schema, such as `{uri}`; the last part is the version |
| `content-type` | `application/json` |
| `traceparent` | W3C trace context, if the cause had one |

Records with the same key keep their order. Optional fields may be added to a version at any time, so ignore
what you do not know; anything else becomes a new version. Amounts called `…_minor` are integers in the
currency's minor unit (cents, or whole yen). The JSON Schemas are in [events/schemas](events/schemas), the
AsyncAPI 3.0 document is [events/asyncapi.yaml](events/asyncapi.yaml).
"""

_SENTENCES = {
    "uuid": "UUID",
    "date-time": "instant",
    "date": "date",
}


def page(examples: dict[str, Any]) -> str:
    """The whole page; `examples` holds an example value by the file name of its event."""
    events = list(in_catalogue_order())
    parts = [_INTRODUCTION.format(uri=schema_uri("order.paid", 1)), _contents(events)]
    for topic in TOPICS.values():
        parts.append(_topic_section(topic))
        parts += [_event_section(cls, examples[file_name(cls)]) for cls in events if cls.topic == topic.name]
    return "\n".join(parts)


def _stating(cls: type[Event]) -> str:
    return ", ".join(cls.stated_by) + ("" if cls.stated_yet else " (not yet)")


def _contents(events: list[type[Event]]) -> str:
    rows = ["| event | topic | stated by | heard by |", "|---|---|---|---|"]
    for cls in events:
        anchor = _heading(cls).replace(".", "").replace(" ", "-")
        link = f"[`{cls.type}`](#{anchor})"
        rows.append(f"| {link} | `{cls.topic}` | {_stating(cls)} | {', '.join(cls.heard_by)} |")
    return "\n".join(rows) + "\n"


def _heading(cls: type[Event]) -> str:
    return cls.type if cls.version == 1 else f"{cls.type} version {cls.version}"


def _topic_section(topic: Topic) -> str:
    kept = f"{topic.retention.days} days" if topic.retention else "for ever"
    kept = "the last record of each key" if topic.compacted else kept
    personal = " Holds personal data." if topic.personal else ""
    facts = f"{topic.partitions} partitions by default; kept: {kept}.{personal}"
    return f"## Topic `{topic.name}`\n\n{topic.carries} {facts}\n"


def _event_section(cls: type[Event], example: Any) -> str:
    schema = schema_of(cls)
    definitions = schema.get("$defs", {})
    parties = f"Stated by {_stating(cls)}. Heard by {', '.join(cls.heard_by)}."
    lines = [f"### {_heading(cls)}", "", summary_of(cls), "", f"{parties} Key: `{cls.key_field}`.", ""]
    if cls.tombstone:
        return "\n".join([*lines, "The record has no value.", ""])
    if cls.body_field is None:
        lines += _field_table(schema, definitions)
        for name, definition in definitions.items():
            lines += [f"`{name}`: {definition['description']}", "", *_field_table(definition, definitions)]
    lines += ["```json", json.dumps(example, indent=2, ensure_ascii=False), "```", ""]
    return "\n".join(lines)


def _field_table(schema: Schema, definitions: dict[str, Schema]) -> list[str]:
    rows = ["| field | type | meaning |", "|---|---|---|"]
    required = schema.get("required", [])
    for name, field in schema["properties"].items():
        # A struct as a field carries its meaning in its own description.
        meaning = field.get("description") or resolve(field, definitions).get("description", "")
        optional = "" if name in required else _default(field)
        rows.append(f"| `{name}` | {_type(field)}{optional} | {meaning} |")
    return [*rows, ""]


def _default(field: Schema) -> str:
    default = field.get("default")
    return ", optional" if default in (None, []) else f", {json.dumps(default)} if absent"


def _type(field: Schema) -> str:
    """The type of a field in a few words, such as `integer 0…` or `list of OrderLine`."""
    if "$ref" in field:
        return f"`{field['$ref'].rpartition('/')[2]}`"
    if "anyOf" in field:
        return " or ".join(_type(choice) for choice in field["anyOf"])
    if field["type"] == "array":
        return f"list of {_type(field['items'])}"
    if field["type"] == "integer":
        return f"integer{_bounds(field)}"
    if field["type"] == "string":
        return _text(field)
    return str(field["type"])


def _bounds(field: Schema) -> str:
    # The bounds of a bigint say nothing that the introduction of integers does not; smaller ones do.
    low, high = field.get("minimum"), field.get("maximum")
    low_text = "" if low is None or low < -(2**62) else str(low)
    high_text = "" if high is None or high > 2**62 else str(high)
    return f" {low_text}…{high_text}" if low_text or high_text else ""


def _text(field: Schema) -> str:
    if "format" in field:
        return _SENTENCES.get(field["format"], str(field["format"]))
    if "pattern" in field:
        return f"text `{field['pattern']}`"
    if "contentEncoding" in field:
        return str(field["contentEncoding"])
    return f"text ≤ {field['maxLength']}" if "maxLength" in field else "text"
