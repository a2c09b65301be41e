"""Earning rules alone: what an order earns under a rule set, and what a cap leaves of it."""

from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.points.domain import MAX_ENTRY_POINTS, PointsOutOfRange
from services.points.domain.caps import Cut, Window, capped, windows_of
from services.points.domain.earning import Parts, judge
from services.points.domain.facts import NOBODY, MemberFacts
from services.points.domain.rule_sets import PROGRAM, RuleSet, RuleSetError
from shared.money import UnknownCurrency
from tests.points.rule_sets import NOON, SEAT, line, order, rules_of

MEMBER = UUID(int=3)


def points(rules: RuleSet, *lines: Any, member: MemberFacts = NOBODY, **facts: Any) -> int:
    return judge(rules, order(*lines, **facts), member).parts.total


# Base


@pytest.mark.parametrize(
    ("rate", "total_minor", "currency", "expected"),
    [
        ({"points": 1}, 1_999, "USD", 19),
        ({"points": 3}, 1_999, "USD", 57),
        ({"points": 3, "whole_units": False}, 1_999, "USD", 59),
        ({"points": 1, "per_units": "10"}, 3_999, "USD", 3),
        ({"points": 1, "per_units": "0.5"}, 199, "USD", 3),
        ({"points": 1}, 1_999, "JPY", 1_999),
        ({"points": 1, "per_units": "100"}, 1_999, "JPY", 19),
        ({"points": 1}, 1_999, "KWD", 1),
        ({"points": 1000, "whole_units": False}, 1_999, "KWD", 1_999),
    ],
)
def test_points_per_currency_unit(
    rate: dict[str, Any], total_minor: int, currency: str, expected: int
) -> None:
    assert points(rules_of(base=rate), total_minor=total_minor, currency=currency) == expected


def test_a_currency_may_have_a_rate_of_its_own() -> None:
    rules = rules_of(by_currency={"JPY": {"points": 1, "per_units": "100"}})
    assert points(rules, total_minor=1_999, currency="JPY") == 19
    assert points(rules, total_minor=1_999, currency="USD") == 19


def test_other_currencies_convert_at_the_rate_that_is_stored() -> None:
    rules = rules_of(currency="USD", exchange_rates={"EUR": "1.085", "JPY": "0.0067", "KWD": "3.25"})
    assert points(rules, total_minor=10_000, currency="EUR") == 108
    assert points(rules, total_minor=10_000, currency="JPY") == 67
    assert points(rules, total_minor=10_000, currency="KWD") == 32
    judged = judge(rules, order(total_minor=10_000, currency="EUR"), NOBODY)
    assert (judged.exchange_rate, judged.basis_minor) == ("1.085", 10_000)


def test_a_currency_without_a_rate_earns_nothing_and_says_so() -> None:
    judged = judge(rules_of(currency="USD"), order(total_minor=10_000, currency="BRL"), NOBODY)
    assert (judged.parts.total, judged.why_nothing) == (0, "no_exchange_rate")


def test_what_is_no_currency_is_refused() -> None:
    with pytest.raises(UnknownCurrency):
        points(rules_of(), total_minor=1, currency="XXX")


def test_more_than_an_entry_holds_is_refused() -> None:
    with pytest.raises(PointsOutOfRange):
        points(rules_of(), total_minor=MAX_ENTRY_POINTS + 1, currency="JPY")


@pytest.mark.parametrize(
    ("rounding", "total_minor", "expected"),
    [
        ("floor", 250, 2),
        ("ceiling", 210, 3),
        ("half_up", 250, 3),
        ("half_even", 250, 2),
        ("half_even", 350, 4),
        ("half_up", 249, 2),
    ],
)
def test_rounding_is_what_the_rule_set_says(rounding: str, total_minor: int, expected: int) -> None:
    rules = rules_of(base={"points": 1, "whole_units": False}, rounding=rounding)
    assert points(rules, total_minor=total_minor) == expected


