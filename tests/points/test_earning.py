"""Rule sets on a real database: caps, what is known of the member, and refunds by line."""

import asyncio
import json
import random
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import text

from services.points import operations
from services.points.domain.rule_sets import PROGRAM
from services.points.handlers import handlers
from services.points.operations import BirthdayRow, Earn, Refund, TierRow
from shared.events import Envelope, MemberGrouped, MemberTagged, MemberUntagged, OrderLine, Participation
from shared.ids import new_id
from tests.fixtures.moment import now
from tests.points.ledger import DAY, Books, earn_of, envelope, outbox, refund_of


def line(number: int, amount_minor: int, *, quantity: int = 1, **facts: Any) -> OrderLine:
    return OrderLine(
        **{
            "line_no": number,
            "sku": f"sku-{number}",
            "product_id": f"product-{number}",
            "quantity": quantity,
            "unit_price_minor": amount_minor,
        }
        | facts
    )


def bought(member_id: UUID, *lines: OrderLine, **facts: Any) -> Earn:
    total = sum(item.unit_price_minor * item.quantity - item.discount_minor for item in lines)
    return earn_of(member_id, total + facts.get("shipping_minor", 0), lines=list(lines), **facts)


def returned(order: Earn, amount_minor: int, refund_id: str, *rows: tuple[int, int, int]) -> Refund:
    return refund_of(order, amount_minor, refund_id=refund_id)._replace(
        lines=json.dumps(rows) if rows else None
    )


async def hear(books: Books, *envelopes: Envelope[Any]) -> None:
    async with books.database.transaction() as session:
        await handlers.dispatch(session, list(envelopes))


async def detail(books: Books, order: Earn) -> dict[str, Any]:
    async with books.database.reading() as session:
        statement = text("SELECT CAST(detail AS text) FROM entries WHERE about_id = :id AND kind = 'earn'")
        found = (await session.execute(statement, {"id": order.order_id})).scalar_one()
    assert isinstance(json.loads(found), dict)
    return dict(json.loads(found))


def when(field: str, value: object, op: str = "eq") -> dict[str, object]:
    return {"field": field, "op": op, "value": value}


# Facts


async def test_every_entry_remembers_the_facts_of_its_order(books: Books) -> None:
    order = bought(
        uuid4(),
        line(1, 500, quantity=2, category="tea", discount_minor=100),
        shipping_minor=300,
        channel="live",
        participation=Participation(activity_id=uuid4(), group_id=uuid4(), seat_id=uuid4()),
    )
    await books.earn(order)
    seat = order.order.participation
    assert seat is not None
    assert await detail(books, order) == {
        "order": {
            "source": "shop",
            "shop_id": "1",
            "lines": [[1, "sku-1", "product-1", "tea", 2, 500, 100, 0]],
            "shipping_minor": 300,
            "channel": "live",
            "activity_id": str(seat.activity_id),
            "group_id": str(seat.group_id),
        }
    }


async def test_an_order_says_why_it_earned_what_it_did(books: Books) -> None:
    await books.rule_set(
        multipliers=[{"id": "live", "factor": "2", "when": when("order.channel", "live")}],
        order_bonuses=[{"id": "order", "points": 5}],
        caps=[{"per": "order", "points": 30}],
    )
    order = bought(uuid4(), line(1, 4_000), channel="live")
    (earned,) = await books.earn(order)
    assert earned.points == 30
    rules = (await detail(books, order))["rules"]
    assert rules == {
        "lines": [28],
        "bonuses": [["order", 2]],
        "factors": [["live", "2"]],
        "basis_minor": 4_000,
        "uncapped_points": 85,
        "cuts": [["member_order", 85, 30]],
    }
    async with books.database.reading() as session:
        (event,) = await outbox(session, "points.earned")
    assert (event["points"], event["uncapped_points"]) == (30, 85)
    await books.assert_balanced()


# Caps


async def test_earned_30_of_80_daily_cap(books: Books) -> None:
    member = uuid4()
    await books.rule_set(caps=[{"per": "day", "points": 100}])
    first, second, third = earn_of(member, 7_000), earn_of(member, 8_000), earn_of(member, 1_000)
    other_day = earn_of(member, 9_000, paid_at=now() - 2 * DAY)
    await books.earn(first)
    results = await books.earn(second, third, other_day)
    assert [result.points for result in results] == [30, 0, 90]
    assert (await detail(books, second))["rules"]["cuts"] == [["member_day", 80, 30]]
    assert (await detail(books, third))["rules"]["cuts"] == [["member_day", 10, 0]]
    await books.assert_balanced()


