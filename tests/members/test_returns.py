"""Refunds and cancellations: in parts, too early, too much, twice."""

import asyncio
import random
from collections import Counter
from typing import Any

import pytest

from services.members import operations
from services.members.operations import CancellationTaken, DeliveryTaken, RefundTaken
from services.members.schemas import DeliveryIn
from shared.problems import Refusal
from tests.members.shop import Shop, cancellation, day, delivery, order, refund

LINES = [
    {"sku": "a", "quantity": 3, "unit_price_minor": 100},
    {"sku": "b", "quantity": 1, "unit_price_minor": 700},
]


def fate(
    results: list[RefundTaken | Refusal] | list[CancellationTaken | Refusal] | list[DeliveryTaken | Refusal],
) -> list[str]:
    return [
        result.code if isinstance(result, Refusal) else result.state if result.changed else "unchanged"
        for result in results
    ]


async def test_a_refund_in_three_parts_is_whole_at_the_last(shop: Shop) -> None:
    await shop.take(order(1))
    parts = [refund(1, "a", 333), refund(1, "b", 333), refund(1, "c", 334)]
    assert fate(await shop.refund(parts[0])) == ["applied"]
    assert fate(await shop.refund(*parts[1:])) == ["applied", "applied"]
    assert [event["complete"] for _, _, event in await shop.said("order.refunded")] == [False, False, True]
    assert (await shop.summary()).orders["refunded"] == 1
    assert (await shop.member())["spend_minor"] == 0
    await shop.audit()


async def test_lines_are_refunded_by_their_units(shop: Shop) -> None:
    await shop.take(order(1, lines=LINES))
    one = [{"line_no": 1, "quantity": 1, "amount_minor": 100}]
    two = [{"line_no": 1, "quantity": 2, "amount_minor": 200}]
    assert fate(await shop.refund(refund(1, "a", 100, lines=one))) == ["applied"]
    results = await shop.refund(
        refund(1, "b", 200, lines=two), refund(1, "c", 100, lines=one), refund(1, "d", 1, lines=one)
    )
    assert fate(results) == ["applied", "refund_exceeds_order", "refund_lines_mismatch"]
    assert await shop.rows("SELECT line_no, refunded_quantity FROM order_lines ORDER BY 1") == [
        (1, 3),
        (2, 0),
    ]
    unknown = [{"line_no": 9, "quantity": 1, "amount_minor": 1}]
    assert fate(await shop.refund(refund(1, "e", 1, lines=unknown))) == ["unknown_order_line"]
    # A refused refund leaves its name free for the right one.
    assert fate(await shop.refund(refund(1, "e", 1))) == ["applied"]
    await shop.audit()


async def test_a_line_may_give_back_more_money_than_it_was_sold_for_but_the_order_may_not(shop: Shop) -> None:
    await shop.take(order(1, lines=LINES))
    total = (await shop.rows("SELECT total_minor FROM orders"))[0][0]
    beyond = [{"line_no": 2, "quantity": 0, "amount_minor": total - 1}]
    assert fate(await shop.refund(refund(1, "a", total - 1, lines=beyond))) == ["applied"]
    two_more = [{"line_no": 1, "quantity": 1, "amount_minor": 2}]
    one_more = [{"line_no": 1, "quantity": 1, "amount_minor": 1}]
    results = await shop.refund(refund(1, "b", 2, lines=two_more), refund(1, "c", 1, lines=one_more))
    assert fate(results) == ["refund_exceeds_order", "applied"]
    assert (await shop.member())["spend_minor"] == 0
    await shop.audit()


async def test_more_than_is_left_is_refused(shop: Shop) -> None:
    await shop.take(order(1))
    results = await shop.refund(refund(1, "a", 600), refund(1, "b", 600), refund(1, "c", 400))
    assert fate(results) == ["applied", "refund_exceeds_order", "applied"]
    await shop.audit()


async def test_the_same_refund_again_changes_nothing_and_another_contradicts(shop: Shop) -> None:
    await shop.take(order(1))
    first = refund(1, "a", 600)
    assert fate(await shop.refund(first, first)) == ["applied", "unchanged"]
    assert fate(await shop.refund(first, refund(1, "a", 601))) == ["unchanged", "refund_conflict"]
    assert len(await shop.said("order.refunded")) == 1


async def test_a_refund_before_its_payment_waits_for_it(shop: Shop) -> None:
    early = refund(1, "a", 400)
    assert fate(await shop.refund(early, early)) == ["parked", "unchanged"]
    assert (await shop.summary()).parked_refunds == 1
    await shop.take(order(1, paid_at=None))
    assert fate(await shop.refund(refund(1, "b", 100))) == ["parked"]
    assert await shop.said("order.refunded") == []
    await shop.take(order(1))
    assert [event["refund_id"] for _, _, event in await shop.said("order.refunded")] == ["a", "b"]
    assert (await shop.member())["spend_minor"] == 500
    assert (await shop.summary()).parked_refunds == 0
    await shop.audit()