@pytest.mark.parametrize(
    ("basis", "expected"),
    [
        ({}, 100),
        ({"tax": False}, 90),
        ({"shipping": False}, 95),
        ({"discount": True}, 120),
        ({"redeemed": True}, 108),
        ({"tax": False, "shipping": False, "discount": True, "redeemed": True}, 113),
    ],
)
def test_what_of_the_money_counts_is_configuration(basis: dict[str, bool], expected: int) -> None:
    facts = {"shipping_minor": 500, "tax_minor": 1_000, "discount_minor": 2_800, "redeemed_minor": 800}
    assert points(rules_of(basis=basis), total_minor=10_000, **facts) == expected


# Lines


def test_points_are_allocated_to_lines_by_largest_remainder() -> None:
    judged = judge(rules_of(), order(line(1, 3_333), line(2, 3_333), line(3, 3_334)), NOBODY)
    assert judged.parts == Parts((33, 33, 34), 0, ())
    judged = judge(rules_of(), order(line(1, 99), line(2, 99), line(3, 99)), NOBODY)
    assert judged.parts == Parts((1, 1, 0), 0, ())


def test_postage_has_a_share_of_its_own() -> None:
    judged = judge(rules_of(), order(line(1, 9_000), shipping_minor=1_000), NOBODY)
    assert judged.parts == Parts((90,), 10, ())


def test_excluded_skus_and_gift_cards_earn_nothing() -> None:
    exclude = {
        "any": [
            {"field": "line.sku", "op": "in", "value": ["sku-1"]},
            {"field": "line.category", "op": "eq", "value": "gift card"},
        ]
    }
    rules = rules_of(exclude=exclude)
    judged = judge(rules, order(line(1, 1_000), line(2, 2_000, category="gift card"), line(3, 3_000)), NOBODY)
    assert (judged.parts.lines, judged.excluded) == ((0, 0, 30), (1, 2))
    judged = judge(rules, order(line(1, 1_000)), NOBODY)
    assert (judged.parts.total, judged.why_nothing) == (0, "excluded")


def test_bonuses_by_sku_category_and_product() -> None:
    rules = rules_of(
        line_bonuses=[
            {"id": "sku", "points": 5, "per": "unit", "when": eq("line.sku", "sku-1")},
            {"id": "category", "points": 7, "when": eq("line.category", "tea")},
            {"id": "product", "points": 11, "when": eq("line.product_id", "product-2")},
        ]
    )
    judged = judge(rules, order(line(1, 100, quantity=3), line(2, 100, category="tea")), NOBODY)
    assert judged.parts.lines == (3 + 15, 1 + 18)
    assert judged.factors == (("sku", "+15"), ("category", "+7"), ("product", "+11"))


def eq(field: str, value: object) -> dict[str, object]:
    return {"field": field, "op": "eq", "value": value}


# Multipliers


GOLD = {"id": "gold", "factor": "2", "when": eq("member.tier", "gold")}
FIRST = {"id": "first", "factor": "3", "when": eq("member.first_order", True)}
BIRTHDAY = {"id": "birthday", "factor": "1.5", "when": eq("member.birthday", True)}


@pytest.mark.parametrize(("combine", "expected"), [("max", 30), ("product", 60), ("sum", 40)])
def test_how_multipliers_combine_is_configuration(combine: str, expected: int) -> None:
    rules = rules_of(multipliers=[GOLD, FIRST, BIRTHDAY], combine=combine)
    both = MemberFacts("gold", first_order=True)
    assert points(rules, line(1, 1_000), member=both) == expected
    assert points(rules, line(1, 1_000)) == 10


def test_the_tier_may_bring_its_own_multiplier() -> None:
    rules = rules_of(multipliers=[{"id": "tier", "factor": "tier"}])
    assert points(rules, line(1, 1_000), member=MemberFacts("gold", 150)) == 15
    assert points(rules, line(1, 1_000), member=MemberFacts("basic")) == 10


