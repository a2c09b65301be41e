"""What a refund takes back of an order that was granted points part by part."""

from typing import Any
from uuid import uuid4

from hypothesis import given
from hypothesis import strategies as st

from services.points.domain import EarnedOrder, EarningRule, claw_back_due
from services.points.domain.earning import judge
from services.points.domain.facts import NOBODY
from services.points.domain.orders import Grant, LineFacts, OrderFacts
from services.points.domain.rule_sets import RuleSet
from tests.points.rule_sets import NOON, line, order, rules_of


def earned(rules: RuleSet, facts: OrderFacts, granted: int | None = None) -> tuple[EarnedOrder, EarningRule]:
    judged = judge(rules, facts, NOBODY)
    parts = judged.parts if granted is None else judged.parts.cut_to(min(granted, judged.parts.total))
    rule = EarningRule(2, 0, None, NOON, rule_set=rules)
    return EarnedOrder(
        order_id=facts.order_id,
        member_id=uuid4(),
        entry_id=uuid4(),
        granted_points=parts.total,
        rule_version=2,
        total_minor=facts.total_minor,
        currency=facts.currency,
        expired_points=0,
        refunded_minor=0,
        clawed_back_points=0,
        complete=False,
        grant=Grant(facts, NOBODY, parts, judged.bonuses),
    ), rule


def take_back(bought: EarnedOrder, rule: EarningRule, amount_minor: int, **more: Any) -> int:
    bought.refund(amount_minor, complete=more.pop("complete", False), **more)
    due = claw_back_due(bought, rule)
    bought.clawed_back_points += due
    return due


def test_a_refunded_line_takes_its_own_points() -> None:
    tea = {"id": "tea", "factor": "5", "when": {"field": "line.category", "op": "eq", "value": "tea"}}
    bought, rule = earned(rules_of(multipliers=[tea]), order(line(1, 1_000, category="tea"), line(2, 4_000)))
    assert bought.granted_points == 90
    assert take_back(bought, rule, 1_000, lines=[(1, 1, 1_000)]) == 50
    assert take_back(bought, rule, 4_000, lines=[(2, 1, 4_000)]) == 40


def test_by_quantity_in_three_thirds_takes_everything() -> None:
    bought, rule = earned(rules_of(), order(line(1, 3_333, quantity=3), line(2, 1)))
    assert bought.granted_points == 100
    taken = [take_back(bought, rule, 3_333, lines=[(1, 1, 3_333)]) for _ in range(3)]
    assert taken == [34, 33, 33]


def test_units_that_came_back_earn_nothing_though_a_fee_was_kept() -> None:
    bought, rule = earned(rules_of(), order(line(1, 1_000, quantity=10), line(2, 1_000)))
    assert take_back(bought, rule, 8_000, lines=[(1, 10, 8_000)]) == 100


def test_money_for_no_line_in_particular_takes_its_part_of_all() -> None:
    bought, rule = earned(rules_of(), order(line(1, 5_000), line(2, 5_000)))
    assert take_back(bought, rule, 2_500) == 25
    assert take_back(bought, rule, 5_000, lines=[(1, 1, 5_000)]) == 50
    assert take_back(bought, rule, 2_500) == 25


def test_what_goes_back_beyond_a_line_or_the_postage_takes_its_part_of_all_that_is_left() -> None:
    bought, rule = earned(rules_of(), order(line(1, 4_000), line(2, 6_000)))
    # 30.00 more than the line was sold for, half of what the other one was.
    assert take_back(bought, rule, 7_000, lines=[(1, 1, 7_000)]) == 40 + 30
    assert take_back(bought, rule, 3_000, lines=[(2, 1, 3_000)]) == 30
    bought, rule = earned(rules_of(), order(line(1, 8_000), shipping_minor=2_000))
    assert take_back(bought, rule, 6_000, shipping_minor=6_000) == 20 + 40


def test_postage_takes_the_points_of_postage() -> None:
    bought, rule = earned(rules_of(), order(line(1, 9_000), shipping_minor=1_000))
    assert take_back(bought, rule, 1_000, shipping_minor=1_000) == 10
    assert take_back(bought, rule, 9_000, lines=[(1, 1, 9_000)]) == 90


def test_a_bonus_goes_back_only_when_the_order_no_longer_qualifies() -> None:
    over = {"field": "order.total_minor", "op": "gte", "value": 5_000}
    rules = rules_of(order_bonuses=[{"id": "big", "points": 50, "when": over}])
    bought, rule = earned(rules, order(line(1, 4_000), line(2, 4_000), line(3, 1_000)))
    assert bought.granted_points == 140
    assert take_back(bought, rule, 1_000, lines=[(3, 1, 1_000)]) == 10
    assert take_back(bought, rule, 4_000, lines=[(1, 1, 4_000)]) == 40 + 50
    assert take_back(bought, rule, 4_000, complete=True) == 40


def test_a_bonus_of_every_order_goes_with_its_last_line_though_postage_is_kept() -> None:
    rules = rules_of(basis={"shipping": False}, order_bonuses=[{"id": "order", "points": 5}])
    bought, rule = earned(rules, order(line(1, 1_000), line(2, 1_000), shipping_minor=500))
    assert take_back(bought, rule, 1_000, lines=[(1, 1, 1_000)]) == 10
    assert take_back(bought, rule, 1_000, lines=[(2, 1, 1_000)]) == 15


