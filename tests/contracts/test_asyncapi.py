"""The AsyncAPI document is whole: the rules of version 3.0 that can be checked without its tools."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from shared.events import EVENT_TYPES, TOPICS
from shared.events.generate import ROOT

FOLDER = ROOT / "docs/events"


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((FOLDER / "asyncapi.yaml").read_text(encoding="utf-8"))
    return loaded


def _references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if "$ref" in node:
            assert set(node) == {"$ref"}, "what stands beside a $ref is ignored"
            yield node["$ref"]
        for value in node.values():
            yield from _references(value)
    elif isinstance(node, list):
        for value in node:
            yield from _references(value)


def _at(document: dict[str, Any], pointer: str) -> Any:
    node: Any = document
    for part in pointer.removeprefix("#/").split("/"):
        node = node[part.replace("~1", "/").replace("~0", "~")]
    return node


def test_the_root_has_what_version_3_demands_and_nothing_else(document: dict[str, Any]) -> None:
    assert document["asyncapi"] == "3.0.0"
    assert {"title", "version"} <= document["info"].keys()
    allowed = {
        "asyncapi",
        "id",
        "info",
        "servers",
        "defaultContentType",
        "channels",
        "operations",
        "components",
    }
    assert document.keys() <= allowed


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    references = list(_references(document))
    assert references
    for reference in references:
        if reference.startswith("#/"):
            assert _at(document, reference)
        else:
            assert (FOLDER / reference).is_file()


def test_every_topic_is_a_channel_and_every_event_a_message_of_one(document: dict[str, Any]) -> None:
    assert document["channels"].keys() == TOPICS.keys()
    assert {channel["address"] for channel in document["channels"].values()} == TOPICS.keys()
    placed = [name for channel in document["channels"].values() for name in channel["messages"]]
    assert sorted(placed) == sorted(f"{kind}.v{version}" for kind, version in EVENT_TYPES)
    assert sorted(document["components"]["messages"]) == sorted(placed)


def test_operations_send_or_receive_messages_of_their_own_channel(document: dict[str, Any]) -> None:
    sent = set()
    for operation in document["operations"].values():
        assert operation["action"] in ("send", "receive")
        channel = operation["channel"]["$ref"]
        assert re.fullmatch(r"#/channels/[\w.-]+", channel)
        for message in operation["messages"]:
            # Version 3 demands references to the channel's messages, not to those in the components.
            assert message["$ref"].startswith(f"{channel}/messages/")
            if operation["action"] == "send":
                sent.add(message["$ref"].rpartition("/")[2])
    said = {f"{kind}.v{version}" for (kind, version), cls in EVENT_TYPES.items() if cls.stated_yet}
    assert sent == said


def test_names_of_components_keep_to_the_allowed_characters(document: dict[str, Any]) -> None:
    for group in document["components"].values():
        for name in group:
            assert re.fullmatch(r"[a-zA-Z0-9._-]+", name)
