"""Reversals: what was spent goes back to the lots that it came from, with the dates that they had."""

from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from services.points import operations
from services.points.operations import Held, Redeem, Redeemed
from services.points.settings import settings
from tests.fixtures.moment import now
from tests.points.ledger import DAY, Books, coupon, earn_of, outbox, refund_of


async def spend(books: Books, member: UUID, points: int, order_id: UUID | None = None) -> UUID:
    reward = coupon(points)
    await books.add(reward)
    async with books.database.transaction() as session:
        (result,) = await operations.redeem(session, [Redeem(member, reward.id, order_id, "test")])
    assert isinstance(result, Redeemed)
    return result.redemption_id


async def test_a_reversal_goes_back_to_exactly_the_lots(books: Books) -> None:
    member = uuid4()
    await books.give(member, 50, expires_at=now() + 10 * DAY)
    await books.give(member, 50, expires_at=now() + 20 * DAY)
    await books.give(member, 50, expires_at=None)
    before = await books.balance(member)
    redemption = await spend(books, member, 120)
    assert await books.reverse(redemption, "r1") == 120
    after = await books.balance(member)
    assert after == before
    async with books.database.reading() as session:
        (event,) = await outbox(session, "points.returned")
    assert (event["points"], event["balance_points"]) == (120, 150)
    # Once given back, nothing is left to give back.
    assert await books.reverse(redemption, "r1") == 0
    assert await books.reverse(redemption, "r2") == 0
    await books.assert_balanced()


async def test_what_was_taken_last_goes_back_first(books: Books) -> None:
    member = uuid4()
    await books.give(member, 50, expires_at=now() + 10 * DAY)
    await books.give(member, 50, expires_at=now() + 20 * DAY)
    redemption = await spend(books, member, 80)
    assert await books.reverse(redemption, "r1", 40) == 40
    assert (await books.balance(member)).expirations == [(now() + 10 * DAY, 10), (now() + 20 * DAY, 50)]
    # A target counts what came back before.
    assert await books.reverse(redemption, "r2", 60) == 20
    assert (await books.balance(member)).expirations == [(now() + 10 * DAY, 30), (now() + 20 * DAY, 50)]
    await books.assert_balanced()


async def test_what_lapsed_meanwhile_comes_back_and_expires_both_visible(books: Books) -> None:
    member = uuid4()
    await books.give(member, 100, expires_at=now() + DAY)
    redemption = await spend(books, member, 100)
    await books.pass_time(2 * DAY)
    assert await books.reverse(redemption, "r1") == 100
    balance = await books.balance(member)
    assert (balance.available_points, balance.spent_points, balance.expired_points) == (0, 0, 100)
    async with books.database.reading() as session:
        assert len(await outbox(session, "points.returned")) == 1
        assert len(await outbox(session, "points.expired")) == 1
    await books.assert_balanced()


async def test_what_lapsed_meanwhile_lives_on_for_the_grace(
    books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    member = uuid4()
    await books.give(member, 100, expires_at=now() + DAY)
    await books.give(member, 100, expires_at=now() + 400 * DAY)
    redemption = await spend(books, member, 150)
    await books.pass_time(2 * DAY)
    monkeypatch.setenv("REGULARS_POINTS_REVERSAL_GRACE_DAYS", "14")
    settings.cache_clear()
    try:
        assert await books.reverse(redemption, "r1") == 150
    finally:
        settings.cache_clear()
    balance = await books.balance(member)
    assert (balance.available_points, balance.expired_points) == (200, 0)
    (graced, graced_points), (original, rest) = balance.expirations
    assert (graced_points, rest) == (100, 100)
    assert timedelta(days=13) < graced - now() < timedelta(days=15)
    assert original == now() + 398 * DAY
    await books.assert_balanced()


async def test_points_spent_on_a_refunded_order_return_exactly_over_any_split(books: Books) -> None:
    member = uuid4()
    await books.give(member, 100, expires_at=now() + 10 * DAY)
    order = earn_of(member, 10_000)
    await spend(books, member, 100, order.order_id)
    await books.earn(order)
    spent = []
    for number, amount in enumerate((3_333, 3_333, 3_334)):
        await books.refund(refund_of(order, amount, refund_id=f"r{number}"))
        spent.append((await books.balance(member)).spent_points)
        await books.assert_balanced()
    assert spent == [67, 34, 0]
    balance = await books.balance(member)
    assert (balance.available_points, balance.clawed_back_points) == (100, 100)
    assert balance.expirations == [(now() + 10 * DAY, 100)]


async def test_returned_points_pay_before_debt_arises(books: Books) -> None:
    member = uuid4()
    order = earn_of(member, 10_000)
    await books.earn(order)
    await spend(books, member, 100, order.order_id)
    await books.refund(refund_of(order, 10_000, complete=True))
    balance = await books.balance(member)
    assert (balance.available_points, balance.debt_points, balance.spent_points) == (0, 0, 0)
    await books.assert_balanced()


async def test_a_captured_hold_can_be_given_back(books: Books) -> None:
    member = uuid4()
    await books.give(member, 100)
    held = await books.hold(member, 80)
    assert isinstance(held, Held)
    await books.capture(held.hold_id, 60)
    assert await books.reverse(held.hold_id, "r1") == 60
    assert (await books.balance(member)).available_points == 100
    await books.assert_balanced()


async def test_returned_points_repay_debt(books: Books) -> None:
    member = uuid4()
    order = earn_of(member, 10_000)
    await books.earn(order)
    redemption = await spend(books, member, 100)
    await books.refund(refund_of(order, 10_000, complete=True))
    assert (await books.balance(member)).debt_points == 100
    await books.reverse(redemption, "r1")
    balance = await books.balance(member)
    assert (balance.available_points, balance.debt_points) == (0, 0)
    await books.assert_balanced()


async def test_nothing_is_given_back_for_what_never_was(books: Books) -> None:
    assert await books.reverse(uuid4(), "r1") == 0
