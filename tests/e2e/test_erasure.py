"""The proof of an erasure: five running services and their bus, and afterwards not a word of the member.

Everything runs as it does in production: relays, consumers and jobs over either bus, in this process. What is
searched is the logical content of all databases, every column of every table; and of Kafka every topic that
our services write, key, headers and value, as compaction leaves it.
"""

import json
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import pytest
from pydantic import SecretStr

from cli.embedded.postgres import EmbeddedPostgres
from shared.bus import Bus, Outgoing, Record, connect
from shared.bus.postgres import PostgresBus
from shared.clock import utc_now
from shared.database import Database
from shared.events import TOPICS
from shared.ids import new_id
from shared.settings import DEVELOPMENT_KEY
from shared.testing import api_client, eventually
from tests.fixtures.services import SERVICES, cloned_database, service_named

NAME, ADDRESS, BUYER = "Zenobia Quill", "zenobia.quill@example.test", "buyer-zenobia-77"
WORDS = "zenobia says it fell apart"
MARKERS = (NAME, ADDRESS, BUYER, WORDS, "zenobia")

# Whatever would be searched for in vain proves nothing.
SEEN_BEFORE = {"members", "messaging", "bus"}
NEEDLES = [form for word in MARKERS for form in (word.casefold(), word.encode().hex())]

# What our services write; storefronts write the other ones, and there Kafka keeps orders for a week.
OURS = [name for name, topic in TOPICS.items() if topic.bare_type is None]

QUIET_SECONDS = 60.0


def order(number: int | str, buyer: str = BUYER, **fields: Any) -> dict[str, Any]:
    """An order that says all that an order can say about its customer."""
    personal = {
        "customer": {"display_name": NAME, "locale": "pt-BR", "country": "BR", "birthday": "1988-02-29"},
        "contact_points": [
            {
                "channel": "email",
                "address": ADDRESS,
                "verified": True,
                "consents": [{"purpose": "marketing", "granted": True}],
            }
        ],
    }
    return {
        "source": "amazon",
        "shop_id": "us-1",
        "external_order_id": f"e2e-{number}",
        "external_customer_id": buyer,
        "currency": "USD",
        "placed_at": "2026-03-01T12:00:00Z",
        "paid_at": "2026-03-01T12:00:05Z",
        "lines": [{"sku": "CD", "quantity": 2, "unit_price_minor": 15_000}],
        **(personal if buyer == BUYER else {}),
        **fields,
    }


def submitted(document: dict[str, Any]) -> Outgoing:
    """The order as a storefront without CloudEvents writes it to the bus."""
    return Outgoing("storefront.orders", document["external_order_id"], json.dumps(document).encode())


@dataclass
class Platform:
    """Five services in this process, their databases and their bus."""

    clients: dict[str, httpx.AsyncClient]
    databases: dict[str, Database]
    bus: Bus
    bus_database: str | None

    async def post(self, service: str, path: str, body: Any, **headers: str) -> httpx.Response:
        answer = await self.clients[service].post(path, json=body, headers=headers)
        assert answer.status_code < 300, answer.text
        return answer

    async def summary(self, service: str) -> dict[str, Any]:
        found: dict[str, Any] = (await self.clients[service].get("/v1/summary")).json()
        for moving in ("as_of", "revision"):
            found.pop(moving, None)
        return found

    async def settled(self) -> None:
        """Wait until nothing is on its way: outboxes empty, every group at the end of what it hears."""

        async def quiet() -> bool:
            for name in SERVICES:
                async with self.databases[name].dedicated() as connection:
                    waiting = await connection.fetchval(
                        "SELECT count(*) FROM outbox LEFT JOIN outbox_cursor AS c ON c.name = 'relay'"
                        " WHERE c.name IS NULL OR (outbox.transaction_id >= c.horizon AND NOT"
                        " (outbox.transaction_id < c.window_end AND outbox.id <= c.after_id))"
                    )
                topics = service_named(name).handlers.topics
                if waiting or sum((await self.bus.lag(name, topics)).values()):
                    return False
            return True

        # Quiet twice: what was read last may have said something.
        for _ in range(2):
            await eventually(quiet, QUIET_SECONDS)

    async def traces(self) -> dict[str, list[str]]:
        """By database, every row of every table in which one of the words stands, as text or as bytes."""
        found: dict[str, list[str]] = {}
        urls = {name: database.url for name, database in self.databases.items()}
        if self.bus_database is None:
            found["bus"] = [str(record) for record in await self.records() if _tells(record)]
        else:
            urls["bus"] = self.bus_database
        for name, url in urls.items():
            connection = await asyncpg.connect(url.replace("+asyncpg", ""))
            try:
                found[name] = await _traces(connection)
            finally:
                await connection.close()
        return {name: rows for name, rows in found.items() if rows}

    async def records(self) -> list[Record]:
        """Everything that our own services wrote to the bus, as compaction leaves it."""
        group = f"reading-{new_id()}"
        subscription = self.bus.subscribe(group, OURS)
        await subscription.start()
        found: list[Record] = []
        try:
            while sum((await self.bus.lag(group, OURS)).values()):
                async with subscription.batch(5000, 1.0) as records:
                    found += records
        finally:
            await subscription.close()
        # Within a day Kafka does the same (the embedded bus has done it): of each key the last record stays.
        last = {(record.topic, record.key): record for record in found if TOPICS[record.topic].compacted}
        return [each for each in found if last.get((each.topic, each.key), each) is each]

    async def tidied(self) -> None:
        """Let the embedded bus let go of what its job would let go of."""
        if isinstance(self.bus, PostgresBus):
            await self.bus.tidy()


