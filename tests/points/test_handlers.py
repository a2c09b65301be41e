"""Events in any order and number lead to the same ledger."""

import random
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from services.points import operations
from services.points.errors import RefundCurrencyMismatch, UnknownOrderCurrency
from services.points.handlers import handlers
from shared.events import (
    Envelope,
    Event,
    MemberCreated,
    MemberTierDowngraded,
    MemberTierRedefined,
    MemberTierUpgraded,
    OrderDelivered,
    OrderPaid,
    OrderRefunded,
)
from shared.ids import new_id
from tests.fixtures.moment import now
from tests.points.ledger import DAY, Books, envelope, outbox


def paid(member_id: UUID, total_minor: int, *, currency: str = "USD", age: timedelta = DAY) -> OrderPaid:
    return OrderPaid(
        order_id=new_id(),
        member_id=member_id,
        source="shop",
        shop_id="1",
        external_order_id="1",
        currency=currency,
        total_minor=total_minor,
        placed_at=now() - age,
        paid_at=now() - age,
        lines=[],
    )


def refunded(order: OrderPaid, amount_minor: int, refund_id: str, *, complete: bool = False) -> OrderRefunded:
    return OrderRefunded(
        order_id=order.order_id,
        member_id=order.member_id,
        source=order.source,
        shop_id=order.shop_id,
        external_order_id=order.external_order_id,
        refund_id=refund_id,
        refunded_at=now(),
        currency=order.currency,
        amount_minor=amount_minor,
        complete=complete,
    )


def delivered(order: OrderPaid) -> OrderDelivered:
    return OrderDelivered(
        order_id=order.order_id,
        member_id=order.member_id,
        source=order.source,
        shop_id=order.shop_id,
        external_order_id=order.external_order_id,
        delivered_at=now(),
    )


async def hear(session: AsyncSession, *events: Event) -> None:
    await handlers.dispatch(session, [envelope(event) for event in events])


