"""Two members that are one person, and that are two after all."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from services.members import operations
from services.members.domain import Erasure, Level, Period, Policy, Statement, TagChange
from services.members.errors import (
    MemberAlreadyMerged,
    MemberErased,
    MemberNotFound,
    MergeCircle,
    NotMerged,
    TooManyIds,
)
from services.members.operations import Merge, Merged
from services.members.settings import settings
from shared.clock import utc_now
from shared.ids import new_id
from shared.problems import Refusal
from tests.members.shop import Shop, cancellation, day, order, refund, taken

LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)


def said(
    member_id: UUID, granted: bool, at: datetime, channel: str = "email", purpose: str = "marketing"
) -> Statement:
    return Statement(member_id, channel, purpose, granted, at, None, "form", "kim")


async def record(shop: Shop, *statements: Statement) -> None:
    async with shop.database.transaction() as session:
        for result in await operations.record_consents(session, statements):
            assert not isinstance(result, Refusal)


async def tag(shop: Shop, customer: str, *tags: str) -> None:
    change = TagChange(await shop.member_id(customer), "shop", "shop", add=tags)
    async with shop.database.transaction() as session:
        await operations.change_tags(session, [change])


async def agrees(shop: Shop, customer: str, channel: str = "email") -> bool | None:
    member = await shop.member(customer)
    held = {(word["channel"], word["purpose"]): word["granted"] for word in member["consents"]}
    return held.get((channel, "marketing"))


async def told(shop: Shop, member_id: UUID) -> dict[str, Any]:
    """The latest profile that was said of a member."""
    profiles = [event for _, key, event in await shop.said("member.profile") if key == str(member_id)]
    latest: dict[str, Any] = max(profiles, key=lambda profile: profile["revision"])
    return latest


async def links(shop: Shop) -> Sequence[tuple[Any, ...]]:
    return await shop.rows(
        "SELECT m.external_id, s.external_id, p.external_id FROM aliases AS a"
        " JOIN identities AS m ON m.member_id = a.merged_id"
        " JOIN identities AS s ON s.member_id = a.surviving_id"
        " JOIN identities AS p ON p.member_id = a.person_id ORDER BY 1"
    )


async def test_everything_of_both_is_seen_under_the_survivor(shop: Shop) -> None:
    point = {"channel": "email", "address": "kim@example.test", "verified": True}
    await shop.take(
        order(1, "kim", contact_points=[point], customer={"locale": "en-US"}),
        order(2, "lee", customer={"display_name": "Lee"}, placed_at=day(3)),
    )
    await tag(shop, "kim", "vip")
    await tag(shop, "lee", "tea")
    kim, lee = await shop.member_id("kim"), await shop.member_id("lee")
    assert await shop.merge("kim", "lee") == Merged(kim, lee, kim, changed=True)
    for name in ("kim", "lee"):
        member = await shop.member(name)
        assert (member["member_id"], member["merged_ids"]) == (kim, [lee])
        assert (member["spend_minor"], member["orders_count"]) == (2_000, 2)
        assert (member["locale"], member["display_name"]) == ("en-US", "Lee")
        assert [each["tag"] for each in member["tags"]] == ["tea", "vip"]
        assert [identity["external_id"] for identity in member["identities"]] == ["kim", "lee"]
        assert member["last_order_at"] == datetime.fromisoformat(day(3))
        async with shop.database.reading() as session:
            orders = await operations.read_orders_of_member(session, member["member_id"], after=None, limit=9)
            assert [row["external_order_id"] for row in orders] == ["o2", "o1"]
            assert {row["member_id"] for row in orders} == {kim}
            assert len(await operations.read_members(session, after=None, limit=9)) == 1
    profile = await told(shop, kim)
    assert (profile["display_name"], profile["locale"], profile["tags"]) == ("Lee", "en-US", ["tea", "vip"])
    assert [address["address"] for address in profile["contact_points"]] == ["kim@example.test"]
    ((_, key, event),) = await shop.said("member.merged")
    assert (key, event["merged_id"], event["revision"]) == (str(kim), str(lee), 1)
    await shop.audit()


async def test_unmerge_gives_each_its_own_and_what_came_under_its_id_meanwhile(shop: Shop) -> None:
    await shop.take(order(1, "kim"), order(2, "lee"))
    await shop.merge("kim", "lee")
    await shop.take(order(3, "lee", 30_000), order(4, "kim", 500))
    await tag(shop, "lee", "tea")
    assert (await shop.member("kim"))["tier"] == "silver"
    kim, lee = await shop.member_id("kim"), await shop.member_id("lee")
    assert await shop.unmerge("kim", "lee") == Merged(kim, lee, lee, changed=True)
    first, second = await shop.member("kim"), await shop.member("lee")
    assert (first["spend_minor"], first["orders_count"], first["tier"]) == (1_500, 2, "bronze")
    assert (second["spend_minor"], second["orders_count"], second["tier"]) == (31_000, 2, "silver")
    assert (first["tags"], [each["tag"] for each in second["tags"]]) == ([], ["tea"])
    assert (await told(shop, lee))["tags"] == ["tea"]
    assert (await told(shop, kim))["tags"] == []
    ((_, key, event),) = await shop.said("member.unmerged")
    assert (key, event["merged_id"], event["revision"]) == (str(kim), str(lee), 2)
    await shop.audit()


async def test_late_events_for_either_id_land_right(shop: Shop) -> None:
    await shop.take(order(1, "kim", 15_000), order(2, "lee", 6_000))
    kim = await shop.member_id("kim")
    await shop.merge("kim", "lee")
    results = await shop.take(order(3, "lee", 40_000), order(2, "lee", 6_000))
    assert taken(results) == ["accepted", "unchanged"]
    assert [not isinstance(each, Refusal) and each.person_id for each in results] == [kim, kim]
    assert (await shop.member("kim"))["tier"] == "gold"
    await shop.refund(refund(3, "a", 40_000))
    assert (await shop.member("kim"))["tier"] == "silver"
    await shop.cancel(cancellation(2))
    assert (await shop.member("kim"))["tier"] == "bronze"
    tiers = await shop.said("member.tier_upgraded", "member.tier_downgraded")
    assert {key for _, key, _ in tiers} == {str(kim)}
    # What is said of an order names the member that it came under, before and after.
    paid = {event["external_order_id"]: key for _, key, event in await shop.said("order.paid")}
    lee = await shop.member_id("lee")
    assert (paid["o1"], paid["o2"], paid["o3"]) == (str(kim), str(lee), str(lee))
    await tag(shop, "lee", "tea")
    assert (await told(shop, kim))["tags"] == ["tea"]
    await shop.audit()


async def test_the_tier_is_judged_by_both_and_by_each_again(shop: Shop) -> None:
    await shop.take(order(1, "kim", 15_000), order(2, "lee", 15_000))
    kim = str(await shop.member_id("kim"))
    before = await shop.member("kim")
    await shop.merge("kim", "lee")
    assert (await shop.member("kim"))["tier"] == "silver"
    await shop.unmerge("kim", "lee")
    after = await shop.member("kim")
    assert (after["tier"], after["tier_changed_at"]) == (before["tier"], before["tier_changed_at"])
    assert (await shop.member("lee"))["tier"] == "bronze"
    moves = await shop.said("member.tier_upgraded", "member.tier_downgraded")
    assert [(type_, key, event["reason"]) for type_, key, event in moves] == [
        ("member.tier_upgraded", kim, "merge"),
        ("member.tier_downgraded", kim, "unmerge"),
    ]
    await shop.audit()


@pytest.mark.parametrize(("survivor", "merged"), [(True, False), (False, True), (False, False)])
async def test_consent_takes_the_stricter_side(shop: Shop, survivor: bool, merged: bool) -> None:
    await shop.take(order(1, "kim"), order(2, "lee"))
    kim, lee = await shop.member_id("kim"), await shop.member_id("lee")
    # The yes is the later word: it still is not the word of the one who said no.
    await record(shop, said(kim, survivor, LONG_AGO + timedelta(days=int(survivor))))
    await record(shop, said(lee, merged, LONG_AGO + timedelta(days=int(merged))))
    await shop.merge("kim", "lee")
    assert await agrees(shop, "kim") is False
    (word,) = (await told(shop, kim))["consents"]
    assert word["granted"] is False
    await shop.unmerge("kim", "lee")
    assert (await agrees(shop, "kim"), await agrees(shop, "lee")) == (survivor, merged)
    (word,) = (await told(shop, kim))["consents"]
    heard = [event for _, key, event in await shop.said("member.consent_changed") if key == str(kim)]
    latest = max(heard, key=lambda event: event["changed_at"])
    assert (word["granted"], latest["granted"]) == (survivor, survivor)
    # Whoever keeps the latest word keeps this one.
    assert word["changed_at"] >= max(event["changed_at"] for event in heard)


async def test_a_no_holds_until_the_person_says_yes_anew(shop: Shop) -> None:
    await shop.take(order(1, "kim"), order(2, "lee"))
    kim, lee = await shop.member_id("kim"), await shop.member_id("lee")
    await record(shop, said(kim, True, LONG_AGO), said(lee, False, LONG_AGO))
    await shop.merge("kim", "lee")
    await record(shop, said(lee, True, LONG_AGO + timedelta(days=9)))
    assert await agrees(shop, "kim") is True, "of what was said before the merge, each side's latest counts"
    await record(shop, said(kim, False, LONG_AGO + timedelta(days=5)))
    assert await agrees(shop, "kim") is False
    await record(shop, said(lee, True, utc_now()))
    assert await agrees(shop, "lee") is True
    heard = [event["granted"] for _, key, event in await shop.said("member.consent_changed")]
    assert heard[-4:] == [False, True, False, True]


async def test_a_no_said_while_they_were_one_is_a_no_of_both_after_an_unmerge(shop: Shop) -> None:
    await shop.take(order(1, "kim"), order(2, "lee"))
    kim, lee = await shop.member_id("kim"), await shop.member_id("lee")
    await record(shop, said(kim, True, LONG_AGO), said(lee, True, LONG_AGO))
    await shop.merge("kim", "lee")
    await record(shop, said(lee, False, utc_now()))
    assert await agrees(shop, "kim") is False
    await shop.unmerge("kim", "lee")
    assert (await agrees(shop, "kim"), await agrees(shop, "lee")) == (False, False)


async def test_a_consent_that_only_the_other_had_goes_with_it(shop: Shop) -> None:
    await shop.take(order(1, "kim"), order(2, "lee"))
    kim, lee = await shop.member_id("kim"), await shop.member_id("lee")
    await record(shop, said(lee, True, LONG_AGO))
    await shop.merge("kim", "lee")
    assert await agrees(shop, "kim") is True
    await shop.unmerge("kim", "lee")
    assert (await agrees(shop, "kim"), await agrees(shop, "lee")) == (None, True)
    heard = [event for _, key, event in await shop.said("member.consent_changed") if key == str(kim)]
    assert [event["granted"] for event in heard] == [True, False]


async def test_chains_follow_to_the_end_and_come_apart_in_any_order(shop: Shop) -> None:
    await shop.take(*(order(number, name, 8_000) for number, name in enumerate("abcd")))
    await shop.merge("b", "a")
    await shop.merge("c", "b")
    assert await links(shop) == [("a", "b", "c"), ("b", "c", "c")]
    assert (await shop.member("a"))["tier"] == "silver"
    # The survivor may be named by any of its ids.
    result = await shop.merge("a", "d")
    assert isinstance(result, Merged)
    assert result.surviving_id == await shop.member_id("c")
    await shop.unmerge("b", "a")
    assert await links(shop) == [("b", "c", "c"), ("d", "c", "c")]
    assert (await shop.member("a"))["spend_minor"] == 8_000
    await shop.merge("b", "a")
    await shop.unmerge("c", "b")
    assert await links(shop) == [("a", "c", "c"), ("d", "c", "c")]
    assert [(await shop.member(name))["spend_minor"] for name in "abcd"] == [24_000, 8_000, 24_000, 24_000]
    await shop.audit()


async def held(shop: Shop, customer: str) -> tuple[Any, ...]:
    """The tier of a customer, since when, and on which terms."""
    member_id = await shop.member_id(customer)
    (row,) = await shop.rows(
        "SELECT m.tier, m.tier_changed_at, coalesce(t.is_given, false), t.ends_at FROM members AS m"
        f" LEFT JOIN tier_terms AS t ON t.member_id = m.id WHERE m.id = '{member_id}'"
    )
    return row


async def test_the_survivor_holds_the_better_of_both_bought_tiers_and_an_unmerge_gives_back_each(
    shop: Shop,
) -> None:
    policy = Policy(period=Period("months", 3))
    levels = [Level("bronze", 0, 0), Level("silver", 1, 20_000), Level("gold", 2, 50_000)]
    async with shop.database.transaction() as session:
        await operations.replace_tiers(session, levels, policy, actor="test")
    await shop.take(*(order(number, name) for number, name in enumerate(("kim", "lee", "sam"))))
    assert [await shop.buy_tier("kim", "silver"), await shop.buy_tier("lee", "gold")] == [None, None]
    alone = [await held(shop, name) for name in ("kim", "lee", "sam")]
    assert [tier for tier, *_ in alone] == ["silver", "gold", "bronze"]
    # Whichever of the two survives.
    for survivor, merged in (("kim", "lee"), ("lee", "kim"), ("sam", "lee")):
        await shop.merge(survivor, merged)
        tier, _, is_given, ends_at = await held(shop, survivor)
        assert (tier, is_given, ends_at) == ("gold", True, alone[1][3])
        await shop.unmerge(survivor, merged)
        assert [await held(shop, name) for name in ("kim", "lee", "sam")] == alone
    # All three, and parted in the order in which they were joined.
    await shop.merge("sam", "lee")
    await shop.merge("sam", "kim")
    await shop.unmerge("sam", "lee")
    tier, _, is_given, ends_at = await held(shop, "sam")
    assert (tier, is_given, ends_at) == ("silver", True, alone[0][3])
    await shop.unmerge("sam", "kim")
    assert [await held(shop, name) for name in ("kim", "lee", "sam")] == alone
    # A gift lasts as long as it would have.
    await shop.merge("sam", "lee")
    async with shop.database.transaction() as session:
        assert await operations.look_at_tiers(session, limit=10, as_of=alone[1][3]) > 0
    assert (await held(shop, "sam"))[0] == "bronze"
    await shop.audit()


@pytest.mark.parametrize(("survivor", "merged"), [("kim", "lee"), ("lee", "kim")])
async def test_a_tier_that_was_paid_for_counts_on_when_a_better_one_has_lapsed(
    shop: Shop, survivor: str, merged: str
) -> None:
    levels = [Level("bronze", 0, 0), Level("silver", 1, 20_000), Level("gold", 2, 50_000)]

    async def set_period(months: int) -> None:
        policy = Policy(period=Period("months", months), grace_days=1)
        async with shop.database.transaction() as session:
            await operations.replace_tiers(session, levels, policy, actor="test")

    async def look(as_of: datetime) -> None:
        async with shop.database.transaction() as session:
            await operations.look_at_tiers(session, limit=10, as_of=as_of)

    await shop.take(*(order(number, name) for number, name in enumerate(("kim", "lee"))))
    await set_period(6)
    await shop.buy_tier("kim", "silver")
    _, _, _, silver_ends_at = await held(shop, "kim")
    await set_period(3)
    await shop.buy_tier("lee", "gold")
    _, _, _, gold_ends_at = await held(shop, "lee")
    assert gold_ends_at < silver_ends_at
    await shop.merge(survivor, merged)
    assert (await held(shop, survivor))[0] == "gold"
    await look(gold_ends_at)
    (_, _, at_risk) = (await shop.said("member.tier_at_risk"))[-1]
    assert (at_risk["tier"], at_risk["to_tier"]) == ("gold", "silver")
    await look(gold_ends_at + timedelta(days=1))
    tier, _, is_given, ends_at = await held(shop, survivor)
    assert (tier, is_given, ends_at) == ("silver", True, silver_ends_at)
    ((_, _, downgraded),) = await shop.said("member.tier_downgraded")
    assert (downgraded["from_tier"], downgraded["to_tier"]) == ("gold", "silver")
    await shop.audit()
    await look(silver_ends_at + timedelta(days=1))
    assert (await held(shop, survivor))[0] == "bronze"
    await shop.audit()


async def test_a_member_that_leaves_takes_along_whoever_was_merged_into_it(shop: Shop) -> None:
    await shop.take(*(order(number, name) for number, name in enumerate("abc")))
    await shop.merge("b", "a")
    await shop.merge("c", "b")
    await shop.unmerge("c", "b")
    assert await links(shop) == [("a", "b", "b")]
    assert [(await shop.member(name))["spend_minor"] for name in "abc"] == [2_000, 2_000, 1_000]
    told = [event["revision"] for _, _, event in await shop.said("member.merged", "member.unmerged")]
    assert told == [1, 1, 2]
    await shop.audit()


async def test_merging_and_unmerging_twice_changes_nothing(shop: Shop) -> None:
    await shop.take(order(1, "kim"), order(2, "lee"))
    kim, lee = await shop.member_id("kim"), await shop.member_id("lee")
    assert isinstance(await shop.unmerge("kim", "lee"), NotMerged)
    for changed in (True, False):
        assert await shop.merge("kim", "lee") == Merged(kim, lee, kim, changed=changed)
    for changed in (True, False):
        assert await shop.unmerge("kim", "lee") == Merged(kim, lee, lee, changed=changed)
    await shop.merge("kim", "lee")
    revisions = [event["revision"] for _, _, event in await shop.said("member.merged", "member.unmerged")]
    assert revisions == [1, 2, 3]
    await shop.audit()


async def test_what_cannot_be_merged_is_refused_and_spares_its_neighbours(shop: Shop) -> None:
    await shop.take(*(order(number, name) for number, name in enumerate("abcd")))
    a, b, c, d = [await shop.member_id(name) for name in "abcd"]
    pairs = [(a, b), (b, a), (a, a), (new_id(), a), (a, new_id()), (c, b), (a, d)]
    async with shop.database.transaction() as session:
        results = await operations.merge_members(session, [Merge(*pair, "test") for pair in pairs])
    expected = (Merged, MergeCircle, MergeCircle, MemberNotFound, MemberNotFound, MemberAlreadyMerged, Merged)
    assert [type(result) for result in results] == list(expected)
    assert (await shop.member("a"))["merged_ids"] == sorted([b, d])
    await shop.audit()


async def test_a_person_has_no_more_ids_than_are_locked_along(shop: Shop) -> None:
    names = [f"m{number}" for number in range(settings().ids_per_person + 1)]
    await shop.take(*(order(name, name) for name in names))
    first, *others = [await shop.member_id(name) for name in names]
    async with shop.database.transaction() as session:
        results = await operations.merge_members(session, [Merge(first, other, "test") for other in others])
    assert [type(result) for result in results] == [Merged] * (len(others) - 1) + [TooManyIds]


async def test_whoever_is_erased_is_merged_with_nobody(shop: Shop) -> None:
    await shop.take(order(1, "kim"), order(2, "lee"))
    kim, lee = await shop.member_id("kim"), await shop.member_id("lee")
    async with shop.database.transaction() as session:
        await operations.erase_members(session, [Erasure(member_id=lee)], actor="test")
    async with shop.database.transaction() as session:
        results = await operations.merge_members(session, [Merge(kim, lee, "test"), Merge(lee, kim, "test")])
    assert [type(result) for result in results] == [MemberErased, MemberErased]


async def test_merges_and_orders_of_both_meet_without_losing_anything(shop: Shop) -> None:
    await shop.take(order("k", "kim"), order("l", "lee"))

    async def trade(start: int) -> None:
        for number in range(start, start + 8):
            await shop.take(order(number, "kim", 3_000), order(f"l{number}", "lee", 3_000))
            await shop.refund(refund(number, "a", 1_000), refund(f"l{number}", "a", 1_000))

    async def decide() -> None:
        for _ in range(8):
            await shop.merge("kim", "lee")
            await shop.unmerge("kim", "lee")

    await asyncio.gather(trade(0), trade(100), decide(), decide())
    await shop.merge("kim", "lee")
    assert (await shop.member("kim"))["spend_minor"] == 2_000 + 2 * 16 * 2_000
    assert (await shop.member("kim"))["tier"] == "gold"
    await shop.audit()
