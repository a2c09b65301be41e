"""What members hears: order documents from storefronts, and a no that was said on the channel."""

import random
from collections.abc import Sequence
from typing import Any

from services.members.handlers import handlers
from shared.bus import Record
from shared.clock import utc_now
from shared.consumer import Consumer
from shared.database import Database
from shared.events import ConsentWithdrawn, Envelope, Event, StorefrontOrderSubmitted
from shared.ids import new_id
from tests.fixtures.platform import Topicful
from tests.members.shop import Shop, day, delivery, order


def envelope(event: Event) -> Envelope[Any]:
    return Envelope(id=new_id(), type=event.type, source="shop", time=utc_now(), key=event.key, data=event)


async def hear(database: Database, events: Sequence[Event]) -> None:
    async with database.transaction() as session:
        await handlers.dispatch(session, [envelope(event) for event in events])


async def test_orders_from_the_bus_twice_and_in_any_order_come_to_the_same(shop: Shop) -> None:
    documents = [order(number, f"c{number % 3}", 9_000) for number in range(20)]
    documents += [document | {"paid_at": None} for document in documents]
    events = [StorefrontOrderSubmitted(document=document) for document in documents] * 2
    random.Random(5).shuffle(events)
    await hear(shop.database, events[:30])
    await hear(shop.database, events[30:])
    once = await shop.everything()
    await shop.audit()
    assert (await shop.summary()).orders["paid"] == 20
    said = len(await shop.said())
    random.Random(6).shuffle(events)
    await hear(shop.database, events)
    assert await shop.everything() == once
    assert len(await shop.said()) == said


async def test_a_bad_document_is_buried_with_its_reason_and_the_rest_goes_in(shop: Shop) -> None:
    topic = Topicful()
    good = [StorefrontOrderSubmitted(document=order(number)) for number in range(8)]
    bad = StorefrontOrderSubmitted(document=order("bad") | {"currency": "XXX"})
    twisted = StorefrontOrderSubmitted(document=order(3, total_minor=5))
    records = [topic.record(event) for event in [*good[:4], bad, *good[4:], twisted]]
    consumer = _consumer(shop.database)
    await consumer.apply(records)
    await consumer.apply(records)
    assert (await shop.summary()).orders["paid"] == 8
    assert await shop.rows('SELECT code, reason FROM dead_letters ORDER BY "offset"') == [
        (
            "invalid_item",
            "This item does not have the documented shape. /currency: is not an ISO 4217 currency",
        ),
        ("order_conflict", "An order of this number came before with other content."),
    ]
    await shop.audit()


async def test_a_document_without_headers_is_read_too(shop: Shop) -> None:
    record = Topicful().record(StorefrontOrderSubmitted(document=order(1)))
    bare = Record(record.topic, 0, 0, record.key, record.value, (), record.timestamp)
    await _consumer(shop.database).apply([bare])
    assert (await shop.summary()).orders["paid"] == 1


async def test_deliveries_from_the_bus_twice_and_before_their_orders_come_to_the_same(shop: Shop) -> None:
    documents = [order(number) for number in range(8)] + [delivery(number) for number in range(8)]
    events = [StorefrontOrderSubmitted(document=document) for document in documents] * 2
    random.Random(5).shuffle(events)
    for start in range(0, len(events), 5):
        await hear(shop.database, events[start : start + 5])
    assert len(await shop.said("order.delivered")) == 8
    assert await shop.rows("SELECT DISTINCT state FROM deliveries") == [("applied",)]
    topic = Topicful()
    record = topic.record(StorefrontOrderSubmitted(document=delivery(1, delivered_at=day(9))))
    bare = Record(record.topic, 0, 0, record.key, record.value, (), record.timestamp)
    wrong = topic.record(StorefrontOrderSubmitted(document={"delivered_at": "yesterday"}))
    await _consumer(shop.database).apply([bare, wrong])
    codes = await shop.rows("SELECT code FROM dead_letters")
    assert sorted(codes) == [("delivery_conflict",), ("invalid_item",)]


async def test_a_no_on_the_channel_becomes_the_consent_of_record(shop: Shop) -> None:
    contact = {
        "channel": "email",
        "address": "kim@example.test",
        "consents": [{"purpose": "marketing", "granted": True}],
    }
    await shop.take(order(1, contact_points=[contact]))
    withdrawn = ConsentWithdrawn(
        member_id=await shop.member_id(),
        channel="email",
        purpose="marketing",
        at=utc_now(),
        source="one_click",
    )
    stranger = ConsentWithdrawn(
        member_id=new_id(), channel="email", purpose="marketing", at=utc_now(), source="keyword"
    )
    await hear(shop.database, [withdrawn, stranger])
    await hear(shop.database, [stranger, withdrawn])
    (consent,) = (await shop.member())["consents"]
    assert (consent["granted"], consent["source"]) == (False, "one_click")
    assert len(await shop.said("member.consent_changed")) == 2


def _consumer(database: Database) -> Consumer:
    return Consumer(
        database,
        bus=None,  # type: ignore[arg-type]  # `apply` is given its records and asks no bus
        handlers=handlers,
        group="members",
        batch_records=100,
        wait_seconds=0.1,
        stop_ratio=1.0,
        stop_window=1_000,
    )
