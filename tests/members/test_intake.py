"""Orders in: who they belong to, what they say, and what comes again."""

import asyncio
import random
from typing import Any

import pytest

from services.members.errors import OrderConflict, OrderTotalMismatch
from services.members.operations import OrderTaken
from shared.problems import Refusal
from tests.members.shop import Shop, cancellation, day, order, taken

CONTACT = {
    "channel": "email",
    "address": "kim@example.test",
    "verified": True,
    "consents": [{"purpose": "marketing", "granted": True}],
}


async def test_an_order_makes_a_member_and_says_so(shop: Shop) -> None:
    (result,) = await shop.take(
        order(1, contact_points=[CONTACT], customer={"locale": "pt-BR"}, channel="web")
    )
    assert isinstance(result, OrderTaken)
    assert await shop.types_said() == [
        "member.created",
        "order.paid",
        "member.consent_changed",
        "member.profile",
    ]
    (_, key, paid), (_, _, profile) = await shop.said("order.paid", "member.profile")
    assert key == str(result.order.member_id)
    assert (paid["total_minor"], paid["channel"], paid["lines"][0]["product_id"]) == (1_000, "web", "CD")
    assert profile["contact_points"] == [
        {"channel": "email", "address": "kim@example.test", "verified": True}
    ]
    assert profile["consents"][0]["granted"] is True
    assert (profile["locale"], profile["tier"], profile["revision"]) == ("pt-BR", "bronze", 1)
    await shop.audit()


async def test_nothing_personal_is_said_but_in_the_profile(shop: Shop) -> None:
    customer = {"display_name": "Kim Doe", "birthday": "1988-02-29", "time_zone": "Asia/Shanghai"}
    await shop.take(order(1, contact_points=[CONTACT], customer=customer))
    for event_type, _, payload in await shop.said():
        if event_type != "member.profile":
            assert not any(word in str(payload) for word in ("Kim Doe", "1988", "Shanghai", "example.test"))


async def test_what_comes_again_changes_nothing_and_says_nothing(shop: Shop) -> None:
    documents = [order(1, contact_points=[CONTACT]), order(2, "lee", paid_at=None)]
    assert taken(await shop.take(*documents)) == ["accepted", "accepted"]
    before, said = await shop.everything(), await shop.types_said()
    assert taken(await shop.take(*documents, *documents)) == ["unchanged"] * 4
    assert (await shop.everything(), await shop.types_said()) == (before, said)
    await shop.audit()


async def test_a_batch_may_hold_the_same_order_twice(shop: Shop) -> None:
    results = await shop.take(
        order(1, paid_at=None), order(1, paid_at=None), order(1), order(1, total_minor=5)
    )
    assert taken(results) == ["accepted", "unchanged", "accepted", "order_conflict"]
    assert [kind for kind in await shop.types_said() if kind.startswith("order.")] == [
        "order.placed",
        "order.paid",
    ]
    await shop.audit()


async def test_an_order_is_placed_and_then_paid(shop: Shop) -> None:
    await shop.take(order(1, paid_at=None))
    assert (await shop.summary()).orders["placed"] == 1
    assert (await shop.member())["spend_minor"] == 0
    (result,) = await shop.take(order(1, paid_at=day(2), payment_id="p"))
    assert taken([result]) == ["accepted"]
    ((_, _, paid),) = await shop.said("order.paid")
    assert (paid["payment_id"], paid["paid_at"]) == ("p", "2026-01-02T12:00:00Z")
    assert (await shop.member())["spend_minor"] == 1_000
    await shop.audit()


async def test_a_contradiction_is_refused_and_makes_nobody_a_member(shop: Shop) -> None:
    await shop.take(order(1))
    results = await shop.take(
        order(1, "stranger"), order(1, total_minor=7), order(2, "lee"), order(2, "other")
    )
    assert taken(results) == ["order_conflict", "order_conflict", "accepted", "order_conflict"]
    assert isinstance(results[0], OrderConflict)
    assert await shop.rows("SELECT external_id FROM identities ORDER BY 1") == [("kim",), ("lee",)]
    await shop.audit()


async def test_a_stranger_with_a_new_order_does_not_spoil_the_real_ones_repetition(shop: Shop) -> None:
    await shop.take(order(1))
    results = await shop.take(order(2, "new"), order(1, "new"), order(1, "kim"))
    assert taken(results) == ["accepted", "order_conflict", "unchanged"]
    await shop.audit()


