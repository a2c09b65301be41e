"""The AsyncAPI 3.0 document of the bus (https://www.asyncapi.com/docs/reference/specification/v3.0.0)."""

from typing import Any

from shared.events.base import PARTIES, Event
from shared.events.codec import in_catalogue_order, schema_uri
from shared.events.schemas import file_name, summary_of
from shared.events.topics import TOPICS, Topic

Node = dict[str, Any]

_HEADERS: Node = {
    "type": "object",
    "required": ["ce_specversion", "ce_id", "ce_type", "ce_source", "ce_time", "ce_dataschema"],
    "properties": {
        "ce_specversion": {"type": "string", "const": "1.0"},
        "ce_id": {"type": "string", "format": "uuid", "description": "The same in every delivery."},
        "ce_type": {"type": "string", "description": "Type of the event."},
        "ce_source": {"type": "string", "description": "The service that states it."},
        "ce_time": {"type": "string", "format": "date-time", "description": "When it was stated, in UTC."},
        "ce_dataschema": {"type": "string", "description": "Schema of the value; ends in the version."},
        "content-type": {"type": "string", "const": "application/json"},
        "traceparent": {"type": "string", "description": "W3C trace context."},
    },
}


def document(examples: dict[str, Any]) -> Node:
    """The whole document; `examples` holds an example value by the file name of its event."""
    events = list(in_catalogue_order())
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Regulars",
            "version": "1.0.0",
            "description": "What the services of Regulars say to each other and to storefronts. Records "
            "follow the CloudEvents 1.0.2 Kafka binding in binary mode; within a key they keep their order; "
            "delivery is at least once, so readers remember `ce_id`.",
        },
        "defaultContentType": "application/json",
        "servers": {
            "kafka": {
                "host": "{bootstrap}",
                "protocol": "kafka",
                "description": "The Kafka that the services are given as KAFKA_BOOTSTRAP.",
                "variables": {"bootstrap": {"default": "localhost:9092"}},
            }
        },
        "channels": {topic.name: _channel(topic, events) for topic in TOPICS.values()},
        "operations": _operations(events),
        "components": {
            "messages": {_name(cls): _message(cls, examples[file_name(cls)]) for cls in events},
            "messageTraits": {"cloudevent": {"headers": _HEADERS}},
        },
    }


def _name(cls: type[Event]) -> str:
    return f"{cls.type}.v{cls.version}"


def _channel(topic: Topic, events: list[type[Event]]) -> Node:
    policy = ["compact"] if topic.compacted else ["delete"]
    # Kafka says "for ever" with -1.
    retention_ms = -1 if topic.retention_seconds is None else topic.retention_seconds * 1000
    return {
        "address": topic.name,
        "description": topic.carries,
        "messages": {
            _name(cls): {"$ref": f"#/components/messages/{_name(cls)}"}
            for cls in events
            if cls.topic == topic.name
        },
        "bindings": {
            "kafka": {
                "topic": topic.name,
                "partitions": topic.partitions,
                "topicConfiguration": {"cleanup.policy": policy, "retention.ms": retention_ms},
                "bindingVersion": "0.5.0",
            }
        },
    }


def _operations(events: list[type[Event]]) -> Node:
    """One operation for each party and topic, in each direction in which the party uses it."""
    operations: Node = {}
    for party in sorted(PARTIES):
        for topic in TOPICS:
            said = [cls for cls in events if cls.topic == topic and party in cls.stated_by and cls.stated_yet]
            heard = [cls for cls in events if cls.topic == topic and party in cls.heard_by]
            for action, verb, messages in (("send", "states", said), ("receive", "hears", heard)):
                if messages:
                    operations[f"{party}.{verb}.{topic}"] = {
                        "action": action,
                        "channel": {"$ref": f"#/channels/{topic}"},
                        "messages": [
                            {"$ref": f"#/channels/{topic}/messages/{_name(cls)}"} for cls in messages
                        ],
                        "summary": f"What {party} {verb} on {topic}.",
                    }
    return operations


def _message(cls: type[Event], example: Any) -> Node:
    # Storefronts may leave the headers out, so the trait that demands them is for our own events.
    traits = [] if TOPICS[cls.topic].bare_type else [{"$ref": "#/components/messageTraits/cloudevent"}]
    return {
        "name": cls.type,
        "title": cls.__name__,
        "summary": summary_of(cls).partition("\n\n")[0].replace("\n", " "),
        "contentType": "application/json",
        "payload": {
            "schemaFormat": "application/schema+json;version=2020-12",
            "schema": {"$ref": f"./schemas/{file_name(cls)}"},
        },
        "bindings": {
            "kafka": {
                "key": {"type": "string", "description": f"The event's `{cls.key_field}`."},
                "bindingVersion": "0.5.0",
            }
        },
        "x-dataschema": schema_uri(cls.type, cls.version),
        **({"traits": traits} if traits else {}),
        **({} if cls.tombstone else {"examples": [{"name": "frozen", "payload": example}]}),
    }
