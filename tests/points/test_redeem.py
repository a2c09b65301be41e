"""Redeeming: who comes first is served, and nobody gets what is not there."""

import asyncio
from uuid import uuid4

from services.points import operations
from services.points.errors import (
    InsufficientPoints,
    MemberLimitReached,
    RewardNotAvailable,
    RewardNotFound,
    RewardOutOfStock,
)
from services.points.operations import Redeemed
from shared.problems import Refusal
from tests.fixtures.moment import now
from tests.points.ledger import DAY, Books, coupon, earn_of, names, outbox


async def test_spending_takes_the_soonest_expiring_first_then_the_oldest(books: Books) -> None:
    member, reward = uuid4(), coupon(120)
    late, soon, old = (
        earn_of(member, paid_at=now()),
        earn_of(member, paid_at=now() - 100 * DAY),
        earn_of(member, paid_at=now() - 50 * DAY),
    )
    await books.add(reward)
    (_, second, third) = await books.earn(late, soon, old)
    (redeemed,) = await books.redeem((member, reward.id))
    assert isinstance(redeemed, Redeemed)
    assert redeemed.available_points == 180
    moves = await books.rows(
        "SELECT lot_id, lot_moves.points FROM lot_moves JOIN entries ON entries.id = entry_id"
        " WHERE entries.kind = 'redeem'"
    )
    assert {tuple(move) for move in moves} == {(second.entry_id, 100), (third.entry_id, 20)}
    async with books.database.reading() as session:
        (spent,) = await outbox(session, "points.redeemed")
        (granted,) = await outbox(session, "reward.granted")
    assert (spent["points"], spent["balance_points"]) == (120, 180)
    assert spent["redemption_id"] == granted["redemption_id"] == str(redeemed.redemption_id)
    assert granted["reference"] == "5-off"
    await books.assert_balanced()


async def test_within_a_batch_the_first_come_is_served(books: Books) -> None:
    rich, poor, reward = uuid4(), uuid4(), coupon(60)
    await books.add(reward)
    await books.earn(earn_of(rich), earn_of(poor, 5_900))
    results = await books.redeem(
        (rich, reward.id), (rich, reward.id), (poor, reward.id), (uuid4(), reward.id), (rich, uuid4())
    )
    assert names(results) == [
        "Redeemed",
        InsufficientPoints.__name__,
        InsufficientPoints.__name__,
        InsufficientPoints.__name__,
        RewardNotFound.__name__,
    ]
    assert isinstance(results[1], Refusal)
    assert results[1].members == {"cost_points": 60, "available_points": 40}
    await books.assert_balanced()


async def test_stock_runs_out_within_a_batch(books: Books) -> None:
    members, reward = [uuid4() for _ in range(5)], coupon(10, stock=3)
    await books.add(reward)
    await books.earn(*(earn_of(member) for member in members))
    results = await books.redeem(*((member, reward.id) for member in members))
    assert names(results) == ["Redeemed"] * 3 + [RewardOutOfStock.__name__] * 2
    async with books.database.reading() as session:
        assert (await operations.show_reward(session, reward.id)).stock == 0
    await books.assert_balanced()


async def test_last_coupon_and_many_batches_at_once(books: Books) -> None:
    members, reward = [uuid4() for _ in range(20)], coupon(10, stock=1)
    await books.add(reward)
    await books.earn(*(earn_of(member) for member in members))
    batches = await asyncio.gather(*(books.redeem((member, reward.id)) for member in members))
    assert sorted(names([result for batch in batches for result in batch])) == (
        ["Redeemed"] + [RewardOutOfStock.__name__] * 19
    )
    await books.assert_balanced()


async def test_a_member_has_a_limit_within_and_across_batches(books: Books) -> None:
    member, reward = uuid4(), coupon(10, per_member_limit=2)
    await books.add(reward)
    await books.earn(earn_of(member))
    results = await books.redeem(*[(member, reward.id)] * 3)
    results += await books.redeem((member, reward.id))
    assert names(results) == ["Redeemed"] * 2 + [MemberLimitReached.__name__] * 2


async def test_rewards_have_a_window_and_can_be_retired(books: Books) -> None:
    member = uuid4()
    past, future = coupon(ends_at=now() - DAY), coupon(starts_at=now() + DAY)
    retired, open_now = coupon(), coupon(starts_at=now() - DAY, ends_at=now() + DAY)
    await books.add(past, future, retired, open_now)
    await books.earn(earn_of(member))
    async with books.database.transaction() as session:
        await operations.retire_reward(session, retired.id)
    results = await books.redeem(*((member, reward.id) for reward in (past, future, retired, open_now)))
    assert names(results) == [RewardNotAvailable.__name__] * 3 + ["Redeemed"]


async def test_expired_points_buy_nothing_though_no_job_has_run(books: Books) -> None:
    member, reward = uuid4(), coupon(60)
    await books.add(reward)
    await books.earn(earn_of(member))
    await books.pass_time(366 * DAY)
    assert names(await books.redeem((member, reward.id))) == [InsufficientPoints.__name__]
    # The refused redemption has settled the account on its way: the points are entered as expired.
    assert (await books.summary())["due_lots"] == 0
    await books.assert_balanced()


async def test_one_member_redeeming_in_fifty_transactions_at_once_spends_once(books: Books) -> None:
    member, reward = uuid4(), coupon(100)
    await books.add(reward)
    await books.earn(earn_of(member))
    batches = await asyncio.gather(*(books.redeem((member, reward.id)) for _ in range(50)))
    assert sorted(names([result for batch in batches for result in batch])).count("Redeemed") == 1
    await books.assert_balanced()