def _tells(record: Record) -> bool:
    """Whether a record tells of the member."""
    words = [record.key, *(value.decode() for _, value in record.headers), (record.value or b"").decode()]
    said = " ".join(words).casefold()
    return any(needle in said for needle in NEEDLES)


async def _traces(connection: asyncpg.Connection) -> list[str]:
    tables = await connection.fetch(
        "SELECT format('%I.%I', table_schema, table_name) AS name FROM information_schema.tables"
        " WHERE table_type = 'BASE TABLE' AND table_schema NOT IN ('pg_catalog', 'information_schema')"
    )
    found = []
    for table in tables:
        rows = await connection.fetch(
            f"SELECT t::text AS row FROM {table['name']} AS t"
            " WHERE EXISTS (SELECT FROM unnest($1::text[]) AS n WHERE position(n IN lower(t::text)) > 0)",
            NEEDLES,
        )
        found += [f"{table['name']}: {row['row'][:300]}" for row in rows]
    return found


@pytest.fixture(params=["postgres", pytest.param("kafka", marks=pytest.mark.kafka)])
async def platform(
    request: pytest.FixtureRequest, postgres: EmbeddedPostgres, migrated_templates: set[str]
) -> AsyncIterator[Platform]:
    """Five services on one of the buses, which run until the end of the test."""
    kind = request.param
    bus_database = bootstrap = None
    if kind == "kafka":
        # Skips, or fails, where Kafka cannot run.
        bootstrap = request.getfixturevalue("kafka").bootstrap
    else:
        bus_database = postgres.create_service_database(f"bus_{new_id().hex[-12:]}")
    settings = {
        "role": "all",
        "consumer_wait_seconds": 0.05,
        "bus": kind,
        "bus_database_url": bus_database and SecretStr(bus_database),
        "kafka_bootstrap": bootstrap,
    }
    async with AsyncExitStack() as stack:
        bus = connect(kind, database_url=bus_database, bootstrap=bootstrap)
        await bus.start()
        stack.push_async_callback(bus.close)
        await bus.ensure_topics(TOPICS.values())
        clients, databases = {}, {}
        for name in SERVICES:
            databases[name] = await stack.enter_async_context(
                cloned_database(postgres, migrated_templates, name)
            )
            service = service_named(name)
            own = settings | {"database_url": SecretStr(databases[name].url)}
            clients[name] = await stack.enter_async_context(
                api_client(
                    service.application(service.settings().model_copy(update=own)), key=DEVELOPMENT_KEY
                )
            )
        yield Platform(clients, databases, bus, bus_database)


