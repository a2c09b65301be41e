"""Whatever order, split and repetition events come in, the sums are the same, and are what the facts say."""

import pytest

from services.analytics import operations
from services.analytics.handlers import handlers
from shared.database import Database
from shared.events import Event
from tests.analytics.world import (
    campaign,
    envelope,
    hear,
    history,
    member_life,
    paid,
    points,
    refunded,
    shuffled,
    summaries,
)

KINDS: dict[str, list[Event]] = {
    "orders": [paid(number) for number in range(12)],
    "orders and refunds": [*(paid(n) for n in range(12)), *(refunded(n) for n in range(12))],
    "points": [event for number in range(6) for event in points(number)],
    "campaigns": [event for number in range(3) for event in campaign(number)],
    "members": [event for number in range(4) for event in member_life(number)],
}


@pytest.mark.parametrize("kind", KINDS)
async def test_events_heard_twice_and_shuffled_add_up_to_the_same(
    kind: str, analytics_database: Database
) -> None:
    events = [envelope(event) for event in KINDS[kind]]
    await hear(analytics_database, events)
    once = await summaries(analytics_database)
    await hear(analytics_database, shuffled(events + events, 7), batch=5)
    assert await summaries(analytics_database) == once
    assert any(once.values())
    async with analytics_database.reading() as session:
        assert not any((await operations.verify(session)).values())


async def test_every_handler_is_in_the_history() -> None:
    heard = {event.type for event in history()}
    left_out = set(handlers.by_type) - heard
    assert left_out == set()
