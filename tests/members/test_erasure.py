"""Erasing a member: what goes, what the books keep, and that nothing brings anybody back."""

import json
import random
from collections.abc import AsyncIterator, Sequence
from typing import Any
from uuid import UUID

import httpx
import pytest
from sqlalchemy import text

from services.members import operations
from services.members.app import service
from services.members.domain import Erasure, OldName, fingerprint, owner_of_late_order, said_aloud
from services.members.handlers import handlers
from services.members.models import metadata
from services.members.operations import Erased
from services.members.repository.erasure import FORGOTTEN, KEPT
from services.members.settings import MembersSettings
from shared.clock import utc_now
from shared.consumer import Consumer
from shared.database import Database
from shared.events import StorefrontOrderSubmitted
from shared.ids import new_id
from shared.problems import Refusal
from shared.testing import api_client
from tests.fixtures.platform import Topicful
from tests.members.shop import Shop, cancellation, day, order, refund, taken

NAME, ADDRESS, BUYER = "Zenobia Quill", "zenobia.quill@example.test", "buyer-zenobia"
MARKERS = (NAME, ADDRESS, BUYER, "her own words")


def her_order(number: int | str, **fields: Any) -> dict[str, Any]:
    consent = {"purpose": "marketing", "granted": True}
    return order(number, BUYER, 30_000) | {
        "customer": {"display_name": NAME, "locale": "pt-BR", "birthday": "1988-02-29"},
        "contact_points": [{"channel": "email", "address": ADDRESS, "verified": True, "consents": [consent]}],
        **fields,
    }


async def erase(shop: Shop, *commands: Erasure) -> list[Erased | Refusal]:
    async with shop.database.transaction() as session:
        return await operations.erase_members(session, commands, actor="test")


async def traces(shop: Shop, *markers: str) -> list[str]:
    """The rows of all tables that hold one of these words, as text or in bytes."""
    found = []
    needles = [form for marker in markers for form in (marker.casefold(), marker.encode().hex())]
    for table in metadata.sorted_tables:
        for (row,) in await shop.rows(f'SELECT t::text FROM "{table.name}" AS t'):
            found += [f"{table.name}: {row}" for needle in needles if needle in row.casefold()]
    return found


@pytest.fixture
async def client(members_database: Database) -> AsyncIterator[httpx.AsyncClient]:
    settings = MembersSettings(database_url=members_database.url, role="api")
    async with api_client(service.application(settings), key="rk_development") as caller:
        yield caller


async def test_nothing_personal_is_left_and_the_books_are(shop: Shop) -> None:
    await shop.take(her_order(1), her_order(2), order(3, "kim"))
    await shop.refund(refund(1, "r1", 5_000, reason="her own words"))
    await shop.cancel(cancellation(2, reason="her own words, again"))
    member_id = await shop.member_id(BUYER)
    books = "SELECT external_order_id, total_minor, refunded_minor, cancelled_at FROM orders ORDER BY 1"
    before = await shop.rows(books)
    assert await traces(shop, *MARKERS)

    (erased,) = await erase(shop, Erasure(customer=("amazon", BUYER)))
    assert isinstance(erased, Erased)
    assert (erased.member_id, erased.changed, erased.kept) == (member_id, True, {"orders": 2, "ids": 1})
    assert {kind: count for kind, count in erased.gone.items() if count} == {
        "identities": 1,
        "contact_points": 1,
        "consents": 1,
        "consent_log": 1,
        "birthdays": 1,
        "birthday_changes": 1,
        "tier_history": 3,
    }
    assert await traces(shop, *MARKERS) == []
    assert await shop.rows(books) == before
    await shop.audit()
    assert (await shop.summary()).erased == 1
    last = [event for event in await shop.said() if event[1] == str(member_id)][-2:]
    assert [(kind, data and data["member_id"]) for kind, _, data in last] == [
        ("member.erased", str(member_id)),
        ("member.profile_erased", None),
    ]