def test_what_a_cap_cut_is_shared_by_the_lines() -> None:
    bought, rule = earned(rules_of(), order(line(1, 4_000), line(2, 4_000)), granted=30)
    assert take_back(bought, rule, 4_000, lines=[(1, 1, 4_000)]) == 15
    assert take_back(bought, rule, 4_000, lines=[(2, 1, 4_000)]) == 15


def test_an_order_whose_lines_are_not_known_is_refunded_by_amount() -> None:
    bought, rule = earned(rules_of(), order(total_minor=10_000))
    assert take_back(bought, rule, 3_333) == 34
    assert take_back(bought, rule, 6_667) == 66


LINES = st.lists(
    st.tuples(st.integers(0, 10**6), st.integers(1, 4), st.sampled_from([None, "tea"])),
    min_size=1,
    max_size=4,
)
TERMS = st.fixed_dictionaries(
    {
        "rounding": st.sampled_from(["floor", "ceiling", "half_even"]),
        "multipliers": st.just(
            [
                {
                    "id": "tea",
                    "factor": "1.75",
                    "when": {"field": "line.category", "op": "eq", "value": "tea"},
                }
            ]
        ),
        "order_bonuses": st.lists(
            st.builds(
                lambda least: {
                    "id": f"over-{least}",
                    "points": 20,
                    "when": {"field": "order.total_minor", "op": "gte", "value": least},
                },
                st.sampled_from([0, 10_000, 1_000_000]),
            ),
            max_size=2,
            unique_by=lambda bonus: str(bonus["id"]),
        ),
        "basis": st.fixed_dictionaries({}, optional={"shipping": st.booleans()}),
    }
)


def pieces(facts: OrderFacts, cut: int) -> list[dict[str, Any]]:
    """Refunds that give everything back: unit by unit, the postage, and what is then left."""
    found: list[dict[str, Any]] = []
    for item in facts.lines:
        for unit in range(item.quantity):
            amount = item.unit_price_minor
            lines = [(item.line_no, 1, amount)]
            if (unit + cut) % 3:
                found.append({"amount_minor": amount, "lines": lines})
            else:
                # Some of the money first, and the unit later with the rest of it.
                found.append({"amount_minor": amount // 2, "lines": [(item.line_no, 0, amount // 2)]})
                rest = amount - amount // 2
                found.append({"amount_minor": rest, "lines": [(item.line_no, 1, rest)]})
    if facts.shipping_minor:
        found.append({"amount_minor": facts.shipping_minor, "shipping_minor": facts.shipping_minor})
    return found


@given(TERMS, LINES, st.integers(0, 3_000), st.integers(0, 2), st.randoms(), st.integers(0, 500))
def test_the_clawback_is_exact_over_any_split_lines_and_order_of_refunds(
    terms: dict[str, Any],
    lines: list[tuple[int, int, str | None]],
    shipping: int,
    cut: int,
    chance: Any,
    cap: int,
) -> None:
    bought_lines: list[LineFacts] = [
        line(number, price, quantity=quantity, category=category)
        for number, (price, quantity, category) in enumerate(lines)
    ]
    facts = order(*bought_lines, shipping_minor=shipping)
    refunds = pieces(facts, cut)
    half = chance.sample(refunds, len(refunds) // 2)
    rest = [item for item in refunds if item not in half]
    first, rule = earned(rules_of(**terms), facts, granted=cap)
    second, _ = earned(rules_of(**terms), facts, granted=cap)
    for item in half:
        assert take_back(first, rule, **item) >= 0
    for item in reversed(half):
        take_back(second, rule, **item)
    # The target is a matter of the refunds together, not of their order.
    assert first.clawed_back_points == second.clawed_back_points
    for item in rest:
        take_back(first, rule, **item)
    take_back(first, rule, 0, complete=True)
    assert first.clawed_back_points == first.granted_points


@given(
    st.lists(st.tuples(st.integers(1, 10**6), st.integers(1, 4)), min_size=1, max_size=4),
    st.integers(0, 3_000),
    st.lists(st.tuples(st.integers(0, 5), st.floats(0, 1)), min_size=1, max_size=8),
    st.randoms(),
)
def test_money_takes_as_many_points_as_it_earned_wherever_it_is_said_to_belong(
    lines: list[tuple[int, int]], shipping: int, parts: list[tuple[int, float]], chance: Any
) -> None:
    """Parts are for a line, for the postage, or for neither, however much those were sold for."""
    facts = order(
        *(line(number, price, quantity=quantity) for number, (price, quantity) in enumerate(lines)),
        shipping_minor=shipping,
    )
    refunds: list[dict[str, Any]] = []
    left = facts.total_minor
    for where, share in parts:
        amount = int(left * share)
        left -= amount
        refunds.append({"amount_minor": amount})
        if where < len(lines):
            refunds[-1]["lines"] = [(where, 0, amount)]
        elif where == len(lines):
            refunds[-1]["shipping_minor"] = amount
    first, rule = earned(rules_of(), facts)
    second, _ = earned(rules_of(), facts)
    for item in refunds:
        assert take_back(first, rule, **item) >= 0
    for item in chance.sample(refunds, len(refunds)):
        take_back(second, rule, **item)
    assert first.clawed_back_points == second.clawed_back_points
    kept = first.granted_points - first.clawed_back_points
    # A point is one unit; each line, the postage and the end are rounded.
    assert abs(kept - left / 100) <= len(lines) + 2
    take_back(first, rule, left)
    assert first.clawed_back_points == first.granted_points
