"""The ledger on a real database: each rule, and each edge case by its name."""

import asyncio
import random
from datetime import timedelta
from uuid import uuid4

import pytest
from sqlalchemy import text

from services.points import jobs, operations
from services.points.errors import (
    ExpiryOutOfRange,
    RefundCurrencyMismatch,
    TooManyPoints,
    UnknownOrderCurrency,
)
from services.points.operations import Earned, NewRule, Refunded
from services.points.settings import settings
from tests.fixtures.moment import now
from tests.points.ledger import DAY, Books, changed, coupon, earn_of, names, outbox, refund_of

# Earning


async def test_a_paid_order_earns_one_point_per_whole_dollar_for_a_year(books: Books) -> None:
    member = uuid4()
    order = earn_of(member, 1_999)
    (earned,) = await books.earn(order)
    assert isinstance(earned, Earned)
    assert earned.points == 19
    balance = await books.balance(member)
    assert balance.available_points == 19
    assert balance.expirations == [(now() + 365 * DAY, 19)]
    async with books.database.reading() as session:
        (event,) = await outbox(session, "points.earned")
        (entry,) = await operations.show_entries(session, member, before=2**63 - 1, limit=10)
    assert event["points"] == event["balance_points"] == 19
    assert event["order_id"] == str(order.order_id)
    assert event["entry_id"] == str(earned.entry_id) == str(entry.id)
    assert event["rule_version"] == entry.rule_version == 1
    assert (entry.kind, entry.contra, entry.about_id, entry.reason) == (
        "earn",
        "issuance",
        order.order_id,
        "Order paid",
    )
    assert (entry.basis_minor, entry.currency, entry.actor) == (1_999, "USD", "members")
    await books.assert_balanced()


async def test_paid_twice_earns_once(books: Books) -> None:
    member = uuid4()
    order = earn_of(member)
    first, twin = await books.earn(order, order)
    (again,) = await books.earn(order)
    assert first.points == 100
    assert twin == again == Earned(order.order_id, None, 0)
    assert (await books.balance(member)).earned_points == 100
    await books.assert_balanced()


async def test_an_order_worth_nothing_earns_nothing_but_is_known(books: Books) -> None:
    order = earn_of(uuid4(), 0)
    (first,) = await books.earn(order)
    assert first.points == 0
    assert first.entry_id is not None
    # The same order with another total is a duplicate all the same.
    assert await books.earn(changed(order, total_minor=500)) == [Earned(order.order_id, None, 0)]
    async with books.database.reading() as session:
        assert await outbox(session, "points.earned") == []
    await books.assert_balanced()


async def test_zero_decimal_and_three_decimal_currencies(books: Books) -> None:
    yen, dinar = uuid4(), uuid4()
    await books.earn(earn_of(yen, 1_999, currency="JPY"), earn_of(dinar, 1_999, currency="KWD"))
    assert (await books.balance(yen)).available_points == 1_999
    assert (await books.balance(dinar)).available_points == 1


async def test_a_refused_order_spares_its_neighbours(books: Books) -> None:
    member = uuid4()
    results = await books.earn(
        earn_of(member),
        earn_of(member, currency="XXX"),
        earn_of(member, 2**63 - 1, currency="JPY"),
        earn_of(member, paid_at=now().replace(year=9999)),
        earn_of(member),
    )
    assert names(results) == [
        "Earned",
        UnknownOrderCurrency.__name__,
        TooManyPoints.__name__,
        ExpiryOutOfRange.__name__,
        "Earned",
    ]
    assert (await books.balance(member)).available_points == 200
    await books.assert_balanced()


async def test_several_orders_of_a_member_in_one_batch_add_up_one_by_one(books: Books) -> None:
    member = uuid4()
    await books.earn(*(earn_of(member) for _ in range(3)))
    async with books.database.reading() as session:
        events = await outbox(session, "points.earned")
        entries = await operations.show_entries(session, member, before=2**63 - 1, limit=10)
    assert [event["balance_points"] for event in events] == [100, 200, 300]
    assert [entry.sequence for entry in entries] == [3, 2, 1]


async def test_a_late_earn_whose_expiry_has_passed_is_earned_and_expired(books: Books) -> None:
    member = uuid4()
    await books.earn(earn_of(member, paid_at=now() - 400 * DAY), earn_of(member, 5_000))
    balance = await books.balance(member)
    assert (balance.available_points, balance.earned_points, balance.expired_points) == (50, 150, 100)
    async with books.database.reading() as session:
        assert [event["balance_points"] for event in await outbox(session, "points.earned")] == [0, 50]
        (expired,) = await outbox(session, "points.expired")
    assert (expired["points"], expired["lots"], expired["balance_points"]) == (100, 1, 50)
    assert await books.expire() == 0
    await books.assert_balanced()