async def test_a_duplicate_uses_no_room_under_a_cap(books: Books) -> None:
    member = uuid4()
    await books.rule_set(caps=[{"per": "day", "points": 100}])
    order, other = earn_of(member, 7_000), earn_of(member, 3_000)
    await books.earn(order, order)
    await books.earn(order)
    (last,) = await books.earn(other)
    assert last.points == 30
    assert await books.rows("SELECT points FROM cap_usage") == [(100,)]


async def test_a_refund_gives_no_room_back(books: Books) -> None:
    member = uuid4()
    await books.rule_set(caps=[{"per": "day", "points": 100}])
    order = earn_of(member, 10_000)
    await books.earn(order)
    await books.refund(refund_of(order, 10_000, complete=True))
    (later,) = await books.earn(earn_of(member, 5_000))
    assert later.points == 0


async def test_day_caps_across_days_of_23_and_25_hours(books: Books) -> None:
    await books.rule_set(caps=[{"per": "day", "points": 10}], zone="America/Los_Angeles")
    for begins, hours in (
        (datetime(2026, 3, 8, 8, tzinfo=UTC), 23),
        (datetime(2025, 11, 2, 7, tzinfo=UTC), 25),
    ):
        member, second = uuid4(), timedelta(seconds=1)
        day = timedelta(hours=hours)
        moments = [begins - second, begins, begins + day - second, begins + day]
        results = await books.earn(*(earn_of(member, 1_000, paid_at=moment) for moment in moments))
        assert [result.points for result in results] == [10, 10, 0, 10]


async def test_tags_and_groups_of_the_member_and_of_all_their_ids_decide(books: Books) -> None:
    vip = {"field": "member.tags", "op": "contains", "value": "vip"}
    wholesale = {"field": "member.groups", "op": "contains", "value": "wholesale"}
    await books.rule_set(
        multipliers=[{"id": "vip", "factor": "2", "when": vip}],
        order_bonuses=[{"id": "wholesale", "points": 7, "when": wholesale}],
    )
    member, alias, nobody = uuid4(), uuid4(), uuid4()
    tagged = MemberTagged(member_id=member, tags=["vip", "other"], tag_source="kim", at=now())
    untagged = MemberUntagged(member_id=member, tags=["vip"], tag_source="kim", at=now())
    grouped = MemberGrouped(member_id=alias, groups=["wholesale"], actor="kim", at=now())
    given, taken, joined = envelope(tagged), envelope(untagged), envelope(grouped)
    await hear(books, given, joined)
    await books.link(alias, member, 1)
    first, second = earn_of(member), earn_of(nobody)
    results = await books.earn(first, second)
    assert [result.points for result in results] == [207, 100]
    # Of what members are called an entry remembers no more than its rules asked for.
    assert (await detail(books, first))["rules"]["member"] == {"tags": ["vip"], "groups": ["wholesale"]}
    assert "member" not in (await detail(books, second))["rules"]
    # A word that is said later holds, whatever is heard last.
    await hear(books, taken, given)
    (later,) = await books.earn(earn_of(member))
    assert later.points == 107
    await books.refund(refund_of(first, 10_000, complete=True))
    await books.assert_balanced()


async def test_merged_members_have_one_cap_and_each_their_own_after_it_was_undone(
    books: Books,
) -> None:
    await books.rule_set(caps=[{"per": "day", "points": 100}])
    first, second = uuid4(), uuid4()
    # Both have today's cap used, one of them all of it.
    await books.earn(earn_of(first, 10_000), earn_of(second, 6_000))
    await books.link(second, first, 1)
    results = await books.earn(earn_of(first, 5_000), earn_of(second, 5_000))
    assert [result.points for result in results] == [0, 0]
    (other_day,) = await books.earn(earn_of(second, 9_000, paid_at=now() - DAY))
    (shared,) = await books.earn(earn_of(first, 9_000, paid_at=now() - DAY))
    assert [other_day.points, shared.points] == [90, 10]
    await books.link(second, first, 2, merged=False)
    results = await books.earn(
        earn_of(first, 5_000),
        earn_of(second, 5_000),
        # What came under an id while they were one was counted under that id.
        earn_of(first, 9_500, paid_at=now() - DAY),
        earn_of(second, 9_500, paid_at=now() - DAY),
    )
    assert [result.points for result in results] == [0, 40, 90, 10]
    await books.assert_balanced()