async def test_a_parked_refund_that_asks_too_much_is_refused_in_the_end(shop: Shop) -> None:
    await shop.refund(refund(1, "a", 5_000))
    await shop.take(order(1))
    assert await shop.rows("SELECT state, refusal FROM refunds") == [("refused", "refund_exceeds_order")]
    assert fate(await shop.refund(refund(1, "a", 5_000))) == ["unchanged"]
    # It took nothing, so its name is free for the right one.
    assert fate(await shop.refund(refund(1, "a", 6_000))) == ["refund_exceeds_order"]
    assert fate(await shop.refund(refund(1, "a", 500), refund(1, "a", 500))) == ["applied", "unchanged"]
    assert fate(await shop.refund(refund(1, "a", 5_000))) == ["refund_conflict"]
    await shop.audit()


async def test_a_refund_in_another_currency_is_refused_now_or_when_its_order_comes(shop: Shop) -> None:
    await shop.take(order(1))
    results = await shop.refund(refund(1, "a", 5, currency="JPY"), refund(1, "b", 5, currency="USD"))
    assert fate(results) == ["refund_currency_mismatch", "applied"]
    # Who does not say it means the order's, and contradicts nobody who does.
    assert fate(await shop.refund(refund(1, "b", 5), refund(1, "c", 5))) == ["unchanged", "applied"]
    again = await shop.refund(refund(1, "c", 5, currency="USD"), refund(1, "b", 5, currency="EUR"))
    assert fate(again) == ["unchanged", "refund_conflict"]
    assert fate(await shop.refund(refund(2, "a", 5, currency="JPY"))) == ["parked"]
    await shop.take(order(2))
    assert await shop.rows("SELECT external_order_id, refusal FROM refunds WHERE state = 'refused'") == [
        ("o2", "refund_currency_mismatch")
    ]
    await shop.audit()


async def test_what_crossed_its_order_is_applied_by_the_job(shop: Shop) -> None:
    """The two transactions do not see each other, as when they commit at the same time."""
    from services.members.schemas import RefundIn

    async with shop.database.transaction() as session:
        await operations.take_refunds(session, [RefundIn.model_validate(refund(1, "a", 400)).command()])
        await shop.take(order(1))
    assert await shop.said("order.refunded") == []
    async with shop.database.transaction() as session:
        assert await operations.apply_parked(session, limit=10) == 1
    async with shop.database.transaction() as session:
        assert await operations.apply_parked(session, limit=10) == 0
    assert len(await shop.said("order.refunded")) == 1
    await shop.audit()


async def test_a_refund_takes_the_tier_back_and_the_next_order_gives_it_again(shop: Shop) -> None:
    await shop.take(order(1, total_minor=60_000))
    await shop.refund(refund(1, "a", 45_000))
    await shop.take(order(2, total_minor=10_000, placed_at=day(50)))
    moves = await shop.said("member.tier_upgraded", "member.tier_downgraded")
    assert [(kind, move["from_tier"], move["to_tier"], move["reason"]) for kind, _, move in moves] == [
        ("member.tier_upgraded", "bronze", "gold", "spend"),
        ("member.tier_downgraded", "gold", "bronze", "refund"),
        ("member.tier_upgraded", "bronze", "silver", "spend"),
    ]
    await shop.audit()


async def test_a_cancellation_takes_the_whole_spend_and_a_refund_after_it_nothing_more(shop: Shop) -> None:
    await shop.take(order(1, total_minor=30_000), order(2, total_minor=1_000))
    assert fate(await shop.cancel(cancellation(1))) == ["applied"]
    assert (await shop.member())["spend_minor"] == 1_000
    assert fate(await shop.refund(refund(1, "a", 30_000))) == ["applied"]
    assert (await shop.member())["spend_minor"] == 1_000
    assert (await shop.summary()).orders["cancelled"] == 1
    await shop.audit()


async def test_a_cancellation_before_its_order_waits_for_it(shop: Shop) -> None:
    early = cancellation(1, reason="changed mind")
    assert fate(await shop.cancel(early, early)) == ["parked", "unchanged"]
    await shop.take(order(1))
    assert [kind for kind in await shop.types_said() if kind.startswith("order.")] == [
        "order.paid",
        "order.cancelled",
    ]
    assert fate(await shop.cancel(early, cancellation(1))) == ["unchanged", "cancellation_conflict"]
    assert (await shop.summary()).parked_cancellations == 0
    await shop.audit()


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("early", ["2026-01-01T00:00:00+00:00", "2019-01-01T00:00:00+00:00"])
async def test_what_is_dated_before_its_order_counts_from_the_order_on(
    shop: Shop, known: bool, early: str
) -> None:
    """Exports that know days only date a return to the midnight before its order; nothing is lost by that."""
    order_document = order(1, paid_at="2026-01-01T12:05:00+00:00")
    returns = refund(1, "a", 400, refunded_at=early), cancellation(1, cancelled_at=early)
    delivered = delivery(1, delivered_at=early)
    if known:
        await shop.take(order_document)
    state = ["applied" if known else "parked"]
    assert fate(await shop.refund(returns[0])) == state
    assert fate(await shop.deliver(delivered)) == state
    assert fate(await shop.cancel(returns[1])) == state
    await shop.take(order_document)
    placed_at, paid_at = "2026-01-01T12:00:00Z", "2026-01-01T12:05:00Z"
    assert [event["refunded_at"] for _, _, event in await shop.said("order.refunded")] == [paid_at]
    assert [event["cancelled_at"] for _, _, event in await shop.said("order.cancelled")] == [placed_at]
    assert [event["delivered_at"] for _, _, event in await shop.said("order.delivered")] == [placed_at]
    assert await shop.rows("SELECT cancelled_at = placed_at FROM orders") == [(True,)]
    # The same word again is the same word.
    assert fate(await shop.refund(returns[0])) == fate(await shop.cancel(returns[1])) == ["unchanged"]
    assert fate(await shop.deliver(delivered)) == ["unchanged"]
    await shop.audit()