async def test_two_batches_with_the_same_orders_at_once_earn_once(books: Books) -> None:
    orders = [earn_of(uuid4()) for _ in range(50)]
    shuffled = random.Random(7).sample(orders, len(orders))
    await asyncio.gather(*(books.earn(*batch) for batch in (orders, shuffled, orders[::-1])))
    assert (await books.summary())["earned_points"] == 5_000
    await books.assert_balanced()


# Rules


async def test_orders_earn_under_the_version_in_force_when_they_were_paid(books: Books) -> None:
    async with books.database.transaction() as session:
        version = await operations.add_earning_rule(session, NewRule(5, None, None), actor="test")
    before, after = uuid4(), uuid4()
    moment = version.effective_at
    assert moment is not None
    await books.earn(
        earn_of(after, paid_at=moment), earn_of(before, paid_at=moment - timedelta(microseconds=1))
    )
    assert (await books.balance(before)).available_points == 100
    balance = await books.balance(after)
    assert balance.available_points == 500
    assert balance.expirations == []


async def test_a_refund_is_reckoned_by_the_version_that_granted(books: Books) -> None:
    member = uuid4()
    order = earn_of(member)
    await books.earn(order)
    async with books.database.transaction() as session:
        await operations.add_earning_rule(session, NewRule(7, 10, None), actor="test")
    await books.refund(refund_of(order, 2_500))
    assert (await books.balance(member)).available_points == 75


# Expiry


async def test_reads_judge_expiry_before_the_job_has_run(books: Books) -> None:
    member = uuid4()
    await books.earn(earn_of(member))
    await books.pass_time(366 * DAY)
    balance = await books.balance(member)
    assert (balance.available_points, balance.expired_points, balance.expirations) == (0, 100, [])
    assert (await books.summary())["due_lots"] == 1
    assert await books.expire() == 1
    assert await books.expire() == 0
    after = await books.balance(member)
    assert (after.available_points, after.expired_points) == (0, 100)
    assert (await books.summary())["due_lots"] == 0
    await books.assert_balanced()


async def test_one_event_per_member_and_run(books: Books) -> None:
    first, second = uuid4(), uuid4()
    await books.earn(earn_of(first), earn_of(first), earn_of(second))
    await books.pass_time(366 * DAY)
    await books.expire()
    async with books.database.reading() as session:
        events = await outbox(session, "points.expired")
    assert sorted((event["points"], event["lots"]) for event in events) == [(100, 1), (200, 2)]
    await books.assert_balanced()


async def test_an_account_that_is_worked_on_is_left_to_its_worker(books: Books) -> None:
    busy, idle = uuid4(), uuid4()
    await books.earn(earn_of(busy), earn_of(idle))
    await books.pass_time(366 * DAY)
    async with books.database.transaction() as session:
        await session.execute(text("SELECT 1 FROM accounts WHERE member_id = :id FOR UPDATE"), {"id": busy})
        assert await books.expire() == 1
    assert await books.expire() == 1
    await books.assert_balanced()