async def test_orders_of_merged_members_in_one_batch_share_the_cap(books: Books) -> None:
    await books.rule_set(caps=[{"per": "day", "points": 100}])
    first, second = uuid4(), uuid4()
    await books.link(second, first, 1)
    results = await books.earn(earn_of(second, 8_000), earn_of(first, 8_000), earn_of(second, 8_000))
    assert [result.points for result in results] == [80, 20, 0]
    assert sum(row[0] for row in await books.rows("SELECT points FROM cap_usage")) == 100


async def test_a_budget_and_caps_of_members_hold_for_batches_at_once_in_any_order(books: Books) -> None:
    caps = [{"per": "day", "points": 50}, {"scope": "program", "per": "day", "points": 130}]
    await books.rule_set(caps=caps)
    members = [uuid4() for _ in range(4)]
    orders = [earn_of(member, 3_000) for member in members for _ in range(3)]
    # Every order in two of the batches, and each batch over several members.
    batches = [[orders[index] for index in range(start, 12, 4)] for start in range(4)]
    results = await asyncio.gather(*(books.earn(*batch) for batch in [*batches, *reversed(batches)]))
    assert sum(result.points for batch in results for result in batch) == 130
    rows = await books.rows("SELECT subject_id, points FROM cap_usage")
    used = {row[0]: row[1] for row in rows}
    assert used.pop(PROGRAM) == sum(used.values()) == 130
    assert max(used.values()) <= 50
    await books.assert_balanced()


async def test_a_programs_budget_is_never_exceeded_by_batches_at_once(books: Books) -> None:
    await books.rule_set(caps=[{"scope": "program", "per": "month", "points": 250}])
    paid_at = now().replace(day=15)
    batches = [[earn_of(uuid4(), 3_000, paid_at=paid_at) for _ in range(3)] for _ in range(5)]
    await asyncio.gather(*(books.earn(*batch) for batch in batches))
    assert (await books.summary())["earned_points"] == 250
    assert await books.rows(f"SELECT points FROM cap_usage WHERE subject_id = '{PROGRAM}'") == [(250,)]
    await books.assert_balanced()


async def test_nothing_is_counted_for_rule_sets_without_caps(books: Books) -> None:
    await books.rule_set(caps=[{"per": "order", "points": 5}])
    await books.earn(earn_of(uuid4()))
    assert await books.rows("SELECT * FROM cap_usage") == []


async def test_duplicate_and_shuffled_three_times_with_a_cap_the_total_is_the_same(books: Books) -> None:
    await books.rule_set(
        caps=[{"per": "day", "points": 100}, {"per": "month", "points": 180}],
        order_bonuses=[{"id": "order", "points": 3}],
    )
    base = now().replace(day=10, hour=0)
    for seed in range(3):
        chance = random.Random(seed)
        member = uuid4()
        orders = [
            earn_of(member, 1_000 * number, paid_at=base + timedelta(hours=6 * number))
            for number in range(1, 10)
        ]
        again = chance.sample(orders * 3, len(orders) * 3)
        while again:
            await books.earn(*(again.pop() for _ in range(min(len(again), 4))))
        assert (await books.balance(member)).earned_points == 180
    await books.assert_balanced()


# What is known of the member


async def test_first_order_tier_and_birthday_multiply(books: Books) -> None:
    member, other = uuid4(), uuid4()
    await books.rule_set(
        multipliers=[
            {"id": "first", "factor": "5", "when": when("member.first_order", True)},
            {"id": "gold", "factor": "2", "when": when("member.tier", "gold")},
            {"id": "tier", "factor": "tier"},
            {"id": "birthday", "factor": "3", "when": when("member.birthday", True)},
        ]
    )
    async with books.database.transaction() as session:
        await operations.record_tiers(
            session,
            [
                TierRow(member, "gold", None, now(), new_id()),
                TierRow(other, "silver", 125, now(), new_id()),
            ],
        )
        await operations.record_birthdays(
            session,
            [
                BirthdayRow(other, now() - DAY / 2, now() + DAY / 2),
                BirthdayRow(other, now() - 365 * DAY, now()),
            ],
        )
    results = await books.earn(earn_of(member), earn_of(member), earn_of(other))
    assert [result.points for result in results] == [500, 200, 500]
    results = await books.earn(earn_of(other), earn_of(other, paid_at=now() + DAY))
    assert [result.points for result in results] == [300, 125]


