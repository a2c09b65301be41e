"""Who a customer is: the names that sources have, and verified addresses; never an unverified one."""

import asyncio
from typing import Any
from uuid import UUID

import pytest

from services.members import operations
from services.members.domain import Erasure, address_written, proof_of
from services.members.errors import IdentityTaken, MemberErased, MemberNotFound, SuggestionNotFound
from services.members.operations import Dismissal, Identity
from shared.ids import new_id
from shared.problems import Refusal
from tests.members.shop import Shop, order, taken


def point(address: str, channel: str = "email", *, verified: bool = True) -> dict[str, Any]:
    return {"channel": channel, "address": address, "verified": verified}


async def suggestions(shop: Shop) -> set[frozenset[UUID]]:
    async with shop.database.reading() as session:
        rows = await operations.read_suggestions(session, after=None, limit=99)
        return {frozenset((row["one_id"], row["other_id"])) for row in rows}


async def identify(shop: Shop, *identities: Identity) -> list[Any]:
    async with shop.database.transaction() as session:
        return await operations.identify_members(session, identities)


@pytest.mark.parametrize(
    ("channel", "address", "written", "proof"),
    [
        ("email", "Kim.Lee@Example.TEST", "Kim.Lee@example.test", "email:kim.lee@example.test"),
        ("sms", "+1(415)555-0123", "+14155550123", "phone:+14155550123"),
        ("whatsapp", "0014155550123", "+14155550123", "phone:+14155550123"),
        ("phone", "04155550123", "04155550123", None),
        ("sms", "+0123456789", "+0123456789", None),
        ("telegram", "Kim", "Kim", "telegram:Kim"),
    ],
)
def test_what_an_address_proves(channel: str, address: str, written: str, proof: str | None) -> None:
    assert address_written(channel, address) == written
    assert proof_of(channel, address) == proof


async def test_a_verified_address_leads_to_its_member(shop: Shop) -> None:
    await shop.take(order(1, "kim", contact_points=[point("kim@example.test")]))
    await shop.take(order(2, "c-9", source="shopify", contact_points=[point("KIM@example.test")]))
    assert await shop.member_id("c-9", "shopify") == await shop.member_id("kim")
    assert (await shop.member())["orders_count"] == 2
    assert [type_ for type_ in await shop.types_said() if type_ == "member.created"] == ["member.created"]
    await shop.audit()


async def test_a_number_is_the_same_on_every_channel(shop: Shop) -> None:
    await shop.take(order(1, "kim", contact_points=[point("+14155550123", "sms")]))
    await shop.take(order(2, "lee", source="web", contact_points=[point("001-415-555-0123", "whatsapp")]))
    assert await shop.member_id("lee", "web") == await shop.member_id("kim")


@pytest.mark.parametrize(("first", "second"), [(True, False), (False, True), (False, False)])
async def test_an_unverified_address_leads_to_nobody(shop: Shop, first: bool, second: bool) -> None:
    await shop.take(order(1, "kim", contact_points=[point("kim@example.test", verified=first)]))
    await shop.take(order(2, "lee", contact_points=[point("kim@example.test", verified=second)]))
    assert await shop.member_id("kim") != await shop.member_id("lee")
    assert await suggestions(shop) == set()


async def test_two_new_customers_of_one_batch_with_one_address_are_one_member(shop: Shop) -> None:
    both = [point("kim@example.test")]
    results = await shop.take(
        order(1, "kim", contact_points=both),
        order(2, "c-9", source="web", contact_points=both),
        order(3, "lee"),
    )
    assert taken(results) == ["accepted"] * 3
    assert await shop.member_id("kim") == await shop.member_id("c-9", "web")
    assert await shop.rows("SELECT count(*) FROM members") == [(2,)]
    await shop.audit()


async def test_an_address_of_a_merged_member_leads_to_the_person(shop: Shop) -> None:
    await shop.take(order(1, "kim", contact_points=[point("kim@example.test")]), order(2, "lee"))
    await shop.merge("lee", "kim")
    (result,) = await shop.take(order(3, "new", contact_points=[point("kim@example.test")]))
    assert not isinstance(result, Refusal)
    assert result.person_id == await shop.member_id("lee")
    await shop.unmerge("lee", "kim")
    # The name came by the address, and goes with it.
    assert await shop.member_id("new") == await shop.member_id("kim")
    assert (await shop.member("kim"))["orders_count"] == 2


