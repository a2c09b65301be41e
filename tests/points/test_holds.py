"""Holds: what is promised to one cart is promised to no other, and waits for it."""

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from services.points import operations
from services.points.errors import (
    HoldAlreadyCaptured,
    HoldAlreadyVoided,
    HoldConflict,
    HoldExceeded,
    HoldExpired,
    HoldInThePast,
    HoldNotFound,
    InsufficientPoints,
    InvalidPoints,
)
from services.points.operations import Held, Hold
from tests.fixtures.moment import now
from tests.points.ledger import DAY, Books, coupon, earn_of, names, outbox, refund_of

HOUR = timedelta(hours=1)


async def held(books: Books, member: UUID, points: int, *, minutes: int = 30) -> UUID:
    result = await books.hold(member, points, minutes=minutes)
    assert isinstance(result, Held), result
    return result.hold_id


async def test_held_points_are_promised_once(books: Books) -> None:
    member, reward = uuid4(), coupon(60)
    await books.add(reward)
    await books.earn(earn_of(member))
    first = await books.hold(member, 70)
    assert isinstance(first, Held)
    assert (first.status, first.available_points) == ("held", 30)
    second = await books.hold(member, 31)
    assert isinstance(second, InsufficientPoints)
    assert second.members == {"wanted_points": 31, "available_points": 30}
    assert names(await books.redeem((member, reward.id))) == [InsufficientPoints.__name__]
    balance = await books.balance(member)
    assert (balance.available_points, balance.held_points) == (30, 70)
    assert balance.expirations == [(now() + 365 * DAY, 100)]
    await books.assert_balanced()


async def test_capture_spends_what_was_held(books: Books) -> None:
    member = uuid4()
    await books.earn(earn_of(member))
    hold_id = await held(books, member, 70)
    result = await books.capture(hold_id)
    assert isinstance(result, Held)
    assert (result.status, result.captured_points, result.available_points) == ("captured", 70, 30)
    balance = await books.balance(member)
    assert (balance.available_points, balance.held_points, balance.spent_points) == (30, 0, 70)
    async with books.database.reading() as session:
        (event,) = await outbox(session, "points.captured")
        assert await outbox(session, "points.released") == []
    assert (event["points"], event["balance_points"]) == (70, 30)
    await books.assert_balanced()


async def test_partial_capture_releases_the_rest(books: Books) -> None:
    member = uuid4()
    await books.give(member, 50, expires_at=now() + 10 * DAY)
    await books.give(member, 50, expires_at=now() + 20 * DAY)
    hold_id = await held(books, member, 80)
    assert isinstance(await books.capture(hold_id, 60), Held)
    balance = await books.balance(member)
    assert (balance.available_points, balance.held_points, balance.spent_points) == (40, 0, 60)
    # The soonest-expiring are spent first.
    assert balance.expirations == [(now() + 20 * DAY, 40)]
    async with books.database.reading() as session:
        (released,) = await outbox(session, "points.released")
    assert (released["points"], released["reason"], released["balance_points"]) == (20, "captured", 40)
    await books.assert_balanced()


async def test_a_hold_is_settled_once(books: Books) -> None:
    member = uuid4()
    await books.earn(earn_of(member))
    captured, voided = await held(books, member, 40), await held(books, member, 40)
    assert isinstance(await books.capture(captured), Held)
    assert isinstance(await books.void(voided), Held)
    assert isinstance(await books.capture(captured), HoldAlreadyCaptured)
    assert isinstance(await books.void(captured), HoldAlreadyCaptured)
    assert isinstance(await books.capture(voided), HoldAlreadyVoided)
    assert isinstance(await books.void(voided), HoldAlreadyVoided)
    assert isinstance(await books.void(uuid4()), HoldNotFound)
    balance = await books.balance(member)
    assert (balance.available_points, balance.spent_points) == (60, 40)
    await books.assert_balanced()


async def test_more_than_is_held_zero_and_negative_are_refused(books: Books) -> None:
    member = uuid4()
    await books.earn(earn_of(member))
    hold_id = await held(books, member, 40)
    assert isinstance(await books.capture(hold_id, 41), HoldExceeded)
    for points in (0, -1):
        assert isinstance(await books.capture(hold_id, points), InvalidPoints)
        assert isinstance(await books.hold(member, points), InvalidPoints)
    assert isinstance(await books.hold(member, 2**63), InvalidPoints)
    assert isinstance(await books.hold(member, 10, minutes=-1), HoldInThePast)
    assert (await books.balance(member)).held_points == 40
    await books.assert_balanced()


async def test_a_hold_lapses_by_the_databases_clock(books: Books) -> None:
    member = uuid4()
    await books.earn(earn_of(member))
    hold_id = await held(books, member, 70)
    await books.pass_time(HOUR)
    # No job has run: reading judges by itself, and so does whoever captures.
    balance = await books.balance(member)
    assert (balance.available_points, balance.held_points) == (100, 0)
    summary = await books.summary()
    assert (summary["available_points"], summary["held_points"]) == (100, 0)
    async with books.database.reading() as session:
        assert (await operations.show_hold(session, hold_id)).status == "expired"
    assert isinstance(await books.capture(hold_id), HoldExpired)
    assert isinstance(await books.void(hold_id), HoldExpired)
    async with books.database.reading() as session:
        (released,) = await outbox(session, "points.released")
    assert (released["points"], released["reason"]) == (70, "expired")
    await books.assert_balanced()