@pytest.mark.parametrize(
    ("facts", "when"),
    [
        ({"channel": "live"}, eq("order.channel", "live")),
        ({"shop_id": "2"}, eq("order.shop_id", "2")),
        ({"campaign_ref": "spring"}, eq("order.campaign_ref", "spring")),
        ({"participation": SEAT}, eq("order.group_buy", True)),
        ({"participation": SEAT}, eq("order.activity_id", str(SEAT.activity_id))),
        ({"coupon_codes": ("TEN",)}, {"field": "order.coupon_codes", "op": "contains", "value": "TEN"}),
    ],
)
def test_channel_shop_campaign_and_group_buy_multiply(facts: dict[str, Any], when: dict[str, Any]) -> None:
    rules = rules_of(multipliers=[{"id": "double", "factor": "2", "when": when}])
    assert points(rules, line(1, 1_000), **facts) == 20
    assert points(rules, line(1, 1_000)) == 10


def test_a_multiplier_about_lines_multiplies_these_lines() -> None:
    tea = {"id": "tea", "factor": "2", "when": eq("line.category", "tea")}
    judged = judge(rules_of(multipliers=[tea]), order(line(1, 1_000, category="tea"), line(2, 1_000)), NOBODY)
    assert judged.parts.lines == (20, 10)


def test_the_factor_of_the_tier_may_be_for_some_lines_only() -> None:
    rules = rules_of(multipliers=[{"id": "tier", "factor": "tier", "when": eq("line.category", "tea")}])
    bought = order(line(1, 1_000, category="tea"), line(2, 1_000))
    assert judge(rules, bought, MemberFacts(tier_percent=150)).parts.lines == (15, 10)
    assert judge(rules, bought, NOBODY).parts.lines == (10, 10)


def test_a_condition_of_order_and_line_asks_its_lines_only_if_the_order_passes() -> None:
    tea, live = eq("line.category", "tea"), eq("order.channel", "live")
    rules = rules_of(multipliers=[{"id": "tea", "factor": "2", "when": {"all": [live, tea]}}])
    bought = (line(1, 1_000, category="tea"), line(2, 1_000))
    assert judge(rules, order(*bought, channel="live"), NOBODY).parts.lines == (20, 10)
    assert judge(rules, order(*bought), NOBODY).parts.lines == (10, 10)


def test_a_condition_that_always_holds_excludes_every_line() -> None:
    judged = judge(rules_of(exclude={"all": []}), order(line(1, 1_000), line(2, 1_000)), NOBODY)
    assert (judged.parts.total, judged.excluded, judged.why_nothing) == (0, (1, 2), "excluded")


def test_more_points_than_an_entry_holds_are_refused_and_not_only_those_that_fit_64_bits() -> None:
    rules = rules_of(base={"points": 10**15}, multipliers=[{"id": "much", "factor": "999999999"}])
    with pytest.raises(PointsOutOfRange):
        judge(rules, order(line(1, 1_000)), NOBODY)


@pytest.mark.parametrize(
    ("day", "days", "expected"),
    [(0, 1, 15), (1, 1, 10), (6, 7, 15), (7, 7, 10), (-1, 7, 10)],
)
def test_a_birthday_window_begins_with_the_birthday_where_the_member_lives(
    day: int, days: int, expected: int
) -> None:
    # The day is 23 hours long: its bounds are what members said, and nothing is reckoned from a zone here.
    begins = datetime(2026, 3, 8, 8, tzinfo=UTC)
    member = MemberFacts(birthday_starts_at=begins, birthday_ends_at=begins + timedelta(hours=23))
    rules = rules_of(multipliers=[BIRTHDAY], birthday_days=days)
    paid_at = begins + timedelta(days=day)
    assert points(rules, line(1, 1_000), member=member, paid_at=paid_at) == expected