async def a_life(platform: Platform) -> UUID:
    """Let the member buy, send goods back, be written to and be told about, on every way there is."""
    template = {"subject": "Thank you", "text": "Dear {{ member.display_name }}, thank you."}
    made = await platform.clients["messaging"].put("/v1/templates/thanks", json=template)
    assert made.status_code < 300, made.text
    triggers = [
        {"event": event, "template": "thanks", "channel": "log", "purpose": "service"}
        for event in ("order.paid", "order.refunded", "member.created")
    ]
    made = await platform.clients["messaging"].put("/v1/triggers", json=triggers)
    assert made.status_code < 300, made.text
    await platform.post("messaging", "/v1/suppressions", {"channel": "email", "address": ADDRESS})
    first = await platform.post("members", "/v1/orders", order(1), **{"Idempotency-Key": f"key-{BUYER}"})
    await platform.bus.publish(
        [
            submitted(order(2)),
            submitted(order(3, paid_at=None)),
            submitted(order("bad", currency="XXX")),
            submitted(order("kim", "kim")),
        ]
    )
    member_id = UUID(first.json()["member_id"])
    await platform.settled()
    preview = {"member_id": str(member_id)}
    shown = await platform.post(
        "messaging", "/v1/templates/thanks/preview", preview, **{"Idempotency-Key": "look"}
    )
    assert NAME in shown.json()["text"]
    refund = {
        "source": "amazon",
        "shop_id": "us-1",
        "external_order_id": "e2e-1",
        "refund_id": "r1",
        "refunded_at": "2026-03-09T12:00:00Z",
        "amount_minor": 5_000,
        "reason": WORDS,
    }
    await platform.post("members", "/v1/refunds", refund)
    patched = await platform.clients["members"].patch(
        f"/v1/members/{member_id}", json={"time_zone": "America/Bahia"}, headers={"Idempotency-Key": "p-1"}
    )
    assert patched.status_code == 200
    await platform.clients["members"].put(f"/v1/members/{member_id}/tags", json={"tags": ["vip"]})
    return member_id


async def test_after_an_erasure_nothing_tells_of_the_member_anywhere(platform: Platform) -> None:
    member_id = await a_life(platform)
    await platform.settled()
    before = await platform.traces()
    assert before.keys() >= SEEN_BEFORE
    books = {name: await platform.summary(name) for name in ("members", "points", "analytics")}

    erased = await platform.post("members", "/v1/members/erasures", {"member_id": str(member_id)})
    assert erased.json()["gone"]["dead_letters"] == 1
    await platform.settled()
    profiles = [each for each in await platform.records() if each.topic == "member-profiles"]
    # The tombstone is all that there is of hers, and the others' profiles are untouched.
    assert [each.value for each in profiles if each.key == str(member_id)] == [None]
    assert [each for each in profiles if each.key != str(member_id) and each.value is not None]
    await platform.tidied()
    assert await platform.traces() == {}
    # The books are what they were.
    after = {name: await platform.summary(name) for name in books}
    assert after["points"]["earned_points"] == books["points"]["earned_points"]
    shown = (await platform.clients["points"].get(f"/v1/members/{member_id}/points")).json()
    assert (shown["available_points"], shown["lifetime"]["forfeited"] > 0) == (0, True)
    for figure in ("orders", "revenue_minor", "refunded_minor", "members"):
        assert after["members"][figure] == books["members"][figure]

    await everything_again(platform)
    assert await platform.traces() == {}
    assert {name: await platform.summary(name) for name in ("members", "points")} == {
        name: after[name] for name in ("members", "points")
    }
    await she_comes_back(platform, member_id)


async def everything_again(platform: Platform) -> None:
    """Replay all that the bus holds, shuffled, and all that a storefront ever handed in."""
    records = await platform.records()
    random.Random(4).shuffle(records)
    await platform.bus.publish(
        [
            Outgoing(
                record.topic,
                record.key,
                record.value,
                tuple(
                    (name, str(new_id()).encode() if name == "ce_id" else value)
                    for name, value in record.headers
                ),
            )
            for record in records
            if record.topic != "dead-letters"
        ]
    )
    await platform.bus.publish([submitted(order(number)) for number in (2, 1, 2)])
    await platform.post("members", "/v1/orders", [order(1), order(2)])
    await platform.settled()
    await platform.tidied()


async def she_comes_back(platform: Platform, erased_id: UUID) -> None:
    """A new order under the same name and address is a new member's, without any history."""
    now = utc_now().isoformat()
    taken = await platform.post("members", "/v1/orders", order("new", placed_at=now, paid_at=now))
    new_member = taken.json()["member_id"]
    assert new_member != str(erased_id)
    await platform.settled()
    shown = (await platform.clients["members"].get(f"/v1/members/{new_member}")).json()
    assert (shown["orders_count"], shown["display_name"], shown["tags"]) == (1, NAME, [])
    gone = (await platform.clients["members"].get(f"/v1/members/{erased_id}")).json()
    assert (gone["display_name"], gone["contact_points"], gone["identities"]) == (None, [], [])
    async with platform.databases["messaging"].dedicated() as connection:
        contacts = await connection.fetch(
            "SELECT member_id, display_name, erased_at IS NOT NULL AS erased FROM contacts"
        )
    known = {row["member_id"]: (row["display_name"], row["erased"]) for row in contacts}
    assert known[UUID(new_member)] == (NAME, False)
    assert known[erased_id] == (None, True)