async def test_erased_twice_is_erased_once(shop: Shop) -> None:
    await shop.take(her_order(1))
    member_id = await shop.member_id(BUYER)
    first, same, nobody = await erase(
        shop, Erasure(member_id), Erasure(customer=("amazon", BUYER)), Erasure(new_id())
    )
    assert isinstance(first, Erased)
    assert isinstance(same, Erased)
    assert isinstance(nobody, Refusal)
    assert (first.changed, same.changed, nobody.code) == (True, False, "member_not_found")
    (again,) = await erase(shop, Erasure(member_id))
    assert isinstance(again, Erased)
    assert (again.changed, again.erased_at) == (False, first.erased_at)
    assert (await shop.types_said()).count("member.erased") == 1
    (forgotten,) = await erase(shop, Erasure(customer=("amazon", BUYER)))
    assert isinstance(forgotten, Refusal)


async def test_orders_of_before_that_come_again_or_late_resurrect_nobody(shop: Shop) -> None:
    documents = [her_order(number) for number in range(5)]
    await shop.take(*documents)
    member_id = await shop.member_id(BUYER)
    await erase(shop, Erasure(member_id))
    said = len(await shop.said())
    random.Random(3).shuffle(documents)
    assert taken(await shop.take(*documents)) == ["unchanged"] * 5
    assert len(await shop.said()) == said

    # One that nobody had told of yet belongs to the same books, and says nothing about the customer.
    assert taken(await shop.take(her_order("late"), her_order("late"))) == ["accepted", "unchanged"]
    assert await shop.rows("SELECT DISTINCT member_id FROM orders") == [(member_id,)]
    assert await traces(shop, *MARKERS) == []
    assert [kind for kind, _, _ in (await shop.said())[said:]] == ["order.paid"]
    await shop.audit()


async def test_an_order_of_before_may_still_be_paid_refunded_and_called_off(shop: Shop) -> None:
    unpaid = her_order(1) | {"paid_at": None}
    await shop.take(unpaid, her_order(2))
    await shop.refund(refund("unheard-of", "early", 100, reason="her own words"))
    await erase(shop, Erasure(await shop.member_id(BUYER)))
    assert taken(await shop.take(her_order(1, paid_at=day(50)))) == ["accepted"]
    told = refund(2, "r", 30_000, reason="her own words")
    await shop.refund(told, told)
    await shop.cancel(cancellation(2, reason="her own words"), cancellation(2, reason="her own words"))
    await shop.take(her_order("unheard-of"))
    assert await traces(shop, *MARKERS) == []
    assert await shop.rows("SELECT state, count(*) FROM refunds GROUP BY 1") == [("applied", 2)]
    assert (await shop.types_said()).count("order.refunded") == 2
    await shop.audit()


async def test_who_comes_back_is_somebody_new_and_brings_nothing_along(shop: Shop) -> None:
    await shop.take(her_order(1))
    old = await shop.member_id(BUYER)
    await erase(shop, Erasure(old))
    soon = utc_now().isoformat()
    assert taken(await shop.take(her_order(2, placed_at=soon, paid_at=soon))) == ["accepted"]
    new = await shop.member(BUYER)
    assert new["member_id"] != old
    assert (new["orders_count"], new["spend_minor"], new["display_name"]) == (1, 30_000, NAME)
    # And what she bought before still does not become hers again.
    assert taken(await shop.take(her_order(1), her_order("late"))) == ["unchanged", "accepted"]
    assert (await shop.member(BUYER))["orders_count"] == 1
    await erase(shop, Erasure(new["member_id"]))
    assert taken(await shop.take(her_order(2, placed_at=soon, paid_at=soon))) == ["unchanged"]
    assert await traces(shop, *MARKERS) == []
    assert (await shop.summary()).members == 2