def test_tags_and_groups_are_known_by_name_where_a_rule_asks_for_them_and_nowhere_else() -> None:
    vip = {"field": "member.tags", "op": "contains", "value": "vip"}
    wholesale = {"not": {"any": [{"field": "member.groups", "op": "contains", "value": "wholesale"}, vip]}}
    rules = rules_of(multipliers=[{"id": "retail", "factor": "2", "when": wholesale}])
    assert rules.plan.labels == {("tag", "vip"), ("group", "wholesale")}
    assert rules_of().plan.labels == frozenset()
    assert points(rules, line(1, 1_000)) == 20
    assert points(rules, line(1, 1_000), member=MemberFacts(tags=["vip"])) == 10
    assert points(rules, line(1, 1_000), member=MemberFacts(groups=["wholesale"])) == 10


def test_points_per_order_are_added_once() -> None:
    over = {"field": "order.total_minor", "op": "gte", "value": 5_000}
    rules = rules_of(order_bonuses=[{"id": "always", "points": 5}, {"id": "big", "points": 50, "when": over}])
    assert judge(rules, order(line(1, 4_999)), NOBODY).parts == Parts((49,), 0, (5,))
    judged = judge(rules, order(line(1, 5_000)), NOBODY)
    assert (judged.parts, judged.bonuses) == (Parts((50,), 0, (5, 50)), ("always", "big"))


@pytest.mark.parametrize(
    ("terms", "pointer"),
    [
        ({"exclude": eq("order.total_minor", 1)}, "/exclude/field"),
        (
            {"multipliers": [GOLD, {"id": "x", "factor": "2", "when": {"all": [1]}}]},
            "/multipliers/1/when/all/0",
        ),
        (
            {"order_bonuses": [{"id": "x", "points": 1, "when": eq("line.sku", "1")}]},
            "/order_bonuses/0/when/field",
        ),
        ({"multipliers": [GOLD, GOLD]}, ""),
        ({"caps": [{"per": "day", "points": 1}, {"per": "day", "points": 2}]}, "/caps"),
    ],
)
def test_a_rule_set_that_cannot_be_read_says_where(terms: dict[str, Any], pointer: str) -> None:
    with pytest.raises(RuleSetError) as refused:
        rules_of(**terms)
    assert refused.value.pointer == pointer


# Caps


def test_the_tightest_cap_bites_first_and_the_programs_last() -> None:
    rules = rules_of(
        caps=[
            {"scope": "program", "per": "day", "points": 25},
            {"per": "day", "points": 80},
            {"per": "order", "points": 100},
        ]
    )
    granted, cuts = capped(rules, 120, windows_of(rules, MEMBER, NOON), {})
    assert granted == 25
    assert cuts == [Cut("member_order", 120, 100), Cut("member_day", 100, 80), Cut("program_day", 80, 25)]
    used = {Window(MEMBER, "day", NOON.date()): 50, Window(PROGRAM, "day", NOON.date()): 20}
    assert capped(rules, 10, windows_of(rules, MEMBER, NOON), used)[0] == 5


@pytest.mark.parametrize(
    ("instant", "day"),
    [
        # 8 March 2026 has 23 hours in Los Angeles, 1 November has 25.
        ("2026-03-08T07:59:59+00:00", date(2026, 3, 7)),
        ("2026-03-08T08:00:00+00:00", date(2026, 3, 8)),
        ("2026-03-09T06:59:59+00:00", date(2026, 3, 8)),
        ("2026-03-09T07:00:00+00:00", date(2026, 3, 9)),
        ("2026-11-01T07:00:00+00:00", date(2026, 11, 1)),
        ("2026-11-02T07:59:59+00:00", date(2026, 11, 1)),
        ("2026-11-02T08:00:00+00:00", date(2026, 11, 2)),
    ],
)
def test_a_daily_cap_counts_by_the_programs_day_of_23_or_25_hours(instant: str, day: date) -> None:
    rules = rules_of(caps=[{"per": "day", "points": 1}], zone="America/Los_Angeles")
    (window,) = windows_of(rules, MEMBER, datetime.fromisoformat(instant))
    assert window == Window(MEMBER, "day", day)


