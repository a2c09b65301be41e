"""Tiers and stages through the operations: windows over real orders, jobs, locks, purchases, histories."""

import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from services.members import operations
from services.members.domain import Level, LifecycleRules, Period, Policy, Window
from services.members.handlers import handlers
from services.members.jobs import jobs
from services.members.operations import Standing, TierLock, TierPurchase
from shared.events import Envelope, Event, PointsClawedBack, PointsEarned, RewardGranted
from shared.ids import new_id
from tests.fixtures.moment import now, today
from tests.members.shop import Shop, cancellation, order, refund

LEVELS = [Level("bronze", 0, 0), Level("silver", 1, 20_000), Level("gold", 2, 50_000)]
ROLLING = Policy(window=Window("rolling_days", 90), period=Period("months", 3))


def ago(days: float) -> str:
    return (now() - timedelta(days=days)).isoformat()


def ahead(days: float) -> datetime:
    return now() + timedelta(days=days)


async def program(shop: Shop, policy: Policy = ROLLING, levels: Sequence[Level] = LEVELS) -> None:
    async with shop.database.transaction() as session:
        await operations.replace_tiers(session, levels, policy, actor="kim")


async def look(shop: Shop, as_of: datetime) -> int:
    async with shop.database.transaction() as session:
        return await operations.look_at_tiers(session, limit=100, as_of=as_of)


async def judge_stages(shop: Shop, as_of: datetime) -> int:
    async with shop.database.transaction() as session:
        return await operations.judge_stages(session, limit=100, as_of=as_of)


async def run_job(shop: Shop, name: str) -> int:
    (job,) = [job for job in jobs if job.name == name]
    return await job.work(shop.database)


async def standing(shop: Shop, customer: str = "kim") -> Standing:
    member_id = await shop.member_id(customer)
    async with shop.database.reading() as session:
        return await operations.read_standing(session, member_id)


async def hear(shop: Shop, *events: Event) -> None:
    async with shop.database.transaction() as session:
        envelopes: list[Envelope[Any]] = [
            Envelope(id=new_id(), type=each.type, source="points", time=now(), key=each.key, data=each)
            for each in events
        ]
        await handlers.dispatch(session, envelopes)


async def tiers_said(shop: Shop) -> list[tuple[str, Any]]:
    said = await shop.said()
    return [
        (kind.removeprefix("member.tier_"), event.get("to_tier", event.get("tier")))
        for kind, _, event in said
        if kind.startswith("member.tier_")
    ]


# Windows.


async def test_an_order_before_the_window_counts_nothing_and_one_in_it_does(shop: Shop) -> None:
    await program(shop)
    await shop.take(order(1, total_minor=30_000, placed_at=ago(120)))
    assert (await shop.member())["tier"] == "bronze"
    await shop.take(order(2, total_minor=20_000, placed_at=ago(10)))
    assert (await shop.member())["tier"] == "silver"
    ((_, _, up),) = await shop.said("member.tier_upgraded")
    assert (up["reason"], up["window_spend_minor"]) == ("spend", 20_000)
    assert up["until"] is not None


async def test_the_period_ends_by_the_job_and_shows_before_it(shop: Shop) -> None:
    await program(shop)
    await shop.take(order(1, total_minor=50_000, placed_at=ago(1)))
    ends_at = (await standing(shop)).tier.ends_at
    assert ends_at is not None
    assert await look(shop, ends_at - timedelta(seconds=1)) == 0
    assert await look(shop, ends_at) == 1
    assert await look(shop, ends_at) == 0
    assert await tiers_said(shop) == [("upgraded", "gold"), ("downgraded", "bronze")]
    assert (await shop.member())["tier"] == "bronze"


