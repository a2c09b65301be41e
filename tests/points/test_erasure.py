"""Erased members: their points go, the books balance, and what comes later goes as well."""

import random
from datetime import timedelta

import pytest

from services.points import operations
from services.points.handlers import handlers
from services.points.operations import Adjust, Choose, Hold, Opening, Void
from services.points.operations.holds import Held
from services.points.repository import caps
from shared.events import (
    Event,
    LinkShared,
    MemberBirthday,
    MemberCreated,
    MemberErased,
    MemberTagged,
    OrderRefunded,
)
from shared.ids import new_id
from tests.fixtures.moment import now
from tests.points.ledger import Books, coupon, earn_of, envelope, names, order_of, outbox, refund_of
from tests.points.test_free_shipping import shipping
from tests.points.test_referrals import join, outcomes, share


async def hear(books: Books, *events: Event) -> None:
    async with books.database.transaction() as session:
        await handlers.dispatch(session, [envelope(event) for event in events])


async def forfeit(books: Books) -> int:
    async with books.database.transaction() as session:
        return await operations.forfeit_erased(session, limit=10)


async def test_points_of_an_erased_member_are_forfeited_once_and_the_books_balance(books: Books) -> None:
    kim, other = new_id(), new_id()
    await hear(books, order_of(kim), order_of(other))
    await books.give(kim, 30, pending=True)
    for _ in range(2):
        await hear(books, MemberErased(member_id=kim, erased_at=now()))
    balance = await books.balance(kim)
    assert (balance.available_points, balance.pending_points, balance.forfeited_points) == (0, 0, 130)
    assert (await books.balance(other)).available_points == 100
    async with books.database.reading() as session:
        assert len(await outbox(session, "points.forfeited")) == 1
    await books.assert_balanced()


async def test_somebody_who_never_had_points_is_erased_without_an_account(books: Books) -> None:
    await hear(books, MemberErased(member_id=new_id(), erased_at=now()))
    assert await forfeit(books) == 0
    await books.assert_balanced()


async def test_what_comes_late_goes_too_and_refunds_still_apply(books: Books) -> None:
    kim = new_id()
    late = order_of(kim)
    await hear(books, MemberErased(member_id=kim, erased_at=now()))
    await hear(books, late)
    assert [await forfeit(books), await forfeit(books)] == [1, 0]
    assert (await books.balance(kim)).available_points == 0
    refund = OrderRefunded(
        order_id=late.order_id,
        member_id=kim,
        source="shop",
        shop_id="1",
        external_order_id="1",
        refund_id="r",
        refunded_at=now(),
        currency="USD",
        amount_minor=10_000,
        complete=True,
    )
    await hear(books, refund)
    assert (await books.balance(kim)).clawed_back_points == 100
    await books.assert_balanced()


async def test_held_points_go_when_the_hold_is_over(books: Books) -> None:
    kim = new_id()
    await hear(books, order_of(kim))
    async with books.database.transaction() as session:
        (held,) = await operations.hold(session, [Hold(kim, 40, "cart", "shop")])
    assert isinstance(held, Held)
    await hear(books, MemberErased(member_id=kim, erased_at=now()))
    balance = await books.balance(kim)
    assert (balance.forfeited_points, balance.held_points) == (60, 40)
    async with books.database.transaction() as session:
        await operations.void(session, [Void(held.hold_id, "shop")])
    assert await forfeit(books) == 1
    balance = await books.balance(kim)
    assert (balance.forfeited_points, balance.held_points) == (100, 0)
    await books.assert_balanced()


async def test_the_birthday_is_forgotten_and_not_learnt_again(books: Books) -> None:
    kim = new_id()
    birthday = MemberBirthday(
        member_id=kim, birthday_year=2026, starts_at=now(), ends_at=now() + timedelta(days=1)
    )
    await hear(books, birthday)
    for event in (MemberErased(member_id=kim, erased_at=now()), birthday):
        await hear(books, event)
    async with books.database.reading() as session:
        assert await caps.birthdays_of(session, [kim]) == {}


@pytest.mark.parametrize("seed", range(3))
async def test_any_order_of_events_comes_to_the_same(books: Books, seed: int) -> None:
    kim = new_id()
    orders = [order_of(kim) for _ in range(4)]
    events: list[Event] = [*orders, MemberErased(member_id=kim, erased_at=now()), *orders]
    random.Random(seed).shuffle(events)
    for event in events:
        await hear(books, event)
    await forfeit(books)
    balance = await books.balance(kim)
    assert (balance.available_points, balance.forfeited_points) == (0, 400)
    await books.assert_balanced()


