"""The rules alone: what orders earn, what refunds take, which lots pay."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.points.domain import (
    MAX_ENTRY_POINTS,
    Account,
    EarnedOrder,
    EarningRule,
    Lot,
    PointsOutOfRange,
    RuleBook,
    claw_back_due,
    spending_order,
    take,
)
from shared.money import UnknownCurrency

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
RULE = EarningRule(1, 1, 365, EPOCH)


@pytest.mark.parametrize(
    ("total_minor", "currency", "per_unit", "points"),
    [
        (1_999, "USD", 1, 19),
        (99, "USD", 1, 0),
        (0, "USD", 1, 0),
        (1_999, "USD", 3, 57),
        (1_999, "JPY", 1, 1_999),
        (1_999, "KWD", 1, 1),
        (19_999, "CLF", 1, 1),
        (1_999, "USD", 0, 0),
        (MAX_ENTRY_POINTS * 100, "USD", 1, MAX_ENTRY_POINTS),
    ],
)
def test_an_order_earns_by_whole_units(total_minor: int, currency: str, per_unit: int, points: int) -> None:
    assert EarningRule(1, per_unit, 365, EPOCH).points_for(total_minor, currency) == points


def test_more_than_an_entry_holds_is_refused() -> None:
    with pytest.raises(PointsOutOfRange):
        RULE.points_for(2**63 - 1, "JPY")


def test_an_unknown_currency_is_refused() -> None:
    with pytest.raises(UnknownCurrency):
        RULE.points_for(100, "XXX")


def test_lots_live_days_of_24_hours_or_for_ever() -> None:
    paid_at = datetime(2024, 2, 29, 12, tzinfo=UTC)
    assert RULE.expiry_of(paid_at) == datetime(2025, 2, 28, 12, tzinfo=UTC)
    assert EarningRule(1, 1, None, EPOCH).expiry_of(paid_at) is None


def test_the_rule_of_an_order_is_the_one_in_force_when_it_was_paid() -> None:
    later = datetime(2026, 1, 1, tzinfo=UTC)
    rules = RuleBook([EarningRule(2, 2, 30, later), RULE])
    assert rules.at(later - timedelta(microseconds=1)).version == 1
    assert rules.at(later).version == 2
    assert rules.at(EPOCH - timedelta(days=1)).version == 1
    assert rules.version(2).points_per_unit == 2


def account(**figures: int) -> Account:
    return Account(uuid4(), 0, b"", **({"open_points": 0} | figures))


def test_debt_is_repaid_before_a_lot_opens() -> None:
    owing = account(debt_points=30)
    assert owing.balance_points == -30
    assert owing.repay(20) == 0
    assert owing.repay(25) == 15
    assert owing.debt_points == 0


@given(st.lists(st.integers(1, 100), max_size=8), st.integers(0, 1000))
def test_taking_uses_lots_in_order_and_says_what_is_missing(sizes: list[int], points: int) -> None:
    lots = [Lot(UUID(int=index), size) for index, size in enumerate(sizes)]
    moves, missing = take(lots, points)
    assert sum(taken for _, taken in moves) + missing == points
    assert missing == max(0, points - sum(sizes))
    # Only the last lot touched may still hold something.
    untouched = [lot.remaining_points for lot in lots]
    first_left = next((index for index, left in enumerate(untouched) if left), len(lots))
    assert all(
        left == size for left, size in zip(untouched[first_left + 1 :], sizes[first_left + 1 :], strict=True)
    )


def test_a_clawback_begins_with_the_orders_own_lot() -> None:
    lots = [Lot(UUID(int=number), 1) for number in range(3)]
    assert [lot.id.int for lot in spending_order(lots, UUID(int=1))] == [1, 0, 2]


def earned(total_minor: int, currency: str, rule: EarningRule, expired: int = 0) -> EarnedOrder:
    return EarnedOrder(
        order_id=uuid4(),
        member_id=uuid4(),
        entry_id=uuid4(),
        granted_points=rule.points_for(total_minor, currency),
        rule_version=rule.version,
        total_minor=total_minor,
        currency=currency,
        expired_points=expired,
        refunded_minor=0,
        clawed_back_points=0,
        complete=False,
    )


@given(
    st.integers(0, 10**9),
    st.sampled_from(["USD", "JPY", "KWD"]),
    st.integers(0, 7),
    st.lists(st.integers(0, 10**9), max_size=6),
    st.integers(0, 100),
)
def test_refunds_in_full_take_everything_however_they_are_split(
    total_minor: int, currency: str, per_unit: int, cuts: list[int], expired_percent: int
) -> None:
    rule = EarningRule(1, per_unit, 365, EPOCH)
    order = earned(total_minor, currency, rule)
    order.expired_points = order.granted_points * expired_percent // 100
    marks = sorted({min(cut, total_minor) for cut in cuts} | {0, total_minor})
    for start, end in pairwise(marks):
        order.refunded_minor += end - start
        due = claw_back_due(order, rule)
        order.clawed_back_points += due
        kept = rule.points_for(total_minor - end, currency)
        taken = order.expired_points + order.clawed_back_points
        assert due >= 0
        assert order.granted_points - taken <= kept
    order.complete = True
    order.clawed_back_points += claw_back_due(order, rule)
    assert order.granted_points - order.expired_points - order.clawed_back_points == 0


def test_an_over_refund_takes_no_more_than_was_granted() -> None:
    order = earned(10_000, "USD", RULE)
    order.refunded_minor = 25_000
    assert claw_back_due(order, RULE) == 100