async def test_a_tier_earned_again_is_prolonged_and_on_record(shop: Shop) -> None:
    await program(shop)
    await shop.take(order(1, total_minor=50_000, placed_at=ago(60)))
    # As if the tier had been reached three months ago.
    async with shop.database.transaction() as session:
        await session.execute(text("UPDATE tier_terms SET ends_at = :day"), {"day": today()})
    await shop.take(order(2, total_minor=1, placed_at=ago(0)))
    assert [kind for kind, _ in await tiers_said(shop)] == ["upgraded", "prolonged"]
    member_id = await shop.member_id()
    async with shop.database.reading() as session:
        rows = await operations.read_tier_history(session, member_id, before=None, limit=10)
    assert [(row["kind"], row["reason"]) for row in rows] == [("prolonged", "earned"), ("upgraded", "spend")]


async def test_a_refund_after_an_upgrade_is_announced_and_an_order_in_the_grace_cancels_it(
    shop: Shop,
) -> None:
    await program(shop, Policy(window=Window("rolling_days", 90), refund_grace_days=10))
    await shop.take(order(1, total_minor=50_000, placed_at=ago(5)))
    await shop.refund(refund(1, "r", 40_000, refunded_at=ago(0)))
    assert (await shop.member())["tier"] == "gold"
    place = (await standing(shop)).tier
    assert place.falls_at is not None
    assert place.falls_reason == "refund"
    await shop.take(order(2, total_minor=40_000, placed_at=ago(0)))
    assert await look(shop, place.falls_at) == 0
    assert await tiers_said(shop) == [("upgraded", "gold"), ("at_risk", "bronze"), ("retained", "gold")]


async def test_a_refund_whose_grace_passes_takes_the_tier(shop: Shop) -> None:
    await program(shop, Policy(refund_grace_days=10))
    await shop.take(order(1, total_minor=50_000, placed_at=ago(5)))
    await shop.refund(refund(1, "r", 40_000, refunded_at=ago(0)))
    falls_at = (await standing(shop)).tier.falls_at
    assert falls_at is not None
    assert await look(shop, falls_at) == 1
    assert (await shop.member())["tier"] == "bronze"
    ((_, _, down),) = await shop.said("member.tier_downgraded")
    assert datetime.fromisoformat(down["changed_at"]) == falls_at
    await shop.audit()


async def test_orders_qualify_and_a_refunded_or_cancelled_one_counts_nothing(shop: Shop) -> None:
    levels = [Level("bronze", 0, 0), Level("regular", 1, None, min_orders=3)]
    for policy in (Policy(), ROLLING):
        await program(shop, policy, levels)
        buyer = policy.window.kind
        numbers = [f"{buyer}{number}" for number in range(3)]
        await shop.take(*(order(number, buyer, 100, placed_at=ago(3)) for number in numbers))
        assert (await shop.member(buyer))["tier"] == "regular"
        await shop.refund(refund(numbers[0], "r", 100, refunded_at=ago(0)))
        assert (await shop.member(buyer))["tier"] == "bronze"
        await shop.take(order(f"{buyer}9", buyer, 100, currency="JPY", placed_at=ago(1)))
        assert (await shop.member(buyer))["tier"] == "regular"
        await shop.cancel(cancellation(numbers[1], cancelled_at=ago(0)))
        assert (await shop.member(buyer))["tier"] == "bronze"


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("policy", [Policy(), ROLLING], ids=["since joining", "rolling"])
async def test_shuffled_and_repeated_delivery_comes_to_the_same(
    shop: Shop, seed: int, policy: Policy
) -> None:
    await program(shop, policy, [*LEVELS[:2], Level("gold", 2, 50_000, min_orders=6)])
    chance = random.Random(seed)
    buyers = ("a", "b", "c")
    documents = [
        order(n, buyers[n % 3], 7_000 + n, placed_at=ago(4 * n % 110 + 0.001 * n)) for n in range(24)
    ]
    refunds = [refund(n, "r", 7_000 + n, refunded_at=ago(0)) for n in range(0, 24, 5)]
    steps = [("take", each) for each in documents * 3] + [("refund", each) for each in refunds * 3]
    chance.shuffle(steps)
    for verb, document in steps:
        await (shop.take(document) if verb == "take" else shop.refund(document))
    await judge_stages(shop, ahead(1))
    # What each buyer kept decides, in the window or since joining; and the stages are those of the orders.
    first = now() - timedelta(days=89) if policy is ROLLING else datetime(2000, 1, 1, tzinfo=UTC)
    for index, buyer in enumerate(buyers):
        kept = [
            each["lines"][0]["unit_price_minor"]
            for n, each in enumerate(documents)
            if n % 3 == index and n % 5 and datetime.fromisoformat(each["placed_at"]).date() >= first.date()
        ]
        earned = (
            "gold" if sum(kept) >= 50_000 or len(kept) >= 6 else "silver" if sum(kept) >= 20_000 else "bronze"
        )
        assert (await shop.member(buyer))["tier"] == earned
        (stored,) = await shop.rows(
            "SELECT m.stage, m.stage_since FROM members AS m JOIN identities AS i ON i.member_id = m.id"
            f" WHERE i.external_id = '{buyer}'"
        )
        assert stored == await _folded(shop, buyer)
    assert len(await shop.said("order.paid")) == 24


