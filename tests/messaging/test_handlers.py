"""Handlers on a real database: projections and plans converge under duplicates and in any order."""

import random
from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from services.messaging import operations
from services.messaging.handlers import handlers
from shared.bus import Record
from shared.consumer import Consumer
from shared.database import Database
from shared.events import (
    ContactPoint,
    Envelope,
    MemberConsentChanged,
    MemberErased,
    MemberProfileErased,
    MemberTierDowngraded,
    OrderPaid,
    encode,
    headers_of,
)
from shared.ids import new_id
from tests.fixtures.services import emitted
from tests.messaging.people import NOW, consent, envelope, member, profile, upgrade


async def hear(database: Database, *events: Envelope[Any]) -> None:
    async with database.transaction() as session:
        await handlers.dispatch(session, events)


async def state_of(database: Database) -> dict[str, Any]:
    """Everything that handlers write, without ids and times that differ from run to run."""
    queries = {
        "contacts": "SELECT member_id, revision, display_name, tier, tags, erased_at FROM contacts",
        "points": "SELECT member_id, channel, address, verified FROM contact_points",
        "consents": "SELECT member_id, channel, purpose, granted, changed_at FROM consents",
        "messages": "SELECT id, member_id, trigger, occurrence, state FROM messages",
    }
    async with database.reading() as session:
        return {
            name: sorted(map(tuple, await session.execute(text(query))), key=repr)
            for name, query in queries.items()
        }


async def test_snapshot_replaces_what_is_older(messaging_database: Database) -> None:
    ana = member(1)
    newer = profile(
        ana,
        revision=3,
        display_name="Ana B.",
        contact_points=[ContactPoint(channel="email", address="new@example.test", verified=True)],
    )
    await hear(messaging_database, envelope(newer))
    await hear(messaging_database, envelope(profile(ana, revision=2, display_name="Old")))
    state = await state_of(messaging_database)
    assert [(row[1], row[2]) for row in state["contacts"]] == [(3, "Ana B.")]
    assert state["points"] == [(ana, "email", "new@example.test", True)]


async def test_tombstone_erases_for_good(messaging_database: Database) -> None:
    ana = member(1)
    await hear(messaging_database, envelope(profile(ana, consents=[consent(True)])))
    await hear(messaging_database, envelope(MemberProfileErased(member_id=ana)))
    await hear(messaging_database, envelope(profile(ana, revision=9, consents=[consent(True)])))
    state = await state_of(messaging_database)
    assert state["points"] == state["consents"] == []
    assert [(row[2], row[5]) for row in state["contacts"]] == [(None, NOW)]


async def test_the_last_word_on_consent_counts(messaging_database: Database) -> None:
    ana = member(1)
    later = NOW + timedelta(hours=1)

    def said(granted: bool, at: Any) -> Envelope[Any]:
        return envelope(
            MemberConsentChanged(
                member_id=ana,
                channel="email",
                purpose="marketing",
                granted=granted,
                source="checkout",
                changed_at=at,
            )
        )

    await hear(messaging_database, said(False, later))
    await hear(messaging_database, said(True, NOW))
    await hear(messaging_database, envelope(profile(ana, consents=[consent(True)])))
    await hear(messaging_database, said(True, later))
    assert (await state_of(messaging_database))["consents"] == [(ana, "email", "marketing", False, later)]


async def test_upgrade_becomes_one_welcome(messaging_database: Database) -> None:
    ana = member(1)
    event = envelope(upgrade(ana))
    await hear(messaging_database, envelope(profile(ana)))
    await hear(messaging_database, event, event)
    await hear(messaging_database, event)
    messages = (await state_of(messaging_database))["messages"]
    assert [(row[2], row[4]) for row in messages] == [("tier_welcome", "queued")]


async def test_upgrade_before_profile_waits(messaging_database: Database) -> None:
    ana = member(1)
    await hear(messaging_database, envelope(upgrade(ana)))
    assert [row[4] for row in (await state_of(messaging_database))["messages"]] == ["held"]
    await hear(messaging_database, envelope(profile(ana)))
    assert [row[4] for row in (await state_of(messaging_database))["messages"]] == ["queued"]


async def test_held_message_is_dropped_after_its_time(messaging_database: Database, configured: Any) -> None:
    configured(profile_wait_seconds=0.001)
    await hear(messaging_database, envelope(upgrade(member(1))))
    async with messaging_database.transaction() as session:
        assert await operations.replan(session) == 1
    async with messaging_database.transaction() as session:
        assert await operations.replan(session) == 0
        said = await emitted(session)
    assert [(kind, payload["reason"]) for kind, _, payload in said] == [
        ("message.dropped", "profile_never_came")
    ]