@pytest.mark.parametrize(
    ("fields", "total_minor"),
    [
        ({"total_minor": 1_001}, 1_001),
        ({"shipping_minor": 100, "total_minor": 1_000}, 1_000),
        ({"discount_minor": 100, "total_minor": 1_000}, 1_000),
        ({"discount_minor": 1_001}, None),
    ],
)
async def test_totals_have_to_add_up(shop: Shop, fields: dict[str, Any], total_minor: int | None) -> None:
    document = order(1) | fields
    (result,) = await shop.take(document)
    assert isinstance(result, OrderTotalMismatch), total_minor
    assert await shop.types_said() == []


async def test_totals_that_add_up(shop: Shop) -> None:
    lines = [
        {"sku": "a", "quantity": 3, "unit_price_minor": 333, "discount_minor": 99, "tax_minor": 10},
        {"sku": "b", "quantity": 1, "unit_price_minor": 100, "tax_minor": 5},
    ]
    document = order(1, lines=lines, shipping_minor=50, discount_minor=25, total_minor=1_025)
    assert taken(await shop.take(document)) == ["accepted"]
    ((_, _, paid),) = await shop.said("order.paid")
    assert (paid["total_minor"], paid["tax_minor"]) == (1_025, 15)


async def test_an_order_worth_nothing_is_genuine(shop: Shop) -> None:
    assert taken(await shop.take(order(1, total_minor=0))) == ["accepted"]
    assert (await shop.summary()).orders["paid"] == 1
    await shop.audit()


async def test_two_sources_may_use_the_same_ids(shop: Shop) -> None:
    await shop.take(order(1), order(1, source="ebay"), order(1, shop_id="us-2"))
    summary = await shop.summary()
    assert (summary.members, summary.orders["total"]) == (2, 3)


async def test_spend_in_another_currency_counts_nothing_and_the_answer_says_so(shop: Shop) -> None:
    dollars, yen = await shop.take(order(1), order(2, total_minor=900_000, currency="JPY"))
    assert isinstance(dollars, OrderTaken)
    assert isinstance(yen, OrderTaken)
    assert dollars.note is None
    assert yen.note is not None
    assert "USD only" in yen.note
    member = await shop.member()
    assert (member["spend_minor"], member["tier"]) == (1_000, "bronze")
    assert (await shop.summary()).revenue_minor == {"JPY": 900_000, "USD": 1_000}
    await shop.audit()


async def test_many_batches_at_once_make_one_member_and_one_order(shop: Shop) -> None:
    batches = [[order(number, f"c{number % 7}") for number in range(40)] for _ in range(6)]
    for number, batch in enumerate(batches):
        random.Random(number).shuffle(batch)
    results = await asyncio.gather(*(shop.take(*batch) for batch in batches))
    assert (
        sorted(code for batch in results for code in taken(batch)) == ["accepted"] * 40 + ["unchanged"] * 200
    )
    assert len(await shop.said("member.created")) == 7
    assert len(await shop.said("order.paid")) == 40
    await shop.audit()


async def test_the_same_order_for_two_customers_at_once_is_one_order(shop: Shop) -> None:
    results = await asyncio.gather(*(shop.take(order(1, f"c{number}")) for number in range(6)))
    codes = sorted(code for batch in results for code in taken(batch))
    assert codes == ["accepted"] + ["order_conflict"] * 5
    assert await shop.rows("SELECT count(*) FROM order_lines") == [(1,)]
    assert len(await shop.said("order.paid")) == 1


async def test_the_latest_word_about_a_customer_holds(shop: Shop) -> None:
    await shop.take(order(2, placed_at=day(2), customer={"locale": "fr", "country": "FR"}))
    await shop.take(order(1, placed_at=day(1), customer={"locale": "en", "display_name": "Kim"}))
    member = await shop.member()
    assert (member["locale"], member["country"], member["display_name"]) == ("fr", "FR", "Kim")
    assert member["revision"] == 2


async def test_a_profile_is_said_only_when_it_changed(shop: Shop) -> None:
    await shop.take(order(1, contact_points=[CONTACT]))
    await shop.take(order(2, contact_points=[CONTACT], placed_at=day(2)))
    assert len(await shop.said("member.profile")) == 1
    await shop.take(order(3, contact_points=[{**CONTACT, "address": "kim@other.test", "consents": []}]))
    first, second = await shop.said("member.profile")
    assert (first[2]["revision"], second[2]["revision"]) == (1, 2)
    assert len(second[2]["contact_points"]) == 2


async def test_a_proof_is_kept_and_never_taken_back(shop: Shop) -> None:
    await shop.take(order(1, contact_points=[{**CONTACT, "verified": False}]))
    await shop.take(order(2, contact_points=[CONTACT]))
    await shop.take(order(3, contact_points=[{**CONTACT, "verified": False}]))
    assert [event["contact_points"][0]["verified"] for _, _, event in await shop.said("member.profile")] == [
        False,
        True,
    ]