async def _folded(shop: Shop, buyer: str) -> tuple[str, Any]:
    from services.members.domain.lifecycle import fold

    rows = await shop.rows(
        "SELECT o.paid_at FROM orders AS o JOIN identities AS i USING (member_id)"
        f" WHERE i.external_id = '{buyer}' AND o.refunded_minor = 0"
    )
    rhythm = fold([paid_at for (paid_at,) in rows], LifecycleRules(), ahead(1))
    assert rhythm is not None
    return rhythm.stage, rhythm.since


# Points earned.


def earned(member_id: UUID, points: int, days: float, order_id: UUID | None = None) -> PointsEarned:
    return PointsEarned(
        member_id=member_id,
        entry_id=new_id(),
        order_id=order_id,
        points=points,
        reason="order",
        rule_version=1,
        earned_at=now() - timedelta(days=days),
        balance_points=0,
    )


async def test_points_earned_reach_a_tier_and_clawed_back_ones_were_never_earned(shop: Shop) -> None:
    levels = [Level("bronze", 0, 0), Level("gold", 2, None, min_points=500)]
    await shop.take(
        order(1, total_minor=100, placed_at=ago(100)), order(2, total_minor=100, placed_at=ago(3))
    )
    member_id = await shop.member_id()
    ((old,), (new,)) = await shop.rows("SELECT id FROM orders ORDER BY placed_at")
    # Heard before any table asks for points, and kept all the same.
    await hear(shop, earned(member_id, 400, 100, old), earned(member_id, 300, 3, new), earned(new_id(), 9, 1))
    await program(shop, ROLLING, levels)
    await run_job(shop, "rejudge_members")
    assert (await shop.member())["tier"] == "bronze"
    await hear(shop, earned(member_id, 200, 0))
    assert (await shop.member())["tier"] == "gold"
    clawed = PointsClawedBack(
        member_id=member_id,
        entry_id=new_id(),
        order_id=new,
        refund_id="r",
        points=300,
        clawed_back_at=now(),
        balance_points=0,
    )
    await hear(shop, clawed)
    assert (await shop.member())["tier"] == "bronze"
    assert await shop.rows(f"SELECT sum(points) FROM points_by_day WHERE member_id = '{member_id}'") == [
        (600,)
    ]
    place = (await standing(shop)).tier
    assert place.figures.points == 200
    assert place.missing is not None
    assert place.missing.points == 300