async def test_lanes_of_the_job_take_each_account_once(books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    members = [uuid4() for _ in range(7)]
    await books.earn(*(earn_of(member) for member in members), *(earn_of(member) for member in members[:3]))
    await books.pass_time(366 * DAY)
    chosen = settings().model_copy(update={"expiry_chunk_accounts": 2, "expiry_lanes": 3})
    monkeypatch.setattr(jobs, "settings", lambda: chosen)
    taken = 0
    while looked_at := await jobs.expire_points(books.database):
        taken += looked_at
    assert taken == len(members)
    summary = await books.summary()
    assert (summary["expired_points"], summary["due_lots"]) == (1_000, 0)
    await books.assert_balanced()


async def test_only_due_lots_expire_and_the_account_is_due_again(books: Books) -> None:
    member = uuid4()
    await books.earn(earn_of(member, paid_at=now() - 100 * DAY), earn_of(member, 3_000))
    await books.pass_time(300 * DAY)
    assert await books.expire() == 1
    assert (await books.balance(member)).available_points == 30
    await books.pass_time(100 * DAY)
    assert await books.expire() == 1
    assert (await books.balance(member)).available_points == 0
    await books.assert_balanced()


# Refunds


async def test_refund_before_paid_is_parked_and_applied(books: Books) -> None:
    member = uuid4()
    order = earn_of(member)
    assert await books.refund(refund_of(order, 4_000)) == [Refunded(order.order_id, "r1", "parked")]
    assert (await books.summary())["parked_refunds"] == 1
    await books.earn(order)
    balance = await books.balance(member)
    assert (balance.available_points, balance.earned_points, balance.clawed_back_points) == (60, 100, 40)
    assert (await books.summary())["parked_refunds"] == 0
    await books.assert_balanced()


async def test_refund_in_three_thirds_takes_everything(books: Books) -> None:
    member = uuid4()
    order = earn_of(member, 10_000)
    await books.earn(order)
    for number, amount in enumerate((3_333, 3_333, 3_334)):
        await books.refund(refund_of(order, amount, refund_id=f"r{number}"))
    balance = await books.balance(member)
    assert (balance.available_points, balance.clawed_back_points, balance.debt_points) == (0, 100, 0)
    await books.assert_balanced()


async def test_a_refund_heard_twice_counts_once(books: Books) -> None:
    member = uuid4()
    order = earn_of(member)
    await books.earn(order)
    item = refund_of(order, 1_000)
    results = await books.refund(item, item)
    results += await books.refund(item)
    assert [result.status for result in results] == ["applied", "known", "known"]
    assert (await books.balance(member)).available_points == 90


async def test_refund_after_spend_takes_other_points_and_then_makes_debt(books: Books) -> None:
    member, reward = uuid4(), coupon(100)
    order, other = earn_of(member, paid_at=now() - DAY), earn_of(member, 3_000)
    await books.add(reward)
    await books.earn(order, other)
    await books.redeem((member, reward.id))
    await books.refund(refund_of(order, 10_000, complete=True))
    balance = await books.balance(member)
    assert (balance.available_points, balance.debt_points, balance.clawed_back_points) == (0, 70, 100)
    async with books.database.reading() as session:
        (event,) = await outbox(session, "points.clawed_back")
    assert (event["points"], event["debt_points"], event["balance_points"]) == (100, 70, -70)
    await books.assert_balanced()
    # The next earnings repay the debt before a lot opens.
    await books.earn(earn_of(member, 5_000))
    assert (await books.balance(member)).debt_points == 20
    await books.earn(earn_of(member, 5_000))
    balance = await books.balance(member)
    assert (balance.available_points, balance.debt_points) == (30, 0)
    assert [points for _, points in balance.expirations] == [30]
    await books.assert_balanced()


async def test_a_fully_refunded_order_nets_zero_after_its_points_expired(books: Books) -> None:
    member, reward = uuid4(), coupon(40)
    order = earn_of(member)
    await books.add(reward)
    await books.earn(order)
    await books.redeem((member, reward.id))
    await books.pass_time(366 * DAY)
    # No job has run: the refund settles the account itself. 60 expired, so only the 40 spent are owed.
    await books.refund(refund_of(order, 10_000, complete=True))
    balance = await books.balance(member)
    assert (balance.expired_points, balance.clawed_back_points, balance.debt_points) == (60, 40, 40)
    await books.assert_balanced()


async def test_what_expired_before_it_was_heard_of_repays_no_debt(books: Books) -> None:
    member, reward = uuid4(), coupon(100)
    order = earn_of(member)
    await books.add(reward)
    await books.earn(order)
    await books.redeem((member, reward.id))
    await books.refund(refund_of(order, 10_000))
    await books.earn(earn_of(member, paid_at=now() - 400 * DAY))
    balance = await books.balance(member)
    assert (balance.debt_points, balance.expired_points) == (100, 100)
    await books.assert_balanced()


async def test_a_refund_in_another_currency_is_refused(books: Books) -> None:
    order = earn_of(uuid4())
    await books.earn(order)
    results = await books.refund(refund_of(order, 100, currency="EUR"), refund_of(order, 100, refund_id="r2"))
    assert names(results) == [RefundCurrencyMismatch.__name__, "Refunded"]


async def test_a_parked_refund_in_another_currency_does_not_fail_the_order(books: Books) -> None:
    order = earn_of(uuid4())
    await books.refund(refund_of(order, 100, currency="EUR"))
    (earned,) = await books.earn(order)
    assert isinstance(earned, Earned)
    assert (await books.balance(order.member_id)).available_points == 100
    assert (await books.summary())["parked_refunds"] == 1


async def test_a_refund_that_names_another_member_finds_the_one_who_earned(books: Books) -> None:
    order = earn_of(uuid4())
    await books.earn(order)
    await books.refund(changed(refund_of(order, 10_000), member_id=uuid4()))
    assert (await books.balance(order.member_id)).available_points == 0
    await books.assert_balanced()


# The whole


async def test_a_refund_that_names_another_member_while_the_order_earns_is_applied_later(
    books: Books,
) -> None:
    order, other = earn_of(uuid4()), uuid4()
    async with books.database.transaction() as session:
        await operations.earn(session, [order])
        (parked,) = await books.refund(refund_of(order, 4_000)._replace(member_id=other))
        assert isinstance(parked, Refunded)
        assert parked.status == "parked"
    for applied in (1, 0):
        async with books.database.transaction() as session:
            assert await operations.apply_overtaken(session, limit=10) == applied
    assert (await books.balance(order.member_id)).available_points == 60
    await books.assert_balanced()


async def test_the_summary_finds_books_that_were_tampered_with(books: Books) -> None:
    member = uuid4()
    await books.earn(earn_of(member))
    async with books.database.transaction() as session:
        await session.execute(text("UPDATE lots SET remaining_points = remaining_points - 1"))
    assert (await books.summary())["lot_mismatches"] == 2
    async with books.database.transaction() as session:
        await session.execute(text("UPDATE accounts SET open_points = 90, earned_points = 90"))
    figures = await books.summary()
    assert figures["entries_sum"] == -10
