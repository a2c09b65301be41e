"""Referrals: of oneself, in a circle, of a later-refunded order, and heard of in any order."""

import asyncio
import random
from typing import Any
from uuid import UUID, uuid4

from services.points import operations
from services.points.operations import Joined, NewRule
from tests.fixtures.moment import now
from tests.points.ledger import DAY, Books, earn_of, outbox, refund_of


async def share(books: Books, sharer: UUID) -> UUID:
    link = uuid4()
    async with books.database.transaction() as session:
        await operations.record_links(session, {link: sharer})
    return link


async def join(books: Books, member: UUID, link: UUID, order_id: UUID | None = None) -> None:
    async with books.database.transaction() as session:
        await operations.refer(session, [Joined(order_id or uuid4(), member, link, now())])


async def outcomes(books: Books) -> list[Any]:
    return sorted(
        tuple(row) for row in await books.rows("SELECT status, coalesce(refusal, '') FROM referrals")
    )


async def test_who_brought_a_member_earns_once(books: Books) -> None:
    await books.rule_set(referral={"points": 100})
    sharer, friend, order_id = uuid4(), uuid4(), uuid4()
    link = await share(books, sharer)
    await join(books, friend, link, order_id)
    await join(books, friend, link, order_id)
    await join(books, friend, link)
    assert (await books.balance(sharer)).available_points == 100
    assert await outcomes(books) == [("granted", ""), ("refused", "referred_before")]
    async with books.database.reading() as session:
        (event,) = await outbox(session, "points.earned")
    assert (event["points"], event["reason"]) == (100, "Brought a member")
    # What one is given for a friend is no order of one's own.
    await books.assert_balanced()


async def test_a_referral_of_oneself_is_refused(books: Books) -> None:
    await books.rule_set(referral={"points": 100})
    member = uuid4()
    await join(books, member, await share(books, member))
    assert await outcomes(books) == [("refused", "self")]
    assert (await books.balance(member)).available_points == 0


async def test_a_referral_in_a_circle_is_refused(books: Books) -> None:
    await books.rule_set(referral={"points": 100, "first_only": False})
    first, second, third = uuid4(), uuid4(), uuid4()
    await join(books, second, await share(books, first))
    await join(books, third, await share(books, second))
    await join(books, first, await share(books, third))
    await join(books, second, await share(books, third))
    assert await outcomes(books) == [
        ("granted", ""),
        ("granted", ""),
        ("refused", "circle"),
        ("refused", "circle"),
    ]
    assert (await books.balance(third)).available_points == 0


async def test_circles_and_second_referrals_are_a_persons(books: Books) -> None:
    await books.rule_set(referral={"points": 100})
    first, friend, alias, other = uuid4(), uuid4(), uuid4(), uuid4()
    await join(books, friend, await share(books, first))
    await books.link(first, alias, 1)
    await books.link(friend, other, 1)
    await join(books, alias, await share(books, other))
    await join(books, other, await share(books, uuid4()))
    assert await outcomes(books) == [
        ("granted", ""),
        ("refused", "circle"),
        ("refused", "referred_before"),
    ]


async def test_a_referral_of_a_later_refunded_order_goes_back(books: Books) -> None:
    await books.rule_set(referral={"points": 100})
    sharer = uuid4()
    order = earn_of(uuid4())
    await books.earn(order)
    await join(books, order.member_id, await share(books, sharer), order.order_id)
    await books.refund(refund_of(order, 4_000))
    assert (await books.balance(sharer)).available_points == 100
    await books.refund(refund_of(order, 6_000, refund_id="r2"))
    assert (await books.balance(sharer)).available_points == 0
    assert await outcomes(books) == [("taken_back", "")]
    await books.assert_balanced()


async def test_what_a_referral_brought_and_has_expired_is_not_taken_again(books: Books) -> None:
    await books.rule_set(referral={"points": 100}, expiry="rolling:30d")
    sharer, order = uuid4(), earn_of(uuid4())
    await books.earn(order)
    await join(books, order.member_id, await share(books, sharer), order.order_id)
    await books.pass_time(31 * DAY)
    await books.refund(refund_of(order, 10_000))
    balance = await books.balance(sharer)
    assert (balance.expired_points, balance.debt_points) == (100, 0)
    assert await outcomes(books) == [("taken_back", "")]
    await books.assert_balanced()


async def test_many_that_are_settled_at_once_never_wait_for_each_other(books: Books) -> None:
    await books.rule_set(referral={"points": 100})
    links = [await share(books, uuid4()) for _ in range(8)]
    await asyncio.gather(*(join(books, uuid4(), link) for link in links))
    assert await outcomes(books) == [("granted", "")] * 8


async def test_in_any_order_it_comes_to_the_same(books: Books) -> None:
    await books.rule_set(referral={"points": 100})
    for seed in range(6):
        sharer, link, order = uuid4(), uuid4(), earn_of(uuid4())

        async def links(link: UUID = link, sharer: UUID = sharer) -> None:
            async with books.database.transaction() as session:
                await operations.record_links(session, {link: sharer})

        steps = [
            lambda order=order: books.earn(order),
            links,
            lambda order=order, link=link: join(books, order.member_id, link, order.order_id),
            lambda order=order: books.refund(refund_of(order, 10_000)),
        ]
        for step in random.Random(seed).sample(steps * 2, len(steps) * 2):
            await step()
        assert (await books.balance(sharer)).available_points == 0
    await books.assert_balanced()


async def test_a_referral_waits_if_the_rules_pay_for_none_by_then(books: Books) -> None:
    await books.rule_set(referral={"points": 100})
    link = uuid4()
    async with books.database.transaction() as session:
        await operations.refer(session, [Joined(uuid4(), uuid4(), link, now() + DAY)])
        await operations.add_earning_rule(session, NewRule(1, 365, None), actor="test")
        await operations.record_links(session, {link: uuid4()})
    assert await outcomes(books) == [("waiting", "")]


async def test_nothing_is_kept_where_no_rule_pays_for_it(books: Books) -> None:
    await join(books, uuid4(), await share(books, uuid4()))
    assert await outcomes(books) == []