async def test_points_since_joining_reach_a_tier_with_the_next_event(shop: Shop) -> None:
    await program(shop, Policy(), [Level("bronze", 0, 0), Level("gold", 2, None, min_points=500)])
    await shop.take(order(1, total_minor=100, placed_at=ago(3)))
    member_id = await shop.member_id()
    await hear(shop, earned(member_id, 400, 3), earned(member_id, 99, 2))
    assert (await shop.member())["tier"] == "bronze"
    await hear(shop, earned(member_id, 1, 1))
    assert (await shop.member())["tier"] == "gold"


# Locks and purchases.


async def lock(shop: Shop, tier: str | None, until: datetime | None = None, customer: str = "kim") -> Any:
    command = TierLock(await shop.member_id(customer), tier, until, "kim", "an old friend")
    async with shop.database.transaction() as session:
        verb = operations.lock_tiers if tier else operations.unlock_tiers
        (result,) = await verb(session, [command])
    return None if result is None else result.code


async def test_a_lock_holds_against_orders_and_the_new_table_and_is_on_record(shop: Shop) -> None:
    await shop.take(order(1, total_minor=100))
    assert await lock(shop, "diamond") == "unknown_tier"
    assert await lock(shop, "gold", ahead(-1)) == "lock_ended"
    assert await lock(shop, "gold") is None
    await shop.take(order(2, total_minor=900_000))
    await program(shop, ROLLING, LEVELS)
    await run_job(shop, "rejudge_members")
    assert (await shop.member())["tier"] == "gold"
    assert await lock(shop, None) is None
    assert (await shop.member())["tier"] == "bronze"
    rows = await shop.rows("SELECT kind, actor, reason FROM tier_history ORDER BY id")
    assert [row for row in rows if row[0] in ("locked", "unlocked")] == [
        ("locked", "kim", "an old friend"),
        ("unlocked", "kim", "an old friend"),
    ]


async def test_a_lock_that_ends_by_itself(shop: Shop) -> None:
    await shop.take(order(1, total_minor=100))
    assert await lock(shop, "gold", ahead(30)) is None
    assert await look(shop, ahead(29)) == 0
    assert await look(shop, ahead(31)) == 1
    assert (await shop.member())["tier"] == "bronze"


def granted(member_id: UUID, tier: str | None, kind: str = "tier_upgrade") -> RewardGranted:
    return RewardGranted(
        member_id=member_id,
        redemption_id=new_id(),
        reward_id=new_id(),
        reward_kind=kind,
        reference=tier,
        granted_at=now(),
    )


async def test_a_bought_tier_is_given_and_one_that_makes_no_sense_is_declined(shop: Shop) -> None:
    await program(shop)
    await shop.take(order(1, total_minor=100, placed_at=ago(1)))
    member_id = await shop.member_id()
    stranger, unknown = granted(new_id(), "gold"), granted(member_id, "diamond")
    again = granted(member_id, "silver")
    bought = granted(member_id, "gold")
    await hear(shop, bought, stranger, unknown, again)
    member = await shop.member()
    assert member["tier"] == "gold"
    ((_, _, up),) = await shop.said("member.tier_upgraded")
    assert (up["reason"], up["redemption_id"]) == ("purchase", str(bought.redemption_id))
    declined = await shop.said("member.tier_purchase_declined")
    assert {(event["redemption_id"], event["reason"]) for _, _, event in declined} == {
        (str(stranger.redemption_id), "unknown_member"),
        (str(unknown.redemption_id), "unknown_tier"),
        (str(again.redemption_id), "not_higher"),
    }
    assert await shop.rows("SELECT count(*), count(declined_reason) FROM tier_purchases") == [(4, 3)]
    assert not handlers.wants(granted(member_id, "x", "coupon"))


async def test_purchases_come_one_by_one_in_a_batch(shop: Shop) -> None:
    await shop.take(order(1, total_minor=100))
    member_id = await shop.member_id()
    commands = [TierPurchase(new_id(), member_id, tier) for tier in ("silver", "gold", "gold")]
    async with shop.database.transaction() as session:
        assert await operations.take_tier_purchases(session, commands) == [None, None, "not_higher"]