def story(members: list[UUID]) -> list[Event]:
    """Orders new and old, worth something and nothing, refunded wholly, by part, and not at all."""
    chance = random.Random(42)
    events: list[Event] = []
    for _ in range(60):
        order = paid(
            chance.choice(members),
            chance.choice([0, 99, 10_000, 12_345]),
            currency=chance.choice(["USD", "JPY", "KWD"]),
            age=chance.choice([1, 200, 400]) * DAY,
        )
        events.append(order)
        fate = chance.random()
        if fate < 0.3:
            events.append(refunded(order, order.total_minor, "whole", complete=True))
        elif fate < 0.6:
            thirds = [order.total_minor // 3, order.total_minor // 3]
            thirds.append(order.total_minor - sum(thirds))
            events += [refunded(order, part, f"part{number}") for number, part in enumerate(thirds)]
    return events


async def state(books: Books, members: list[UUID]) -> list[tuple[int, ...]]:
    balances = [await books.balance(member) for member in members]
    return [
        (
            balance.available_points,
            balance.debt_points,
            balance.earned_points,
            balance.spent_points,
            # Whether an old order's points expired or were clawed back depends on what was heard first;
            # their sum does not.
            balance.expired_points + balance.clawed_back_points,
        )
        for balance in balances
    ]


async def test_run_twice_shuffled_and_in_pieces_the_ledger_is_the_same(books: Books) -> None:
    members = [uuid4() for _ in range(5)]
    events = story(members)
    async with books.database.transaction() as session:
        await hear(session, *events)
    first = await state(books, members)
    await books.assert_balanced()
    for seed in range(3):
        again = random.Random(seed).sample(events, len(events))
        async with books.database.transaction() as session:
            await hear(session, *again)
        assert await state(books, members) == first
    await books.assert_balanced()


@pytest.mark.parametrize("seed", range(4))
async def test_another_order_and_duplicates_from_the_start_lead_to_the_same_balances(
    books: Books, seed: int
) -> None:
    members = [UUID(int=number + 1) for number in range(5)]
    chance = random.Random(seed)
    events = story(members)
    shuffled = chance.sample(events * 2, len(events) * 2)
    while shuffled:
        batch = [shuffled.pop() for _ in range(min(len(shuffled), chance.randint(1, 30)))]
        async with books.database.transaction() as session:
            await hear(session, *batch)
    await books.assert_balanced()
    summary = await books.summary()
    assert summary["parked_refunds"] == 0
    assert summary["debt_points"] == 0
    expected = await in_order(books, events, members)
    assert await state(books, members) == expected


async def in_order(books: Books, events: list[Event], members: list[UUID]) -> list[tuple[int, ...]]:
    """The same story for other members, heard in order and once."""
    twins = {member: uuid4() for member in members}
    copies = []
    orders: dict[UUID, UUID] = {}
    for event in events:
        assert isinstance(event, OrderPaid | OrderRefunded)
        order_id = orders.setdefault(event.order_id, new_id())
        fields = {name: getattr(event, name) for name in event.__struct_fields__}
        copies.append(type(event)(**fields | {"order_id": order_id, "member_id": twins[event.member_id]}))
    async with books.database.transaction() as session:
        await hear(session, *copies)
    return await state(books, list(twins.values()))


async def test_an_old_order_heard_again_beside_a_new_one_of_its_member(books: Books) -> None:
    member = uuid4()
    old, new = paid(member, 5_000, age=400 * DAY), paid(member, 3_000)
    async with books.database.transaction() as session:
        await hear(session, old)
    async with books.database.transaction() as session:
        await hear(session, old, new)
    assert await state(books, [member]) == [(30, 0, 80, 0, 50)]
    await books.assert_balanced()


async def test_a_refund_comes_before_its_order_within_one_poll(books: Books) -> None:
    member = uuid4()
    order = paid(member, 10_000)
    async with books.database.transaction() as session:
        await hear(session, refunded(order, 2_000, "r"), order)
        (event,) = await outbox(session, "points.clawed_back")
    assert (event["points"], event["balance_points"], event["refund_id"]) == (20, 80, "r")


async def test_what_cannot_be_posted_is_refused_for_the_dead_letters(books: Books) -> None:
    order = paid(uuid4(), 100)
    with pytest.raises(UnknownOrderCurrency):
        async with books.database.transaction() as session:
            await hear(session, paid(uuid4(), 100, currency="XXX"))
    async with books.database.transaction() as session:
        await hear(session, order)
    wrong = refunded(order, 100, "r")
    with pytest.raises(RefundCurrencyMismatch):
        async with books.database.transaction() as session:
            await hear(session, type(wrong)(**_fields(wrong) | {"currency": "EUR"}))


async def test_the_tier_that_was_said_last_holds_in_whatever_order_it_is_heard(books: Books) -> None:
    """Tiers change as of payments, which may be older than the membership and than changes before."""
    member, other = uuid4(), uuid4()
    joined = [
        MemberCreated(member_id=who, source="shop", external_id="1", created_at=now(), tier="base")
        for who in (member, other)
    ]
    silver, gold = (
        MemberTierUpgraded(
            member_id=member,
            to_tier=tier,
            changed_at=now() - days * DAY,
            reason="spend",
            points_multiplier_percent=percent,
        )
        for tier, days, percent in (("silver", 2, None), ("gold", 9, 150))
    )
    fallen = MemberTierDowngraded(member_id=other, from_tier="gold", changed_at=now() - DAY, reason="refund")
    # A new table calls it otherwise, and makes more of points in it.
    renamed = MemberTierRedefined(
        member_id=member, tier="oro", redefined_at=now(), points_multiplier_percent=200
    )
    said = [envelope(event) for event in (*joined, silver, gold, fallen, renamed)]
    for order in (said, said[::-1], [said[3], said[0]], [said[2], said[4], said[1]]):
        async with books.database.transaction() as session:
            await handlers.dispatch(session, order)
    rows = await books.rows("SELECT member_id, tier, points_multiplier_percent FROM member_tiers")
    assert {tuple(row) for row in rows} == {(member, "oro", 200), (other, None, None)}


def _fields(event: Event) -> dict[str, object]:
    return {name: getattr(event, name) for name in event.__struct_fields__}


def test_what_is_heard() -> None:
    assert set(handlers.by_type) == {
        "order.paid",
        "order.refunded",
        "order.cancelled",
        "order.delivered",
        "member.merged",
        "member.unmerged",
        "member.created",
        "member.tier_upgraded",
        "member.tier_downgraded",
        "member.tier_redefined",
        "member.birthday",
        "member.tagged",
        "member.untagged",
        "member.grouped",
        "member.ungrouped",
        "member.tier_purchase_declined",
        "order.placed",
        "coupon.issued",
        "coupon.declined",
        "member.erased",
        "link.shared",
        "group.joined",
        "trial.tiers_judged",
    }
    assert isinstance(envelope(paid(uuid4(), 1)), Envelope)


async def test_points_that_wait_for_delivery_mature_with_it_whichever_is_heard_first(books: Books) -> None:
    await books.rule_set(matures={"on": "delivered"})
    members = [uuid4() for _ in range(6)]
    orders = [paid(member_id, 10_000) for member_id in members]
    news: list[Event] = [*orders, *map(delivered, orders[:4])] * 3
    random.Random(3).shuffle(news)
    for start in range(0, len(news), 4):
        async with books.database.transaction() as session:
            await hear(session, *news[start : start + 4])
    async with books.database.transaction() as session:
        await operations.deliver_early(session, limit=100)
    async with books.database.transaction() as session:
        assert await operations.deliver_early(session, limit=100) == 0
    for number, member_id in enumerate(members):
        balance = await books.balance(member_id)
        states = (balance.available_points, balance.pending_points)
        assert states == ((100, 0) if number < 4 else (0, 100))
    async with books.database.reading() as session:
        assert len(await outbox(session, "points.matured")) == 4
    assert await books.rows("SELECT order_id FROM early_deliveries") == []
    await books.assert_balanced()


async def test_delivery_does_not_shorten_a_return_window(books: Books) -> None:
    await books.rule_set(matures={"after_days": 14})
    member_id = uuid4()
    order = paid(member_id, 10_000)
    async with books.database.transaction() as session:
        await hear(session, order, delivered(order))
    assert (await books.balance(member_id)).pending_points == 100