async def test_nothing_can_be_said_about_an_erased_member(shop: Shop, client: httpx.AsyncClient) -> None:
    await shop.take(her_order(1))
    member_id = await shop.member_id(BUYER)
    await erase(shop, Erasure(member_id))
    said = len(await shop.said())
    consent = {
        "member_id": str(member_id),
        "channel": "email",
        "purpose": "marketing",
        "granted": True,
        "actor": NAME,
    }
    for answer in (
        await client.patch(f"/v1/members/{member_id}", json={"display_name": NAME}),
        await client.put(f"/v1/members/{member_id}/tags", json={"tags": ["vip"]}),
        await client.delete(f"/v1/members/{member_id}/tags", params={"tag": "vip"}),
        await client.post("/v1/consents", json=consent),
    ):
        assert (answer.status_code, answer.json()["code"]) == (410, "member_erased")
    assert len(await shop.said()) == said
    assert await traces(shop, *MARKERS) == []
    shown = (await client.get(f"/v1/members/{member_id}")).json()
    assert (shown["display_name"], shown["identities"], shown["orders_count"]) == (None, [], 1)
    assert shown["erased_at"] is not None
    assert (await client.get("/v1/members")).json()["items"] == []
    assert len((await client.get(f"/v1/members/{member_id}/orders")).json()["items"]) == 1


async def test_answers_and_dead_letters_that_tell_of_the_member_go_and_others_stay(
    shop: Shop, client: httpx.AsyncClient
) -> None:
    await shop.take(her_order(1), order(2, "kim"))
    member_id, other = await shop.member_id(BUYER), await shop.member_id("kim")
    for member in (member_id, other):
        await client.patch(
            f"/v1/members/{member}", json={"country": "BR"}, headers={"Idempotency-Key": f"k-{member}"}
        )
    topic = Topicful()
    bad = [
        her_order("bad-1", currency="XXX"),
        her_order(1, lines=[{"sku": "other", "quantity": 1, "unit_price_minor": 1}]) | {"currency": "XXX"},
        # The address tells, whoever the order says bought it.
        her_order("bad-2", currency="XXX", external_customer_id="guest", source="pos"),
        order("bad-3", "kim", currency="XXX"),
    ]
    records = [topic.record(StorefrontOrderSubmitted(document=document)) for document in bad]
    torn = json.dumps(bad[0]).encode()[:-20]
    records.append(topic.record(StorefrontOrderSubmitted(document=bad[0]), value=torn))
    consumer = Consumer(
        shop.database,
        None,  # type: ignore[arg-type]  # applying records needs no bus
        handlers,
        group="members",
        batch_records=10,
        wait_seconds=0.1,
        stop_ratio=1.0,
        stop_window=100,
    )
    await consumer.apply(records)
    assert await shop.rows("SELECT count(*) FROM dead_letters WHERE resolved_at IS NULL") == [(5,)]
    assert await traces(shop, ADDRESS)

    (erased,) = await erase(shop, Erasure(member_id))
    assert isinstance(erased, Erased)
    assert (erased.gone["dead_letters"], erased.gone["answers"]) == (4, 1)
    assert await traces(shop, *MARKERS) == []
    kept = await shop.rows("SELECT code, value IS NULL FROM dead_letters WHERE resolved_at IS NULL")
    assert kept == [("invalid_item", False)]
    assert await shop.rows("SELECT key FROM idempotency") == [(f"k-{other}",)]


async def test_the_route_erases_a_batch_once_and_shows_beforehand_what_would_go(
    shop: Shop, client: httpx.AsyncClient
) -> None:
    await shop.take(her_order(1), order(2, "kim"))
    member_id = await shop.member_id(BUYER)
    body = {"source": "amazon", "external_id": BUYER}
    would = await client.post("/v1/members/erasures", params={"dry_run": True}, json=body)
    assert (would.status_code, would.json()["status"]) == (201, "accepted")
    assert would.json()["gone"]["contact_points"] == 1
    assert (await shop.member(BUYER))["display_name"] == NAME

    headers = {"Idempotency-Key": "erase-1"}
    several = [{"member_id": str(member_id)}, {"source": "amazon", "external_id": "stranger"}, {}]
    first = await client.post("/v1/members/erasures", json=several, headers=headers)
    assert [each["status"] for each in first.json()["results"]] == ["accepted", "refused", "refused"]
    assert [each["problem"]["code"] for each in first.json()["results"][1:]] == [
        "member_not_found",
        "invalid_item",
    ]
    again = await client.post("/v1/members/erasures", json=several, headers=headers)
    assert (again.json(), again.headers["Idempotency-Replayed"]) == (first.json(), "true")
    single = await client.post("/v1/members/erasures", json={"member_id": str(member_id)})
    assert (single.status_code, single.json()["status"]) == (200, "unchanged")
    missing = await client.post("/v1/members/erasures", json={"member_id": str(new_id())})
    assert (missing.status_code, missing.json()["code"]) == (404, "member_not_found")


