"""Logs are JSON lines with ids and without anything personal or secret."""

import io
import json
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog

from shared import logs, tracing

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
Lines = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def lines() -> Iterator[Lines]:
    stream = io.StringIO()
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    logs.configure("points", stream=stream)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    root.handlers = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def test_one_json_object_a_line_with_ids(lines: Lines) -> None:
    log = structlog.get_logger("regulars.test")
    with tracing.use_traceparent(f"00-{TRACE}-00f067aa0ba902b7-01"), logs.bind(event_id="e1", group=None):
        log.info("points_expired", points=7, member_id="m1")
    log.debug("not_shown")
    (line,) = lines()
    assert line["event"] == "points_expired"
    assert (line["service"], line["level"], line["logger"]) == ("points", "info", "regulars.test")
    assert (line["trace_id"], line["event_id"], line["member_id"], line["points"]) == (TRACE, "e1", "m1", 7)
    assert line["timestamp"].endswith("Z")
    assert "group" not in line


def test_personal_data_and_secrets_are_masked(lines: Lines) -> None:
    key = "rk_abcdefgh2345_" + "s" * 43
    structlog.get_logger("regulars.test").warning(
        "message_failed",
        address="ann@example.test",
        email="x",
        recipient_phone="1",
        name="Ann",
        headers={"a": "b"},
        api_key=key,
        note=f"to ann.b+c@example.test or +49 170 1234567 with {key}",
        dsn="x",
        url="postgresql://points:hunter2@database/points",
        nested={"contact": "x", "list": ["bob@example.test"], "order_id": "o1"},
        body_bytes=12,
        key_id="k1",
        key="m1",
    )
    (line,) = lines()
    text = json.dumps(line)
    for secret in ("example.test", "Ann", "1234567", "hunter2", "s" * 43):
        assert secret not in text
    assert line["nested"]["order_id"] == "o1"
    assert (line["body_bytes"], line["key_id"], line["key"]) == (12, "k1", "m1")


def test_the_standard_library_takes_the_same_way(lines: Lines) -> None:
    logging.getLogger("some.library").warning("to %s", "ann@example.test", extra={"password": "hunter2"})
    logging.getLogger("uvicorn.access").info("GET /v1/members?email=ann@example.test")
    (line,) = lines()
    assert (line["event"], line["logger"], line["password"]) == ("to ***", "some.library", "***")


def test_exceptions_show_where_and_not_what(lines: Lines) -> None:
    customer = "Ann Customer"
    try:
        try:
            raise ValueError(f"duplicate key\nDETAIL:  Key (name)=({customer}) already exists.")
        except ValueError as error:
            raise RuntimeError("while saving ann@example.test") from error
    except RuntimeError:
        structlog.get_logger("regulars.test").exception("save_failed")
    (line,) = lines()
    assert line["level"] == "error"
    assert line["exception"][0] == "RuntimeError: while saving ***"
    assert line["exception"][1].startswith("ValueError: duplicate key")
    assert customer not in json.dumps(line)
    assert "test_exceptions_show_where_and_not_what" in line["frames"][-1]


def test_long_values_are_cut() -> None:
    assert len(logs.mask("x" * 10_000)) == logs.MAX_VALUE_CHARACTERS + 1
