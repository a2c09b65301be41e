"""The states of points: pending until they mature, sliding with activity, owed when they are gone."""

from uuid import UUID, uuid4

from services.points.domain import ExpiryPolicy
from services.points.operations.ledger import DebtPolicy, Ledger
from shared.outbox import emit
from tests.fixtures.moment import now
from tests.points.ledger import DAY, Books, coupon, earn_of, names, outbox

MONTH = ExpiryPolicy.parse("sliding:30d")


async def test_pending_points_mature_at_their_instant(books: Books) -> None:
    member, reward = uuid4(), coupon(50)
    await books.add(reward)
    await books.give(member, 100, matures_at=now() + 14 * DAY)
    balance = await books.balance(member)
    assert (balance.available_points, balance.pending_points) == (0, 100)
    assert balance.maturities == [(now() + 14 * DAY, 100)]
    assert balance.expirations == [(now() + 365 * DAY, 100)]
    assert names(await books.redeem((member, reward.id))) == ["InsufficientPoints"]
    await books.pass_time(14 * DAY)
    # Reading judges without writing, and so does spending.
    balance = await books.balance(member)
    assert (balance.available_points, balance.pending_points, balance.maturities) == (100, 0, [])
    assert names(await books.redeem((member, reward.id))) == ["Redeemed"]
    async with books.database.reading() as session:
        (event,) = await outbox(session, "points.matured")
    assert (event["points"], event["balance_points"]) == (100, 100)
    await books.assert_balanced()


async def test_pending_points_mature_when_their_order_is_settled(books: Books) -> None:
    member, order_id = uuid4(), uuid4()
    await books.give(member, 100, pending=True, order_id=order_id)
    await books.pass_time(30 * DAY)
    await books.expire()
    balance = await books.balance(member)
    assert (balance.pending_points, balance.maturities) == (100, [(None, 100)])
    assert await books.mature(order_id, uuid4()) == 100
    assert await books.mature(order_id) == 0
    assert (await books.balance(member)).available_points == 100
    await books.assert_balanced()


async def test_the_job_lets_points_mature(books: Books) -> None:
    member = uuid4()
    await books.give(member, 100, matures_at=now() + DAY)
    await books.give(member, 50, matures_at=now() + 10 * DAY)
    await books.pass_time(2 * DAY)
    assert await books.expire() == 1
    assert await books.expire() == 0
    row = (await books.rows("SELECT open_points, pending_points FROM accounts"))[0]
    assert tuple(row) == (100, 50)
    await books.assert_balanced()


async def test_points_that_mature_after_their_date_mature_and_expire(books: Books) -> None:
    member = uuid4()
    await books.give(member, 100, expires_at=now() + DAY, matures_at=now() + 5 * DAY)
    await books.pass_time(2 * DAY)
    await books.expire()
    assert (await books.balance(member)).pending_points == 100
    await books.pass_time(4 * DAY)
    assert (await books.balance(member)).expired_points == 100
    await books.expire()
    balance = await books.balance(member)
    assert (balance.pending_points, balance.available_points, balance.expired_points) == (0, 0, 100)
    await books.assert_balanced()


async def test_maturing_points_repay_debt(books: Books) -> None:
    member = uuid4()
    await books.give(member, 30, matures_at=now() + DAY)
    await claw_back(books, member, 20, "debt")
    assert (await books.balance(member)).debt_points == 20
    await books.pass_time(2 * DAY)
    balance = await books.balance(member)
    assert (balance.available_points, balance.debt_points) == (10, 0)
    await books.expire()
    balance = await books.balance(member)
    assert (balance.available_points, balance.debt_points) == (10, 0)
    await books.assert_balanced()


async def claw_back(books: Books, member: UUID, points: int, policy: DebtPolicy) -> tuple[int, int]:
    async with books.database.transaction() as session:
        ledger = await Ledger.open(session, [member])
        lots = await ledger.paying_lots(session, {member: points}, with_pending=policy == "pending")
        done = ledger.claw_back(
            ledger.accounts[member],
            points,
            lots[member],
            first=uuid4(),
            policy=policy,
            about_id=uuid4(),
            reference="r1",
            actor="test",
            reason="Order refunded",
            occurred_at=now(),
            rule_version=1,
        )
        await ledger.save(session)
        await emit(session, ledger.events)
        return done.debt_points, done.forgiven_points