async def test_the_job_releases_lapsed_holds(books: Books) -> None:
    member = uuid4()
    await books.earn(earn_of(member))
    await held(books, member, 70)
    await books.pass_time(HOUR)
    assert await books.expire() == 1
    assert await books.expire() == 0
    assert (await books.rows("SELECT status FROM holds"))[0].status == "expired"
    await books.assert_balanced()


async def test_hold_captured_after_its_lot_expired(books: Books) -> None:
    member = uuid4()
    await books.give(member, 100, expires_at=now() + DAY)
    hold_id = await held(books, member, 70, minutes=3 * 24 * 60)
    await books.pass_time(2 * DAY)
    balance = await books.balance(member)
    assert (balance.available_points, balance.held_points, balance.expired_points) == (0, 70, 30)
    # The job takes what is free of the lot; what is pinned waits.
    assert await books.expire() == 1
    assert await books.expire() == 0
    assert isinstance(await books.capture(hold_id, 50), Held)
    balance = await books.balance(member)
    assert (balance.held_points, balance.spent_points, balance.expired_points) == (0, 50, 50)
    async with books.database.reading() as session:
        assert [event["points"] for event in await outbox(session, "points.expired")] == [30, 20]
    await books.assert_balanced()


async def test_void_after_expiry_comes_back_and_expires_at_once(books: Books) -> None:
    member = uuid4()
    await books.give(member, 100, expires_at=now() + DAY)
    hold_id = await held(books, member, 100, minutes=3 * 24 * 60)
    await books.pass_time(2 * DAY)
    result = await books.void(hold_id)
    assert isinstance(result, Held)
    balance = await books.balance(member)
    assert (balance.available_points, balance.held_points, balance.expired_points) == (0, 0, 100)
    async with books.database.reading() as session:
        assert [event["points"] for event in await outbox(session, "points.released")] == [100]
        assert [event["points"] for event in await outbox(session, "points.expired")] == [100]
    await books.assert_balanced()


async def test_released_points_repay_debt_first(books: Books) -> None:
    member = uuid4()
    order = earn_of(member)
    await books.earn(order)
    hold_id = await held(books, member, 70)
    await books.refund(refund_of(order, 10_000, complete=True))
    balance = await books.balance(member)
    assert (balance.available_points, balance.held_points, balance.debt_points) == (0, 70, 70)
    await books.assert_balanced()
    assert isinstance(await books.void(hold_id), Held)
    balance = await books.balance(member)
    assert (balance.available_points, balance.held_points, balance.debt_points) == (0, 0, 0)
    await books.assert_balanced()


async def test_fifty_parallel_holds_with_balance_for_one(books: Books) -> None:
    member = uuid4()
    await books.earn(earn_of(member))
    results = await asyncio.gather(*(books.hold(member, 100) for _ in range(50)))
    assert sorted(names(list(results))) == ["Held"] + ["InsufficientPoints"] * 49
    await books.assert_balanced()


async def test_parallel_captures_and_voids_settle_a_hold_once(books: Books) -> None:
    member = uuid4()
    await books.earn(earn_of(member))
    hold_id = await held(books, member, 100)
    results = await asyncio.gather(
        *(books.capture(hold_id) if number % 2 else books.void(hold_id) for number in range(20))
    )
    assert names(list(results)).count("Held") == 1
    await books.assert_balanced()


async def test_a_hold_with_an_id_of_the_callers_is_made_once(books: Books) -> None:
    member, hold_id = uuid4(), uuid4()
    await books.earn(earn_of(member))
    until = datetime.now(UTC) + HOUR
    command = Hold(member, 60, "Checkout", "test", None, until, hold_id)
    async with books.database.transaction() as session:
        first, twin = await operations.hold(session, [command, command])
    async with books.database.transaction() as session:
        again, other = await operations.hold(session, [command, command._replace(points=10)])
    assert first == twin == again
    assert isinstance(other, HoldConflict)
    assert (await books.balance(member)).held_points == 60
    await books.assert_balanced()


async def test_in_a_batch_a_refused_hold_changes_nothing_for_its_neighbours(books: Books) -> None:
    rich, poor = uuid4(), uuid4()
    await books.earn(earn_of(rich), earn_of(poor, 1_000))
    commands = [Hold(member, 60, "Checkout", "test") for member in (rich, poor, uuid4(), rich)]
    async with books.database.transaction() as session:
        results = await operations.hold(session, commands)
    assert names(results) == ["Held", *["InsufficientPoints"] * 3]
    await books.assert_balanced()


async def test_a_cancelled_order_lets_go_of_what_was_held_and_spent_for_it(books: Books) -> None:
    member, order_id = uuid4(), uuid4()
    await books.earn(earn_of(member))
    spent = await books.hold(member, 40, order_id=order_id)
    waiting = await books.hold(member, 30, order_id=order_id)
    assert isinstance(spent, Held)
    assert isinstance(waiting, Held)
    await books.capture(spent.hold_id)
    for _ in range(2):
        await books.cancel(order_id, member)
        balance = await books.balance(member)
        assert (balance.available_points, balance.held_points, balance.spent_points) == (100, 0, 0)
    await books.assert_balanced()


@pytest.mark.parametrize("points", [1, 10**15])
async def test_the_edges_of_what_an_entry_holds(books: Books, points: int) -> None:
    member = uuid4()
    await books.give(member, points)
    assert isinstance(await books.capture(await held(books, member, points)), Held)
    assert (await books.balance(member)).spent_points == points
    await books.assert_balanced()