async def test_erasing_needs_the_scope_of_an_admin(client: httpx.AsyncClient) -> None:
    answer = await client.post(
        "/v1/members/erasures", json={"member_id": str(new_id())}, headers={"Authorization": "Bearer rk_no"}
    )
    assert answer.status_code == 401


def test_every_table_that_names_members_says_what_an_erasure_does_to_it() -> None:
    naming = {table.name for table in metadata.sorted_tables if "member_id" in table.columns}
    assert naming == {*FORGOTTEN, *KEPT}, (
        "decide in services/members/repository/erasure.py: do its rows go with their member (FORGOTTEN), or"
        " do they stay, and why, and without anything personal (KEPT)?"
    )


def test_a_late_order_belongs_to_the_first_erasure_after_it() -> None:
    at = [utc_now().replace(year=year) for year in (2024, 2025, 2026)]
    first, second = OldName(new_id(), at[0]), OldName(new_id(), at[1])
    names: Sequence[OldName] = [second, first]
    assert owner_of_late_order(names, at[0]) == first.member_id
    assert owner_of_late_order(names, at[1]) == second.member_id
    assert owner_of_late_order(names, at[2]) is None
    assert owner_of_late_order([], at[0]) is None


def test_a_fingerprint_tells_names_apart_and_depends_on_the_key() -> None:
    names = [("a", "bc"), ("ab", "c"), ("a", "bc\ud800")]
    found = {fingerprint(*name, key) for name in names for key in (b"one", b"two", b"x" * 200)}
    assert len(found) == 9
    assert {len(each) for each in found} == {32}


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        ("CustomerReturn", "CustomerReturn"),
        ("R-17.b", "R-17.b"),
        (None, None),
        ("it broke, says Kim", None),
        ("a" * 65, None),
        ("é", None),
    ],
)
def test_only_codes_are_said_aloud(reason: str | None, said: str | None) -> None:
    assert said_aloud(reason) == said


@pytest.mark.parametrize("named", [BUYER, "zenobia-again"])
async def test_whoever_was_merged_is_erased_with_all_ids_and_names(shop: Shop, named: str) -> None:
    await shop.take(her_order(1), order(2, "zenobia-again", 5_000), order(3, "kim"))
    await shop.merge(BUYER, "zenobia-again")
    ids = {await shop.member_id(BUYER), await shop.member_id("zenobia-again")}
    (erased,) = await erase(shop, Erasure(customer=("amazon", named)))
    assert isinstance(erased, Erased)
    assert erased.kept == {"orders": 2, "ids": 2}
    assert {UUID(key) for _, key, _ in await shop.said("member.erased")} == ids
    assert {UUID(key) for _, key, _ in await shop.said("member.profile_erased")} == ids
    # Late orders under either name come to the id that they always had, and nobody is made anew.
    assert taken(await shop.take(her_order("late"), order("late-too", "zenobia-again"))) == ["accepted"] * 2
    owners = dict(await shop.rows("SELECT external_order_id, member_id FROM orders"))
    assert (owners["olate"], owners["olate-too"]) == (owners["o1"], owners["o2"])
    assert await traces(shop, *MARKERS, "zenobia-again") == []
    for one, other in ((BUYER, "kim"), ("kim", BUYER)):
        with pytest.raises(KeyError):
            await shop.merge(one, other)


async def test_who_is_not_erased_keeps_every_check(shop: Shop) -> None:
    await shop.take(her_order(1), order(2, "kim"))
    await erase(shop, Erasure(await shop.member_id(BUYER)))
    assert taken(await shop.take(order(2, "kim", 5))) == ["order_conflict"]
    async with shop.database.reading() as session:
        ids: Sequence[UUID] = (await session.scalars(text("SELECT id FROM members"))).all()
    assert len(ids) == 2