def test_weeks_begin_on_monday_and_months_on_the_first() -> None:
    rules = rules_of(caps=[{"per": "week", "points": 1}, {"per": "month", "points": 1}])
    sunday = datetime(2026, 3, 1, 23, 59, tzinfo=UTC)
    assert [window.starts_on for window in windows_of(rules, MEMBER, sunday)] == [
        date(2026, 2, 23),
        date(2026, 3, 1),
    ]
    assert rules.zone == ZoneInfo("UTC")


# What holds of every order


AMOUNTS = st.integers(0, 10**7)
LINES = st.lists(
    st.builds(
        lambda price, quantity, category: (price, quantity, category),
        AMOUNTS,
        st.integers(1, 5),
        st.sampled_from([None, "tea", "gift"]),
    ),
    max_size=6,
)
RULE_SETS = st.builds(
    lambda per, whole, rounding, combine, tea, exclude, basis: rules_of(
        base={"points": per, "whole_units": whole},
        rounding=rounding,
        combine=combine,
        multipliers=[
            GOLD,
            FIRST,
            {"id": "tea", "factor": str(tea), "when": eq("line.category", "tea")},
        ],
        line_bonuses=[{"id": "unit", "points": 3, "per": "unit", "when": eq("line.category", "tea")}],
        order_bonuses=[{"id": "order", "points": 10}],
        exclude=eq("line.category", "gift") if exclude else None,
        basis=basis,
    ),
    st.integers(0, 9),
    st.booleans(),
    st.sampled_from(["floor", "ceiling", "half_up", "half_even"]),
    st.sampled_from(["max", "product", "sum"]),
    st.sampled_from(["0.5", "1", "1.25", "3"]),
    st.booleans(),
    st.fixed_dictionaries({}, optional={"tax": st.booleans(), "shipping": st.booleans()}),
)
MEMBERS = st.builds(
    lambda tier, first: MemberFacts(tier, first_order=first),
    st.sampled_from([None, "gold"]),
    st.booleans(),
)


@given(RULE_SETS, LINES, MEMBERS, st.integers(0, 5_000))
def test_lines_add_up_to_the_order_and_the_same_order_earns_the_same(
    rules: RuleSet, lines: list[tuple[int, int, str | None]], member: MemberFacts, shipping: int
) -> None:
    bought = order(
        *(
            line(number, price, quantity=quantity, category=category)
            for number, (price, quantity, category) in enumerate(lines)
        ),
        shipping_minor=shipping,
    )
    judged = judge(rules, bought, member)
    assert judged == judge(rules, bought, member)
    parts = judged.parts
    assert len(parts.lines) == len(lines)
    assert min((*parts.lines, parts.rest, *parts.bonuses)) >= 0
    assert parts.total == sum(parts.lines) + parts.rest + sum(parts.bonuses)
    for cut in (parts.total, parts.total // 3, 0):
        assert parts.cut_to(cut).total == cut
        assert all(less <= more for less, more in zip(parts.cut_to(cut).lines, parts.lines, strict=True))


@given(
    st.lists(st.tuples(st.integers(0, 300), st.integers(0, 20)), max_size=15),
    st.integers(0, 200),
    st.integers(0, 400),
)
def test_caps_are_never_exceeded_and_the_sum_is_the_same_in_any_order(
    orders: list[tuple[int, int]], per_day: int, per_month: int
) -> None:
    rules = rules_of(caps=[{"per": "day", "points": per_day}, {"per": "month", "points": per_month}])

    def run(items: list[tuple[int, int]]) -> int:
        used: dict[Window, int] = {}
        total = 0
        for given_points, hours in items:
            paid_at = NOON + timedelta(hours=hours)
            granted, _ = capped(rules, given_points, windows_of(rules, MEMBER, paid_at), used)
            total += granted
            for window in windows_of(rules, MEMBER, paid_at):
                used[window] = used.get(window, 0) + granted
        assert all(
            spent <= (per_day if window.period == "day" else per_month) for window, spent in used.items()
        )
        return total

    assert run(orders) == run(orders[::-1])