async def test_points_mature_after_the_return_window(books: Books) -> None:
    member = uuid4()
    await books.rule_set(matures={"after_days": 14}, expiry="rolling:30d")
    await books.earn(earn_of(member), earn_of(member, 5_000, paid_at=now() - 20 * DAY))
    assert await books.rows("SELECT open_points, pending_points FROM accounts") == [(50, 100)]
    async with books.database.reading() as session:
        events = await outbox(session, "points.earned")
    assert events[0]["matures_at"].startswith((now() + 14 * DAY).isoformat()[:19])
    await books.assert_balanced()


async def test_exchange_rate_is_stored(books: Books) -> None:
    await books.rule_set(currency="USD", exchange_rates={"EUR": "1.0850"})
    order = earn_of(uuid4(), 10_000, currency="EUR")
    (earned,) = await books.earn(order)
    assert earned.points == 108
    assert (await detail(books, order))["rules"]["exchange_rate"] == "1.0850"


# Refunds


async def test_refund_by_line_and_quantity_in_parts(books: Books) -> None:
    member = uuid4()
    await books.rule_set(
        multipliers=[{"id": "tea", "factor": "3", "when": when("line.category", "tea")}],
    )
    order = bought(member, line(1, 1_000, quantity=3, category="tea"), line(2, 5_000))
    await books.earn(order)
    assert (await books.balance(member)).available_points == 140
    for number, left in ((1, 110), (2, 80), (3, 50)):
        await books.refund(returned(order, 1_000, f"tea-{number}", (1, 1, 1_000)))
        assert (await books.balance(member)).available_points == left
    await books.refund(returned(order, 5_000, "rest", (2, 1, 5_000)))
    assert (await books.balance(member)).available_points == 0
    await books.assert_balanced()


async def test_a_refund_by_line_before_its_order_is_paid_is_parked(books: Books) -> None:
    member = uuid4()
    await books.rule_set()
    order = bought(member, line(1, 1_000), line(2, 5_000))
    await books.refund(returned(order, 1_000, "early", (1, 1, 1_000)))
    await books.earn(order)
    assert (await books.balance(member)).available_points == 50
    await books.assert_balanced()


async def test_rule_deleted_then_refund(books: Books) -> None:
    member = uuid4()
    version = await books.rule_set(base={"points": 3})
    order = bought(member, line(1, 1_000), line(2, 1_000))
    await books.earn(order)
    async with books.database.transaction() as session:
        await operations.delete_earning_rule(session, version)
    (later,) = await books.earn(earn_of(member, 1_000, paid_at=now() + DAY))
    assert later.points == 10
    await books.refund(returned(order, 1_000, "one", (1, 1, 1_000)))
    assert (await books.balance(member)).available_points == 30 + 10
    await books.assert_balanced()


async def test_points_that_are_gone_are_forgiven_with_a_record_if_the_rule_set_says_so(books: Books) -> None:
    for policy, debt in (("debt", 100), ("forgive", 0), ("pending", 0)):
        member = uuid4()
        version = await books.rule_set(when_spent=policy)
        order = earn_of(member)
        await books.earn(order)
        async with books.database.transaction() as session:
            await session.execute(
                text("UPDATE lots SET remaining_points = 0 WHERE member_id = :id"), {"id": member}
            )
            await session.execute(
                text("UPDATE accounts SET open_points = 0, spent_points = 100 WHERE member_id = :id"),
                {"id": member},
            )
        await books.refund(refund_of(order, 10_000, complete=True))
        balance = await books.balance(member)
        assert (version > 0, balance.debt_points, balance.available_points) == (True, debt, 0)
    kinds = await books.rows("SELECT kind, points FROM entries WHERE kind = 'adjust'")
    assert kinds == [("adjust", 100)] * 2
