"""Transfers between members: what one gives the other gets, with the dates that it had."""

import asyncio
from uuid import uuid4

import pytest

from services.points import operations
from services.points.domain import ExpiryPolicy
from services.points.errors import (
    InsufficientPoints,
    InvalidPoints,
    MemberErased,
    TransferConflict,
    TransferToOneself,
)
from services.points.operations import Transfer, Transferred
from tests.fixtures.moment import now
from tests.points.ledger import DAY, Books, coupon, earn_of, names, outbox, refund_of


async def test_points_keep_their_dates(books: Books) -> None:
    giver, taker = uuid4(), uuid4()
    await books.give(giver, 50, expires_at=now() + 10 * DAY)
    await books.give(giver, 50, expires_at=None)
    result = await books.transfer(giver, taker, 70)
    assert isinstance(result, Transferred)
    assert result.available_points == 30
    ours, theirs = await books.balance(giver), await books.balance(taker)
    assert (ours.available_points, ours.transferred_points, ours.expirations) == (30, -70, [])
    assert (theirs.available_points, theirs.transferred_points) == (70, 70)
    assert theirs.expirations == [(now() + 10 * DAY, 50)]
    async with books.database.reading() as session:
        events = await outbox(session, "points.transferred")
    assert sorted(event["points"] for event in events) == [-70, 70]
    await books.assert_balanced()


@pytest.mark.parametrize("points", [0, -1, 10**15 + 1, 2**63])
async def test_zero_negative_and_absurd_amounts_are_refused(books: Books, points: int) -> None:
    giver = uuid4()
    await books.earn(earn_of(giver))
    assert isinstance(await books.transfer(giver, uuid4(), points), InvalidPoints)
    await books.assert_balanced()


async def test_who_cannot_give_does_not(books: Books) -> None:
    giver, alias = uuid4(), uuid4()
    await books.earn(earn_of(giver))
    await books.link(alias, giver, 1)
    assert isinstance(await books.transfer(giver, uuid4(), 101), InsufficientPoints)
    assert isinstance(await books.transfer(giver, giver, 10), TransferToOneself)
    assert isinstance(await books.transfer(alias, giver, 10), TransferToOneself)
    assert isinstance(await books.transfer(uuid4(), giver, 10), InsufficientPoints)
    await books.assert_balanced()


async def test_the_same_transfer_asked_again_is_made_once(books: Books) -> None:
    giver, taker, transfer_id = uuid4(), uuid4(), uuid4()
    await books.earn(earn_of(giver))
    results = await asyncio.gather(*(books.transfer(giver, taker, 60, transfer_id) for _ in range(5)))
    assert set(names(list(results))) == {"Transferred"}
    assert isinstance(await books.transfer(giver, taker, 10, transfer_id), TransferConflict)
    assert (await books.balance(taker)).available_points == 60
    await books.assert_balanced()


async def test_a_transfer_under_an_id_that_went_to_somebody_else_is_a_conflict(books: Books) -> None:
    giver, taker, other = uuid4(), uuid4(), uuid4()
    await books.earn(earn_of(giver))
    first = Transfer(giver, taker, 10, "gift", "test", uuid4())
    async with books.database.transaction() as session:
        results = await operations.transfer(session, [first, first._replace(to_id=other)])
    assert [type(result) for result in results] == [Transferred, TransferConflict]
    async with books.database.transaction() as session:
        results = await operations.transfer(session, [first._replace(to_id=other), first])
    assert [type(result) for result in results] == [TransferConflict, Transferred]
    assert (await books.balance(taker)).available_points == 10
    await books.assert_balanced()


async def test_nobody_gives_to_a_member_who_was_erased(books: Books) -> None:
    giver, gone, alias = uuid4(), uuid4(), uuid4()
    await books.earn(earn_of(giver))
    await books.link(alias, gone, 1)
    async with books.database.transaction() as session:
        await operations.erase_members(session, [(gone, now())])
    for taker in (gone, alias):
        assert isinstance(await books.transfer(giver, taker, 10), MemberErased)
    assert (await books.balance(giver)).available_points == 100
    await books.assert_balanced()


async def test_a_batch_passes_points_on(books: Books) -> None:
    first, second, third = uuid4(), uuid4(), uuid4()
    await books.earn(earn_of(first), earn_of(second, 1_000))
    commands = [
        Transfer(first, second, 80, "A present", "test"),
        Transfer(second, third, 90, "A present", "test"),
        Transfer(second, third, 1, "A present", "test"),
    ]
    async with books.database.transaction() as session:
        results = await operations.transfer(session, commands)
    assert names(results) == ["Transferred", "Transferred", "InsufficientPoints"]
    assert (await books.balance(third)).available_points == 90
    await books.assert_balanced()


async def test_what_is_passed_on_at_once_is_what_expires_soonest(books: Books) -> None:
    first, second, third = uuid4(), uuid4(), uuid4()
    sooner, later = now() + 10 * DAY, now() + 100 * DAY
    await books.give(first, 40, expires_at=sooner)
    await books.give(second, 50, expires_at=later)
    commands = [Transfer(first, second, 40, "A present", "test"), Transfer(second, third, 60, "", "test")]
    async with books.database.transaction() as session:
        await operations.transfer(session, commands)
    assert (await books.balance(third)).expirations == [(sooner, 40), (later, 20)]
    await books.assert_balanced()


async def test_what_somebody_gets_repays_their_debt_first(books: Books) -> None:
    giver, taker, reward = uuid4(), uuid4(), coupon(100)
    await books.add(reward)
    order = earn_of(taker)
    await books.earn(order, earn_of(giver))
    await books.redeem((taker, reward.id))
    await books.refund(refund_of(order, 4_000))
    await books.transfer(giver, taker, 100)
    balance = await books.balance(taker)
    assert (balance.available_points, balance.debt_points) == (60, 0)
    await books.assert_balanced()


async def test_both_ways_at_once_never_wait_for_each_other(books: Books) -> None:
    one, other = uuid4(), uuid4()
    await books.earn(earn_of(one), earn_of(other))
    await asyncio.gather(
        *(books.transfer(one, other, 5) if turn % 2 else books.transfer(other, one, 5) for turn in range(40))
    )
    assert (await books.balance(one)).available_points == 100
    await books.assert_balanced()


async def test_points_that_expire_after_inactivity_go_on_doing_so(books: Books) -> None:
    giver, taker = uuid4(), uuid4()
    await books.give(giver, 50, policy=ExpiryPolicy.parse("sliding:30d"))
    await books.transfer(giver, taker, 20)
    assert (await books.balance(taker)).expirations == [(now() + 30 * DAY, 20)]
    await books.pass_time(31 * DAY)
    assert (await books.balance(taker)).available_points == 0
    await books.expire()
    assert (await books.balance(taker)).expired_points == 20
    await books.assert_balanced()
