"""Trials of earning rules: which tiers members would hold, and that none of it comes to pass."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

from services.members import operations
from services.members.domain import Erasure, Level, Policy
from shared.events import Recount, RecountedOrder, TrialRecounted
from shared.ids import new_id
from tests.fixtures.moment import now
from tests.members.shop import Shop, order
from tests.members.test_program import LEVELS, ROLLING, ago, earned, hear, lock, program

BY_POINTS = [
    Level("bronze", 0, 0),
    Level("silver", 1, None, min_points=500),
    Level("gold", 2, None, min_points=900),
]


async def recount(shop: Shop, changes: Mapping[UUID, list[tuple[float, int]]]) -> list[tuple[Any, ...]]:
    """Let members hear what would have been earned so many days ago; return what it answers."""
    await hear(
        shop,
        TrialRecounted(
            back_test_id=UUID(int=7),
            part=3,
            members=[
                Recount(
                    member_id=member_id,
                    changes=[
                        RecountedOrder(at=now() - timedelta(days=days), points=points)
                        for days, points in orders
                    ],
                )
                for member_id, orders in changes.items()
            ],
        ),
    )
    said = [answer for _, _, answer in await shop.said("trial.tiers_judged")]
    assert {(answer["back_test_id"], answer["part"]) for answer in said} == {(str(UUID(int=7)), 3)}
    moves = said[-1]["moves"]
    return sorted((move.get("from_tier"), move["to_tier"], move["is_up"], move["members"]) for move in moves)


async def members_with_points(shop: Shop, policy: Policy, **points: int) -> dict[str, UUID]:
    await program(shop, policy, BY_POINTS)
    await shop.take(*(order(name, name, total_minor=100, placed_at=ago(5)) for name in points))
    ids = {name: await shop.member_id(name) for name in points}
    await hear(shop, *(earned(ids[name], amount, 5) for name, amount in points.items()))
    return ids


async def test_members_move_up_and_down_with_their_points_and_only_on_paper(shop: Shop) -> None:
    ids = await members_with_points(shop, ROLLING, kim=400, lee=500, max=950, ann=950)
    before = await shop.rows("SELECT id, tier, revision FROM members ORDER BY id")
    moves = await recount(
        shop,
        {
            ids["kim"]: [(5, 60), (5, 40)],
            ids["lee"]: [(5, 399)],
            ids["max"]: [(5, -100)],
            # What fell out of the window does not matter.
            ids["ann"]: [(200, -900)],
            new_id(): [(5, 1_000)],
        },
    )
    assert moves == [("bronze", "silver", True, 1), ("gold", "silver", False, 1)]
    assert await shop.rows("SELECT id, tier, revision FROM members ORDER BY id") == before
    assert await shop.said("member.tier_downgraded") == []


async def test_a_grace_for_refunds_is_none_for_what_would_never_have_been_earned(shop: Shop) -> None:
    ids = await members_with_points(shop, Policy(refund_grace_days=None), kim=600, lee=500, max=700)
    await lock(shop, "silver", customer="max")
    moves = await recount(shop, {ids["kim"]: [(5, -200)], ids["lee"]: [(5, 1)], ids["max"]: [(5, -700)]})
    assert moves == [("silver", "bronze", False, 1)]


async def test_ids_of_one_person_count_together_and_who_is_erased_not_at_all(shop: Shop) -> None:
    ids = await members_with_points(shop, Policy(), kim=300, lee=300, max=0)
    await shop.merge("kim", "lee")
    moves = await recount(shop, {ids["kim"]: [(5, 200)], ids["lee"]: [(5, 200)]})
    assert moves == [("silver", "gold", True, 1)]
    async with shop.database.transaction() as session:
        await operations.erase_members(session, [Erasure(ids["max"])], actor="kim")
    assert await recount(shop, {ids["max"]: [(5, 1_000)]}) == []


async def test_a_table_that_asks_for_no_points_moves_nobody(shop: Shop) -> None:
    await program(shop, ROLLING, LEVELS)
    await shop.take(order(1, total_minor=100))
    assert await recount(shop, {await shop.member_id(): [(5, 100_000)]}) == []