async def test_addresses_beyond_the_limit_are_left(shop: Shop) -> None:
    await shop.take(
        *(
            order(
                number,
                contact_points=[
                    {"channel": "email", "address": f"k{number}-{each}@example.test"} for each in range(10)
                ],
            )
            for number in range(3)
        )
    )
    assert len((await shop.member())["contact_points"]) == 20
    results = await shop.take(order(9, contact_points=[{"channel": "email", "address": "late@example.test"}]))
    assert taken(results) == ["accepted"]
    assert len((await shop.member())["contact_points"]) == 20


async def test_a_payment_after_the_cancellation_is_told_and_counts_nothing(shop: Shop) -> None:
    await shop.take(order(1, paid_at=None))
    await shop.cancel(cancellation(1))
    (result,) = await shop.take(order(1))
    assert isinstance(result, OrderTaken)
    assert (await shop.member())["spend_minor"] == 0
    assert (await shop.summary()).orders["cancelled"] == 1
    await shop.audit()


def story(seed: int) -> list[dict[str, Any]]:
    """Orders of four customers in the order of their time, placed, paid, and said twice."""
    chance = random.Random(seed)
    documents = []
    for number in range(60):
        document = order(
            number,
            f"c{chance.randrange(4)}",
            chance.choice([0, 99, 5_000, 12_000, 31_000]),
            placed_at=day(number + 1),
            currency=chance.choice(["USD", "USD", "EUR"]),
        )
        if chance.random() < 0.2:
            documents.append(document | {"paid_at": None})
        documents.append(document)
        if chance.random() < 0.2:
            documents.append(document)
    return documents


async def tier_story(shop: Shop) -> list[tuple[str, str, str, str]]:
    moves = await shop.said("member.tier_upgraded", "member.tier_downgraded")
    members = {str(await shop.member_id(f"c{number}")): f"c{number}" for number in range(4)}
    return sorted(
        (members[key], move["changed_at"], move["from_tier"], move["to_tier"]) for _, key, move in moves
    )


@pytest.mark.parametrize("sizes", [[1], [2, 3, 7], [1_000]])
async def test_tiers_do_not_depend_on_how_orders_were_batched(shop: Shop, sizes: list[int]) -> None:
    documents = story(7)
    chance = random.Random(1)
    left = documents.copy()
    while left:
        size = chance.choice(sizes)
        await shop.take(*left[:size])
        left = left[size:]
    await shop.audit()
    moves = await tier_story(shop)
    expected = []
    levels = [("bronze", 0), ("silver", 20_000), ("gold", 50_000), ("platinum", 150_000)]
    spends = dict.fromkeys((f"c{number}" for number in range(4)), 0)
    tiers = dict.fromkeys(spends, "bronze")
    seen = set()
    for document in documents:
        if document["paid_at"] is None or document["external_order_id"] in seen:
            continue
        seen.add(document["external_order_id"])
        if document["currency"] != "USD":
            continue
        customer = document["external_customer_id"]
        spends[customer] += document["lines"][0]["unit_price_minor"]
        tier = [name for name, least in levels if spends[customer] >= least][-1]
        if tier != tiers[customer]:
            paid_at = document["paid_at"].replace("+00:00", "Z")
            expected.append((customer, paid_at, tiers[customer], tier))
            tiers[customer] = tier
    assert moves == sorted(expected)
    assert len(moves) > 4


async def test_orders_out_of_their_time_come_to_the_same(shop: Shop) -> None:
    documents = story(8) * 2
    random.Random(3).shuffle(documents)
    for start in range(0, len(documents), 17):
        results = await shop.take(*documents[start : start + 17])
        assert not any(isinstance(result, Refusal) for result in results)
    await shop.audit()
    shuffled = await shop.everything()
    await shop.take(*story(8))
    assert await shop.everything() == shuffled
    spends = {customer: spend for customer, _, spend, *_ in shuffled["members"]}
    expected = dict.fromkeys(spends, 0)
    for document in {each["external_order_id"]: each for each in story(8)}.values():
        if document["currency"] == "USD":
            expected[document["external_customer_id"]] += document["lines"][0]["unit_price_minor"]
    assert spends == expected


async def test_one_order_that_jumps_two_levels_is_one_upgrade(shop: Shop) -> None:
    await shop.take(order(1, total_minor=60_000))
    ((_, _, move),) = await shop.said("member.tier_upgraded")
    assert (move["from_tier"], move["to_tier"], move["window_spend_minor"]) == ("bronze", "gold", 60_000)
    assert (await shop.summary()).tier_upgrades == 1
