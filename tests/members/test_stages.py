"""Lifecycle stages through the operations: with the batch, by the job, by new rules, and on record."""

import random
from datetime import timedelta

from sqlalchemy import text

from services.members import operations
from services.members.domain import LifecycleRules
from tests.fixtures.moment import now
from tests.members.shop import Shop, cancellation, order
from tests.members.test_program import ago, ahead, judge_stages, run_job, standing


async def stages_said(shop: Shop) -> list[tuple[str, str, str]]:
    return [
        (event["from_stage"], event["to_stage"], event["reason"])
        for _, _, event in await shop.said("member.stage_changed")
    ]


async def test_news_is_judged_with_its_batch(shop: Shop) -> None:
    await shop.take(order(1, placed_at=ago(100)))
    await shop.take(order(2, placed_at=ago(60)), order(3, placed_at=ago(0.1)))
    assert (await standing(shop)).stage.stage == "development"
    assert await stages_said(shop) == [("identification", "development", "purchase")]


async def test_an_import_of_years_says_one_stage_and_reads_are_right_before_it(shop: Shop) -> None:
    documents = [order(number, placed_at=ago(900 - 45 * number)) for number in range(10)]
    random.Random(7).shuffle(documents)
    for document in documents:
        await shop.take(document)
    assert await stages_said(shop) == []
    assert (await standing(shop)).stage.stage == "lost"
    assert await judge_stages(shop, now()) == 0
    assert await judge_stages(shop, ahead(1)) == 1
    assert await judge_stages(shop, ahead(1)) == 0
    assert await stages_said(shop) == [("identification", "lost", "history")]


async def test_time_alone_moves_a_member_and_a_purchase_brings_it_back(shop: Shop) -> None:
    await shop.take(order(1, placed_at=ago(0.5)))
    declines_at = (await standing(shop)).stage.next_at
    assert declines_at is not None
    assert await judge_stages(shop, declines_at - timedelta(hours=1)) == 0
    assert await judge_stages(shop, declines_at) == 1
    assert await stages_said(shop) == [("identification", "decline", "recency")]
    member_id = await shop.member_id()
    async with shop.database.reading() as session:
        (row,) = await operations.read_stage_history(session, member_id, before=None, limit=10)
    assert (row["to_stage"], row["purchases"], row["at"]) == ("decline", 1, declines_at)


async def test_a_cancelled_purchase_is_taken_out_of_the_rhythm(shop: Shop) -> None:
    await shop.take(order(1, placed_at=ago(60)), order(2, placed_at=ago(0.2)))
    assert (await standing(shop)).stage.stage == "development"
    await shop.cancel(cancellation(2, cancelled_at=ago(0)))
    assert (await standing(shop)).stage.purchases == 1
    assert await run_job(shop, "judge_stages") == 1
    assert (await stages_said(shop))[-1][:2] == ("development", "identification")


async def test_new_rules_reach_everybody_and_name_their_strategies(shop: Shop) -> None:
    await shop.take(*(order(number, f"c{number}", placed_at=ago(0.5)) for number in range(3)))
    rules = LifecycleRules(typical_interval_days=0.1, dwell_days=0, strategies={"lost": "farewell"})
    async with shop.database.transaction() as session:
        assert (await operations.replace_lifecycle(session, rules, actor="kim")).version == 2
    assert await run_job(shop, "sweep_stages") == 3
    assert await run_job(shop, "sweep_stages") == 0
    said = await shop.said("member.stage_changed")
    assert {(event["to_stage"], event["reason"], event["strategy"]) for _, _, event in said} == {
        ("lost", "rules", "farewell")
    }


async def test_a_look_that_finds_nothing_to_say_is_not_due_again(shop: Shop) -> None:
    """A member who is lost already: the job looks once, and not for ever."""
    await shop.take(order(1, placed_at=ago(900)))
    assert await judge_stages(shop, ahead(1)) == 1
    async with shop.database.transaction() as session:
        await session.execute(text("UPDATE members SET stage_look_at = clock_timestamp()"))
    assert await judge_stages(shop, ahead(1)) == 1
    assert await judge_stages(shop, ahead(1)) == 0
