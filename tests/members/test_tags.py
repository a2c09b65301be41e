"""Tags: several sources, expiry by source, batches."""

from typing import Any
from uuid import UUID

from services.members import operations
from services.members.domain import TagChange
from services.members.jobs import jobs
from shared.ids import new_id
from shared.problems import Refusal
from tests.members.shop import Shop, order


async def change(shop: Shop, *changes: TagChange) -> list[bool | str]:
    async with shop.database.transaction() as session:
        results = await operations.change_tags(session, changes)
    return [result.code if isinstance(result, Refusal) else result for result in results]


def gives(member_id: UUID, source: str, *tags: str, seconds: float | None = None) -> TagChange:
    return TagChange(member_id, source, source, add=tags, expires_in_seconds=seconds)


def takes(member_id: UUID, source: str | None, *tags: str, actor: str = "kim") -> TagChange:
    return TagChange(member_id, source, source or actor, remove=tags)


async def drop_expired(shop: Shop) -> int:
    (job,) = [job for job in jobs if job.name == "drop_expired_tags"]
    return await job.work(shop.database)


async def told(shop: Shop) -> list[tuple[str, list[str], str]]:
    return [
        (event_type.removeprefix("member."), event["tags"], event["tag_source"])
        for event_type, _, event in await shop.said("member.tagged", "member.untagged")
    ]


async def newest_profile(shop: Shop) -> dict[str, Any]:
    profile: dict[str, Any] = (await shop.said("member.profile"))[-1][2]
    return profile


async def test_tags_come_and_go_and_say_who_gave_them(shop: Shop) -> None:
    await shop.take(order(1))
    member_id = await shop.member_id()
    await change(shop, gives(member_id, "kim", "vip", "eu"))
    await change(shop, gives(member_id, "lee", "vip", "new"))
    await change(shop, takes(member_id, None, "eu", "never"))
    assert await told(shop) == [
        ("tagged", ["eu", "vip"], "kim"),
        ("tagged", ["new"], "lee"),
        ("untagged", ["eu"], "kim"),
    ]
    assert (await newest_profile(shop))["tags"] == ["new", "vip"]


async def test_a_tag_stays_while_any_source_holds_it(shop: Shop) -> None:
    await shop.take(order(1))
    member_id = await shop.member_id()
    await change(shop, gives(member_id, "kim", "vip"), gives(member_id, "segment:a", "vip"))
    before = await newest_profile(shop)
    assert await change(shop, takes(member_id, "segment:a", "vip")) == [True]
    assert await newest_profile(shop) == before
    assert await change(shop, takes(member_id, "segment:a", "vip")) == [False]
    assert await change(shop, takes(member_id, "kim", "vip")) == [True]
    assert await told(shop) == [("tagged", ["vip"], "kim"), ("untagged", ["vip"], "kim")]
    assert (await newest_profile(shop))["tags"] == []


async def test_each_source_has_an_expiry_of_its_own(shop: Shop) -> None:
    await shop.take(order(1))
    member_id = await shop.member_id()
    await change(shop, gives(member_id, "flash", "vip", seconds=0.0), gives(member_id, "kim", "vip"))
    assert [(tag["tag"], tag["source"]) for tag in (await shop.member())["tags"]] == [("vip", "kim")]
    assert await drop_expired(shop) == 1
    assert await told(shop) == [("tagged", ["vip"], "kim")]
    assert (await newest_profile(shop))["tags"] == ["vip"]


async def test_an_expired_tag_is_gone_at_once_and_said_to_be_gone_by_the_job(shop: Shop) -> None:
    await shop.take(order(1))
    member_id = await shop.member_id()
    await change(shop, gives(member_id, "kim", "flash", seconds=0.0))
    assert (await shop.member())["tags"] == []
    assert await drop_expired(shop) == 1
    assert await drop_expired(shop) == 0
    assert (await told(shop))[1:] == [("untagged", ["flash"], "expiry")]


async def test_the_end_of_a_tag_is_said_once_though_an_expired_row_is_left(shop: Shop) -> None:
    await shop.take(order(1))
    member_id = await shop.member_id()
    await change(shop, gives(member_id, "flash", "vip", seconds=0.0), gives(member_id, "kim", "vip"))
    await change(shop, takes(member_id, "kim", "vip"))
    assert await drop_expired(shop) == 0
    assert [kind for kind, _, _ in await told(shop)] == ["tagged", "untagged"]


async def test_a_lapsed_tag_that_is_given_again_is_said_again(shop: Shop) -> None:
    await shop.take(order(1))
    member_id = await shop.member_id()
    await change(shop, gives(member_id, "kim", "vip", seconds=0.0))
    await change(shop, gives(member_id, "kim", "vip"))
    assert await drop_expired(shop) == 0
    assert await told(shop) == [("tagged", ["vip"], "kim")] * 2
    assert (await newest_profile(shop))["tags"] == ["vip"]


async def test_a_batch_is_carried_out_in_its_order_and_says_what_is_different_at_its_end(shop: Shop) -> None:
    await shop.take(order(1))
    member_id = await shop.member_id()
    await change(shop, gives(member_id, "kim", "old"))
    await change(
        shop,
        gives(member_id, "kim", "brief"),
        takes(member_id, "kim", "brief", "old"),
        gives(member_id, "lee", "old"),
    )
    assert await told(shop) == [("tagged", ["old"], "kim")]
    assert [(tag["tag"], tag["source"]) for tag in (await shop.member())["tags"]] == [("old", "lee")]


async def test_a_member_has_no_more_tags_than_a_profile_holds(shop: Shop) -> None:
    await shop.take(order(1))
    member_id = await shop.member_id()
    fifties = [[f"t{n}" for n in range(start, start + 50)] for start in range(0, 250, 50)]
    commands = [gives(member_id, "kim", *tags) for tags in fifties]
    assert await change(shop, *commands) == [True] * 4 + ["too_many_tags"]
    assert len((await shop.member())["tags"]) == 200
    swap = TagChange(member_id, "kim", "kim", add=["x"], remove=["t0", "y"])
    too_many = TagChange(member_id, "kim", "kim", add=["y", "z"], remove=["t1"])
    assert await change(shop, swap, too_many) == [True, "too_many_tags"]
    names = {tag["tag"] for tag in (await shop.member())["tags"]}
    assert ("x" in names, "t0" in names, "t1" in names) == (True, False, True)


async def test_an_unknown_member_spares_its_neighbours(shop: Shop) -> None:
    await shop.take(order(1))
    member_id = await shop.member_id()
    assert await change(shop, gives(new_id(), "kim", "a"), gives(member_id, "kim", "a")) == [
        "member_not_found",
        True,
    ]