async def test_debt_is_written_off_with_an_entry_and_the_report_owes_nothing_less(books: Books) -> None:
    kim, other = new_id(), new_id()
    spent, kept = earn_of(kim), earn_of(other)
    reward = coupon(80)
    await books.add(reward)
    await books.earn(spent, kept)
    await books.redeem((kim, reward.id))
    await books.refund(refund_of(spent, 10_000, complete=True))
    assert (await books.balance(kim)).debt_points == 80
    await hear(books, MemberErased(member_id=kim, erased_at=now()))
    assert (await books.balance(kim)).debt_points == 0
    rows = await books.rows(
        f"SELECT kind, contra, points, reason FROM entries WHERE member_id = '{kim}' ORDER BY sequence"
    )
    assert [tuple(row) for row in rows][-1] == (
        "adjust",
        "adjustment",
        80,
        "Debt of an erased member written off",
    )
    # A refund that is heard of later makes debt again, of which the job takes care.
    late = earn_of(kim)
    await books.earn(late)
    await forfeit(books)
    await books.refund(refund_of(late, 10_000, complete=True))
    assert (await books.balance(kim)).debt_points == 100
    assert [await forfeit(books), await forfeit(books)] == [1, 0]
    async with books.database.reading() as session:
        liability = await operations.show_liability(session)
    assert liability.debt_points == 0
    assert sum(month.outstanding_points for month in liability.months) == 100
    await books.assert_balanced()


async def test_nothing_is_kept_of_the_erased_but_what_the_books_need(books: Books) -> None:
    await books.rule_set(referral={"points": 10}, caps=[{"per": "day", "points": 500}])
    kim, friend, other = new_id(), new_id(), new_id()
    joined = MemberCreated(member_id=kim, source="s", external_id="1", created_at=now(), tier="gold")
    await hear(books, joined, MemberTagged(member_id=kim, tags=["old"], tag_source="kim", at=now()))
    mine, circle = await share(books, kim), await share(books, friend)
    await join(books, friend, mine)
    await join(books, kim, circle)
    await books.earn(earn_of(kim), earn_of(other))
    assert await outcomes(books) == [("granted", ""), ("refused", "circle")]
    await hear(books, MemberErased(member_id=kim, erased_at=now()))
    shared = LinkShared(
        link_id=new_id(), activity_id=new_id(), group_id=new_id(), sharer_id=kim, generation=0, at=now()
    )
    tagged = MemberTagged(member_id=kim, tags=["vip"], tag_source="kim", at=now())
    await hear(books, joined, shared, tagged)
    assert await outcomes(books) == [("granted", "")]
    for table, column in (
        ("member_tiers", "member_id"),
        ("share_links", "sharer_id"),
        ("cap_usage", "subject_id"),
    ):
        assert await books.rows(f"SELECT * FROM {table} WHERE {column} = '{kim}'") == [], table
    assert len(await books.rows("SELECT * FROM cap_usage")) == 1
    # An order that was late counts in its window until what it earned is gone.
    await books.earn(earn_of(kim))
    await forfeit(books)
    assert len(await books.rows("SELECT * FROM cap_usage")) == 1
    await books.assert_balanced()


async def test_nobody_gives_points_to_the_erased_or_keeps_their_choice(books: Books) -> None:
    kim, lee = new_id(), new_id()
    ship = shipping()
    await books.add(ship)
    async with books.database.transaction() as session:
        await operations.choose(session, [Choose(kim, ship.id, "kim"), Choose(lee, ship.id, "lee")])
    await hear(books, MemberErased(member_id=kim, erased_at=now()))
    assert len(await books.rows("SELECT * FROM member_choices")) == 1
    async with books.database.transaction() as session:
        given = await operations.adjust(
            session, [Adjust(kim, 5, "Sorry", "anna"), Adjust(lee, 5, "Sorry", "anna")]
        )
        opened = await operations.open_balances(
            session,
            [
                Opening("old", str(number), member_id, 7, now(), None, "Opening balance", "anna")
                for number, member_id in enumerate((kim, lee))
            ],
        )
    assert names(list(given)) == ["MemberErased", "Adjusted"]
    assert names(list(opened)) == ["MemberErased", "Opened"]
    await books.assert_balanced()
