"""What is said about members one by one: consent, tags, attributes, tiers."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from services.members import operations
from services.members.domain import Level, Statement
from services.members.jobs import jobs
from services.members.operations import ConsentRecorded, ProfileChange
from shared.ids import new_id
from shared.problems import Refusal
from tests.members.shop import Shop, order

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def said(member_id: UUID, granted: bool, days: int, purpose: str = "marketing") -> Statement:
    return Statement(member_id, "email", purpose, granted, NOW + timedelta(days=days), "h1", "form", "kim")


async def record(shop: Shop, *statements: Statement) -> list[ConsentRecorded | Refusal]:
    async with shop.database.transaction() as session:
        return await operations.record_consents(session, statements)


async def run_job(shop: Shop, name: str) -> int:
    (job,) = [job for job in jobs if job.name == name]
    return await job.work(shop.database)


async def test_the_latest_consent_holds_and_all_are_on_record(shop: Shop) -> None:
    await shop.take(order(1))
    member_id = await shop.member_id()
    results = await record(
        shop, said(member_id, True, 1), said(member_id, False, 3), said(member_id, True, 2)
    )
    assert [not isinstance(each, Refusal) and each.granted for each in results] == [True, False, True]
    assert [event["granted"] for _, _, event in await shop.said("member.consent_changed")] == [True, False]
    assert await shop.rows("SELECT granted, wording_hash, actor FROM consent_log ORDER BY stated_at") == [
        (True, "h1", "kim"),
        (True, "h1", "kim"),
        (False, "h1", "kim"),
    ]
    await record(shop, said(member_id, True, 2))
    assert await shop.rows("SELECT granted FROM consents") == [(False,)]
    assert await shop.rows("SELECT count(*) FROM consent_log") == [(3,)]


async def test_a_late_consent_is_answered_by_a_profile_that_says_what_holds(shop: Shop) -> None:
    await shop.take(order(1))
    member_id = await shop.member_id()
    await record(shop, said(member_id, True, 1))
    await record(shop, said(member_id, True, 5))
    await record(shop, said(member_id, False, 3))
    profiles = [event for _, _, event in await shop.said("member.profile")]
    assert [len(profile["consents"]) for profile in profiles] == [0, 1, 1]
    assert profiles[-1]["consents"][0]["granted"] is True
    assert profiles[-1]["consents"][0]["changed_at"] == "2026-03-06T00:00:00Z"


async def test_an_unknown_member_spares_its_neighbours(shop: Shop) -> None:
    await shop.take(order(1))
    results = await record(shop, said(new_id(), True, 1), said(await shop.member_id(), True, 1))
    assert [isinstance(result, Refusal) for result in results] == [True, False]


async def test_a_profile_is_changed_and_a_value_taken_away(shop: Shop) -> None:
    await shop.take(order(1, customer={"locale": "en", "country": "US"}))
    member_id = await shop.member_id()
    async with shop.database.transaction() as session:
        change = ProfileChange(member_id, {"locale": None, "display_name": "Kim"}, NOW)
        await operations.change_profiles(session, [change], actor="kim")
    await shop.take(order(2, customer={"locale": "fr"}))
    member = await shop.member()
    assert (member["locale"], member["country"], member["display_name"]) == (None, "US", "Kim")


async def test_a_new_tier_table_moves_everybody_it_says_it_will(shop: Shop) -> None:
    await shop.take(order(1, "a", 30_000), order(2, "b", 60_000), order(3, "c", 100))
    async with shop.database.transaction() as session:
        change = await operations.replace_tiers(
            session, [Level("base", 0, 0), Level("club", 1, 50_000), Level("star", 5, 55_000)], actor="kim"
        )
    assert (change.ladder.version, change.up, change.down) == (2, 1, 1)
    assert change.moves == {("silver", "base"): 1, ("gold", "star"): 1}
    assert await run_job(shop, "rejudge_members") == 3
    assert await run_job(shop, "rejudge_members") == 0
    moves = await shop.said("member.tier_upgraded", "member.tier_downgraded")
    assert [(kind, move["to_tier"]) for kind, _, move in moves if move["reason"] == "tier_table"] == [
        ("member.tier_downgraded", "base"),
        ("member.tier_upgraded", "star"),
    ]
    await shop.audit()


async def test_an_order_before_the_job_is_judged_by_the_new_table(shop: Shop) -> None:
    await shop.take(order(1, "a", 30_000))
    async with shop.database.transaction() as session:
        await operations.replace_tiers(
            session, [Level("base", 0, 100), Level("club", 1, 31_000)], actor="kim"
        )
    await shop.take(order(2, "a", 1_000), order(3, "new", 50))
    assert (await shop.member("a"))["tier"] == "club"
    assert (await shop.member("new"))["tier"] is None
    assert await run_job(shop, "rejudge_members") == 0
    await shop.audit()


async def test_folding_leaves_the_figures_as_they_are(shop: Shop) -> None:
    for number in range(5):
        await shop.take(order(number, f"c{number}"))
    before = await shop.summary()
    assert await run_job(shop, "fold_tallies") > 0
    assert await shop.summary() == before
    assert await run_job(shop, "fold_tallies") == 0
    await shop.audit()