async def test_what_is_gone_is_owed_or_pending_points_pay_or_it_is_forgiven(books: Books) -> None:
    owing, waiting, forgiven = uuid4(), uuid4(), uuid4()
    for member in (owing, waiting, forgiven):
        await books.give(member, 10)
        await books.give(member, 15, matures_at=now() + DAY)
    assert await claw_back(books, owing, 40, "debt") == (30, 0)
    assert await claw_back(books, waiting, 40, "pending") == (0, 15)
    assert await claw_back(books, forgiven, 40, "forgive") == (0, 30)
    balances = [await books.balance(member) for member in (owing, waiting, forgiven)]
    assert [balance.debt_points for balance in balances] == [30, 0, 0]
    assert [balance.pending_points for balance in balances] == [15, 0, 15]
    assert [balance.adjusted_points for balance in balances] == [0, 15, 30]
    assert [balance.clawed_back_points for balance in balances] == [40, 40, 40]
    await books.assert_balanced()


async def test_activity_puts_off_the_expiry_of_all_sliding_lots_and_touches_none(books: Books) -> None:
    member, reward = uuid4(), coupon(5)
    await books.add(reward)
    await books.give(member, 50, policy=MONTH, earned_at=now() - 20 * DAY)
    await books.give(member, 10, expires_at=now() + 5 * DAY)
    versions = await books.rows("SELECT id, xmin::text FROM lots ORDER BY id")
    await books.give(member, 20, policy=MONTH)
    assert (await books.balance(member)).expirations == [(now() + 5 * DAY, 10), (now() + 30 * DAY, 70)]
    after = await books.rows("SELECT id, xmin::text FROM lots ORDER BY id")
    assert set(versions) <= set(after)
    await books.pass_time(20 * DAY)
    # Spending is activity too, by the clock of now.
    await books.redeem((member, reward.id))
    ((expires_at, points),) = (await books.balance(member)).expirations
    assert points == 65
    assert expires_at > now() + 29 * DAY
    await books.pass_time(29 * DAY)
    await books.expire()
    assert (await books.balance(member)).available_points == 65
    await books.pass_time(2 * DAY)
    assert (await books.balance(member)).available_points == 0
    assert await books.expire() == 1
    assert await books.expire() == 0
    balance = await books.balance(member)
    assert (balance.available_points, balance.expired_points) == (0, 75)
    await books.assert_balanced()


async def test_activity_before_the_latest_puts_nothing_off(books: Books) -> None:
    member = uuid4()
    await books.give(member, 50, policy=MONTH)
    await books.earn(earn_of(member, 1_000, paid_at=now() - 10 * DAY))
    assert (now() + 30 * DAY, 50) in (await books.balance(member)).expirations
    await books.assert_balanced()


async def test_sliding_points_that_come_late_live_as_long_as_the_others(books: Books) -> None:
    member = uuid4()
    await books.give(member, 50, policy=MONTH)
    await books.give(member, 20, policy=MONTH, earned_at=now() - 40 * DAY)
    assert (await books.balance(member)).expirations == [(now() + 30 * DAY, 70)]
    alone = uuid4()
    await books.give(alone, 20, policy=MONTH, earned_at=now() - 40 * DAY)
    balance = await books.balance(alone)
    assert (balance.available_points, balance.expired_points) == (0, 20)
    await books.assert_balanced()


async def test_orders_go_on_earning_beside_sliding_lots(books: Books) -> None:
    member = uuid4()
    await books.give(member, 50, policy=MONTH, earned_at=now() - 20 * DAY)
    await books.earn(earn_of(member), earn_of(uuid4()))
    balance = await books.balance(member)
    assert balance.available_points == 150
    assert balance.expirations[0] == (now() + 30 * DAY, 50)
    await books.assert_balanced()