async def test_an_address_of_two_members_is_a_suggestion_and_leads_to_nobody(shop: Shop) -> None:
    await shop.take(order(1, "kim"), order(2, "lee"))
    await shop.take(order(3, "kim", contact_points=[point("kim@example.test")]))
    await shop.take(order(4, "lee", contact_points=[point("kim@example.test")]))
    kim, lee = await shop.member_id("kim"), await shop.member_id("lee")
    assert kim != lee
    assert await suggestions(shop) == {frozenset((kim, lee))}
    await shop.take(order(5, "new", contact_points=[point("kim@example.test")]))
    new = await shop.member_id("new")
    assert new not in (kim, lee)
    assert await suggestions(shop) == {frozenset(pair) for pair in ((kim, lee), (kim, new), (lee, new))}
    # A merge accepts what was suggested, and an unmerge says that it was wrong for good.
    await shop.merge("kim", "lee")
    assert await suggestions(shop) == {frozenset(pair) for pair in ((kim, new), (lee, new))}
    await shop.unmerge("kim", "lee")
    assert frozenset((kim, lee)) not in await suggestions(shop)


async def test_addresses_of_two_persons_make_a_new_one_and_two_suggestions(shop: Shop) -> None:
    await shop.take(
        order(1, "kim", contact_points=[point("kim@example.test")]),
        order(2, "lee", contact_points=[point("+14155550123", "sms")]),
    )
    await shop.take(order(3, "new", contact_points=[point("kim@example.test"), point("+14155550123", "sms")]))
    kim, lee, new = [await shop.member_id(name) for name in ("kim", "lee", "new")]
    assert len({kim, lee, new}) == 3
    assert await suggestions(shop) == {frozenset((kim, new)), frozenset((lee, new))}


async def test_a_dismissed_suggestion_stays_dismissed(shop: Shop) -> None:
    both = [point("shop@example.test")]
    await shop.take(order(1, "kim"), order(2, "lee"))
    await shop.take(order(3, "kim", contact_points=both), order(4, "lee", contact_points=both))
    kim, lee = await shop.member_id("kim"), await shop.member_id("lee")
    for changed in (True, False):
        async with shop.database.transaction() as session:
            results = await operations.dismiss_suggestions(
                session, [Dismissal((lee, kim), "kim"), Dismissal((kim, new_id()), "kim")]
            )
        first, second = results
        assert not isinstance(first, Refusal)
        assert first.changed is changed
        assert isinstance(second, SuggestionNotFound)
    await shop.take(order(5, "lee", contact_points=[*both, point("+14155550123", "sms")]))
    assert await suggestions(shop) == set()


async def test_two_who_prove_one_address_at_once_are_suggested(shop: Shop) -> None:
    both = [point("kim@example.test")]
    await asyncio.gather(
        *(shop.take(order(number, f"c{number}", contact_points=both)) for number in range(8))
    )
    members = {await shop.member_id(f"c{number}") for number in range(8)}
    suggested = await suggestions(shop)
    # However many were too quick to be recognised: each is suggested to be the one who came first.
    ((first,),) = await shop.rows("SELECT member_id FROM contact_points WHERE is_first")
    assert {frozenset((first, other)) for other in members - {first}} <= suggested
    await shop.audit()


async def test_an_erased_address_leads_to_nobody(shop: Shop) -> None:
    await shop.take(order(1, "kim", contact_points=[point("kim@example.test")]))
    kim = await shop.member_id("kim")
    async with shop.database.transaction() as session:
        await operations.erase_members(session, [Erasure(member_id=kim)], actor="test")
    await shop.take(order(2, "new", contact_points=[point("kim@example.test")]))
    assert await shop.member_id("new") != kim


async def test_members_are_given_further_names(shop: Shop) -> None:
    await shop.take(order(1, "kim"), order(2, "lee"), order(3, "gone"), order(4, "alias"))
    kim, lee, gone = [await shop.member_id(name) for name in ("kim", "lee", "gone")]
    await shop.merge("kim", "alias")
    async with shop.database.transaction() as session:
        await operations.erase_members(session, [Erasure(member_id=gone)], actor="test")
    results = await identify(
        shop,
        Identity(kim, ("web", "k-1")),
        Identity(kim, ("web", "k-1")),
        Identity(kim, ("amazon", "alias")),
        Identity(lee, ("web", "k-1")),
        Identity(lee, ("amazon", "kim")),
        Identity(new_id(), ("web", "x")),
        Identity(gone, ("web", "y")),
    )
    assert [result.code if isinstance(result, Refusal) else result.changed for result in results] == [
        True,
        False,
        False,
        IdentityTaken.code,
        IdentityTaken.code,
        MemberNotFound.code,
        MemberErased.code,
    ]
    await shop.take(order(5, "k-1", source="web"))
    assert (await shop.member("kim"))["orders_count"] == 3
    assert await shop.rows("SELECT external_id FROM identities WHERE source = 'web'") == [("k-1",)]