@pytest.mark.parametrize("known", [True, False])
async def test_the_same_return_many_times_at_once_happens_once(shop: Shop, known: bool) -> None:
    if known:
        await shop.take(order(1))
    results = await asyncio.gather(*(shop.refund(refund(1, "a", 400)) for _ in range(6)))
    assert sorted(state for batch in results for state in fate(batch)) == sorted(
        ["applied" if known else "parked"] + ["unchanged"] * 5
    )
    cancelled = await asyncio.gather(*(shop.cancel(cancellation(1)) for _ in range(6)))
    assert sorted(state for batch in cancelled for state in fate(batch)).count("unchanged") == 5
    await shop.take(order(1))
    assert len(await shop.said("order.refunded")) == 1
    assert len(await shop.said("order.cancelled")) == 1
    await shop.audit()


async def test_an_order_is_delivered_once_and_after_its_payment(shop: Shop) -> None:
    assert fate(await shop.deliver(delivery(1), delivery(2), delivery(1))) == [
        "parked",
        "parked",
        "unchanged",
    ]
    assert (await shop.summary()).parked_deliveries == 2
    # Paid on delivery: it is here, and nobody is told of it yet.
    await shop.take(order(1, paid_at=None), order(3))
    assert fate(await shop.deliver(delivery(1), delivery(3), delivery(3, delivered_at=day(5)))) == [
        "unchanged",
        "applied",
        "delivery_conflict",
    ]
    assert [event["external_order_id"] for _, _, event in await shop.said("order.delivered")] == ["o3"]
    await shop.take(order(1), order(2))
    assert [event["external_order_id"] for _, _, event in await shop.said("order.delivered")] == [
        "o3",
        "o1",
        "o2",
    ]
    said = await shop.types_said()
    assert said.index("order.paid") < said.index("order.delivered")
    assert (await shop.summary()).parked_deliveries == 0
    assert fate(await shop.deliver(delivery(1))) == ["unchanged"]
    await shop.audit()


async def test_a_delivery_that_crossed_its_payment_is_said_by_the_job(shop: Shop) -> None:
    async with shop.database.transaction() as session:
        await operations.take_deliveries(session, [DeliveryIn.model_validate(delivery(1)).command()])
        await shop.take(order(1))
    assert await shop.said("order.delivered") == []
    for looked_at in (1, 0):
        async with shop.database.transaction() as session:
            assert await operations.apply_parked(session, limit=10) == looked_at
    assert len(await shop.said("order.delivered")) == 1
    await shop.audit()


def story() -> list[tuple[str, dict[str, Any]]]:
    chance = random.Random(11)
    statements: list[tuple[str, dict[str, Any]]] = []
    for number in range(30):
        total = chance.choice([900, 9_000, 30_000])
        document = order(number, f"c{number % 3}", total, placed_at=day(number + 1))
        statements += [("take", document | {"paid_at": None}), ("take", document)]
        if chance.random() < 0.5:
            parts = [("refund", refund(number, f"r{part}", total // 3)) for part in range(3)]
            statements += parts[: chance.randrange(4)]
        if chance.random() < 0.2:
            statements.append(("cancel", cancellation(number)))
        if chance.random() < 0.5:
            statements.append(("deliver", delivery(number)))
    return statements


async def play(shop: Shop, statements: list[tuple[str, dict[str, Any]]], size: int) -> None:
    for start in range(0, len(statements), size):
        for verb in ("take", "refund", "cancel", "deliver"):
            batch = [document for kind, document in statements[start : start + size] if kind == verb]
            if batch:
                results = await getattr(shop, verb)(*batch)
                assert not any(isinstance(result, Refusal) for result in results)


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_statements_in_any_order_and_number_come_to_the_same(shop: Shop, seed: int) -> None:
    statements = story() * 2
    random.Random(seed).shuffle(statements)
    await play(shop, statements, 13)
    await shop.audit()
    shuffled = await shop.everything()
    said = Counter(await shop.types_said())
    kinds = Counter(kind for kind, _ in story())
    assert [said[f"order.{state}"] for state in ("cancelled", "refunded", "delivered")] == [
        kinds[verb] for verb in ("cancel", "refund", "deliver")
    ]
    await play(shop, story(), 7)
    assert await shop.everything() == shuffled
    assert {state for _, _, state in shuffled["refunds"]} == {"applied"}
