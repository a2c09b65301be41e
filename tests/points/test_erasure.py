"""Erased members: their points go, the books balance, and what comes later goes as well."""

import random
from datetime import timedelta

import pytest

from services.points import operations
from services.points.handlers import handlers
from services.points.operations import Hold, Void
from services.points.operations.holds import Held
from services.points.repository import caps
from shared.events import Event, MemberBirthday, MemberErased, OrderRefunded
from shared.ids import new_id
from tests.fixtures.moment import now
from tests.points.ledger import Books, envelope, order_of, outbox


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