# The new table.


async def test_the_preview_names_whom_the_table_moves_then(shop: Shop) -> None:
    await shop.take(
        *(order(number, f"c{number}", 10_000 * number, placed_at=ago(number * 40)) for number in range(1, 8))
    )
    async with shop.database.reading() as session:
        found, last = await operations.preview_tiers(session, LEVELS, ROLLING, after=None, limit=2)
        rest, end = await operations.preview_tiers(session, LEVELS, ROLLING, after=last, limit=100)
    assert end is None
    previewed = {each.member_id: each.to_tier for each in [*found, *rest]}
    async with shop.database.transaction() as session:
        change = await operations.replace_tiers(session, LEVELS, ROLLING, actor="kim")
    assert (change.moves.total(), change.up, change.down) == (len(previewed), 0, len(previewed))
    while await run_job(shop, "rejudge_members"):
        pass
    moved = {
        UUID(event["member_id"]): event["to_tier"]
        for _, _, event in await shop.said("member.tier_downgraded")
    }
    assert moved == previewed


async def test_what_a_new_table_makes_of_a_tier_that_is_kept_is_said_once(shop: Shop) -> None:
    """Points multiply by what was said last, and open rewards to tiers by their names."""
    await shop.take(order(1), order(2, "lee", 50_000), order(3, "ann", 20_000))

    async def table(name: str, percent: int) -> list[tuple[str, Any, Any]]:
        gold = Level("gold", 2, 50_000, {"points_multiplier_percent": percent})
        async with shop.database.transaction() as session:
            levels = [Level("bronze", 0, 0), Level(name, 1, 20_000), gold]
            await operations.replace_tiers(session, levels, actor="kim")
        while await run_job(shop, "rejudge_members"):
            pass
        said = await shop.said("member.tier_redefined", "member.tier_upgraded", "member.tier_downgraded")
        return [
            (key, event.get("tier"), event.get("points_multiplier_percent")) for _, key, event in said[2:]
        ]

    lee, ann = str(await shop.member_id("lee")), str(await shop.member_id("ann"))
    assert await table("silver", 200) == [(lee, "gold", 200)]
    assert (await table("argent", 200))[1:] == [(ann, "argent", None)]
    assert len(await table("argent", 200)) == 2
    assert (await shop.member("ann"))["tier"] == "argent"
    # Who has missed a table learns of it from the next.
    async with shop.database.transaction() as session:
        for percent in (300, 300):
            gold = Level("gold", 2, 50_000, {"points_multiplier_percent": percent})
            levels = [Level("bronze", 0, 0), Level("argent", 1, 20_000), gold]
            await operations.replace_tiers(session, levels, actor="kim")
    await shop.take(order(4, "lee", 100))
    assert (await table("argent", 300))[2:] == [(lee, "gold", 300)]


async def test_everybody_joins_with_what_the_first_tier_makes_of_points(shop: Shop) -> None:
    async with shop.database.transaction() as session:
        levels = [Level("bronze", 0, 0, {"points_multiplier_percent": 110})]
        await operations.replace_tiers(session, levels, actor="kim")
    await shop.take(order(1))
    assert [event["points_multiplier_percent"] for _, _, event in await shop.said("member.created")] == [110]


async def test_a_loss_that_a_new_floor_prevents_is_off_and_not_due_again(shop: Shop) -> None:
    await program(shop, Policy(refund_grace_days=10))
    await shop.take(order(1, total_minor=50_000, placed_at=ago(5)))
    await shop.refund(refund(1, "r", 40_000, refunded_at=ago(0)))
    await program(shop, Policy(refund_grace_days=10, floor="gold"))
    await run_job(shop, "rejudge_members")
    assert await look(shop, ahead(30)) == 0
    assert (await shop.member())["tier"] == "gold"
    assert [kind for kind, _ in await tiers_said(shop)] == ["upgraded", "at_risk", "retained"]