async def test_member_without_address_gets_a_verdict(messaging_database: Database) -> None:
    ana = member(1)
    await hear(messaging_database, envelope(profile(ana, contact_points=[])), envelope(upgrade(ana)))
    async with messaging_database.reading() as session:
        (kind, key, payload), *rest = await emitted(session)
        verdicts = await session.scalar(text("SELECT verdicts FROM messages"))
    assert (kind, key, payload["reason"], rest) == ("message.dropped", str(ana), "no_address", [])
    assert [(v["stage"], v["state"], v["reason"]) for v in verdicts] == [
        ("planning", "dropped", "no_address")
    ]


async def test_erased_member_gets_nothing(messaging_database: Database) -> None:
    ana = member(1)
    await hear(messaging_database, envelope(upgrade(ana)))
    await hear(messaging_database, envelope(MemberErased(member_id=ana, erased_at=NOW)))
    async with messaging_database.transaction() as session:
        await operations.replan(session)
    assert [row[4] for row in (await state_of(messaging_database))["messages"]] == ["dropped"]


def story(people: Sequence[UUID]) -> list[Envelope[Any]]:
    """Events about members in the order in which they happened."""
    events = []
    for number, person in enumerate(people):
        events.append(envelope(profile(person, revision=1, consents=[consent(True)])))
        events.append(envelope(upgrade(person, "silver")))
        events.append(envelope(profile(person, revision=2, tier="silver", tags=["x", "y"])))
        if number % 3 == 0:
            events.append(
                envelope(profile(person, revision=3, consents=[consent(False, at=NOW + timedelta(days=1))]))
            )
        if number % 5 == 0:
            events.append(envelope(upgrade(person, "gold")))
    return events


@pytest.mark.parametrize("seed", range(4))
async def test_any_order_and_repetition_converge(messaging_database: Database, seed: int) -> None:
    people = [member(number) for number in range(12)]
    events = story(people)
    shuffled = events * 2
    random.Random(seed).shuffle(shuffled)
    for start in range(0, len(shuffled), 7):
        await hear(messaging_database, *shuffled[start : start + 7])
    async with messaging_database.transaction() as session:
        await operations.replan(session)
    state = await state_of(messaging_database)
    assert [(row[1], row[4]) for row in sorted(state["contacts"])] == [
        (3, []) if number % 3 == 0 else (2, ["x", "y"])
        for person, number in sorted(zip(people, range(12), strict=True))
    ]
    assert {row[4] for row in state["messages"]} == {"queued"}
    assert len(state["messages"]) == 12 + 3
    refused = {row[0] for row in state["consents"] if not row[3]}
    assert refused == {person for number, person in enumerate(people) if number % 3 == 0}


async def test_news_without_trigger_changes_nothing(messaging_database: Database) -> None:
    before = await state_of(messaging_database)
    paid = OrderPaid(
        order_id=new_id(),
        member_id=member(1),
        source="shop",
        shop_id="1",
        external_order_id="1",
        currency="USD",
        total_minor=100,
        shipping_minor=0,
        discount_minor=0,
        placed_at=NOW,
        paid_at=NOW,
        lines=[],
    )
    await hear(messaging_database, envelope(paid))
    assert await state_of(messaging_database) == before


class NoBus:
    """A consumer that is only handed records never asks its bus for any."""


async def test_events_that_nobody_waits_for_are_not_even_read(messaging_database: Database) -> None:
    consumer = Consumer(
        messaging_database,
        NoBus(),  # type: ignore[arg-type]  # apply() uses no bus
        handlers,
        group="messaging",
        batch_records=10,
        wait_seconds=0,
        stop_ratio=1,
        stop_window=10,
    )

    async def known() -> int:
        async with messaging_database.reading() as session:
            return int(await session.scalar(text("SELECT count(*) FROM inbox")) or 0)

    downgrade = MemberTierDowngraded(member_id=member(1), changed_at=NOW, reason="refund")
    await consumer.apply([record(envelope(downgrade))])
    assert await known() == 0
    await consumer.apply([record(envelope(upgrade(member(1)))), record(envelope(profile(member(1))))])
    assert await known() == 2
    async with messaging_database.transaction() as session:
        await operations.register_webhook(
            session, "https://shop.example.com/", None, ["member.tier_downgraded"]
        )
    await consumer.apply([record(envelope(downgrade))])
    assert await known() == 3


def record(event: Envelope[Any]) -> Record:
    return Record(
        topic=event.data.topic,
        partition=0,
        offset=0,
        key=event.key,
        value=encode(event.data),
        headers=tuple(headers_of(event)),
        timestamp=NOW,
    )
