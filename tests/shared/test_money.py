"""Money: exact, within bigint, and split without losing anything."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.money import (
    MAX_AMOUNT_MINOR,
    MIN_AMOUNT_MINOR,
    AmountOutOfRange,
    CurrencyMismatch,
    InexactAmount,
    Money,
    MoneyError,
    UnknownCurrency,
    allocate,
    decimal_text,
    exponent,
    is_currency,
    parse_decimal,
    whole_units,
)

amounts = st.integers(MIN_AMOUNT_MINOR, MAX_AMOUNT_MINOR)
currencies = st.sampled_from(["JPY", "USD", "KWD", "CLF"])


@pytest.mark.parametrize(
    ("currency", "places"),
    [
        ("USD", 2),
        ("EUR", 2),
        ("CNY", 2),
        ("JPY", 0),
        ("KRW", 0),
        ("BHD", 3),
        ("KWD", 3),
        ("CLF", 4),
        ("UYW", 4),
    ],
)
def test_exponents_are_those_of_iso_4217(currency: str, places: int) -> None:
    assert is_currency(currency)
    assert exponent(currency) == places


@pytest.mark.parametrize("code", ["usd", "US", "", "XAU", "XXX", "XTS", "HRK", "BGN", "ABC", "US$"])
def test_what_is_no_active_currency_is_refused(code: str) -> None:
    assert not is_currency(code)
    with pytest.raises(UnknownCurrency):
        Money(1, code)


@pytest.mark.parametrize(
    ("text", "currency", "amount_minor"),
    [
        ("12.34", "USD", 1234),
        ("12", "USD", 1200),
        ("12.3", "USD", 1230),
        ("12.3400", "USD", 1234),
        ("-0.01", "USD", -1),
        ("+7.000", "JPY", 7),
        ("0.001", "KWD", 1),
        ("92233720368547758.07", "USD", MAX_AMOUNT_MINOR),
    ],
)
def test_parsing_is_exact(text: str, currency: str, amount_minor: int) -> None:
    assert parse_decimal(text, currency) == Money(amount_minor, currency)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " 1",
        "1 ",
        "1,000",
        "1.",
        ".5",
        "1e3",
        "NaN",
        "inf",
        "0x10",
        "1_000",
        "--1",
        "٣",
        "1.005",
        "1\n",
        "9" * 33,
    ],
)
def test_what_is_not_exact_is_refused(text: str) -> None:
    with pytest.raises(InexactAmount):
        parse_decimal(text, "USD")


def test_an_amount_beyond_bigint_is_refused_wherever_it_arises() -> None:
    most, least = Money(MAX_AMOUNT_MINOR, "USD"), Money(MIN_AMOUNT_MINOR, "USD")
    one = Money(1, "USD")
    with pytest.raises(AmountOutOfRange):
        parse_decimal("92233720368547758.08", "USD")
    with pytest.raises(AmountOutOfRange):
        most + one
    with pytest.raises(AmountOutOfRange):
        least - one
    with pytest.raises(AmountOutOfRange):
        _ = -least
    with pytest.raises(AmountOutOfRange):
        2 * most


@pytest.mark.parametrize("amount", [1.0, True, "1", None])
def test_an_amount_is_an_integer_and_nothing_that_looks_like_one(amount: object) -> None:
    with pytest.raises(MoneyError):
        Money(amount, "USD")  # type: ignore[arg-type]  # The wrong type is what this test is about.


def test_arithmetic_and_order_stay_within_one_currency() -> None:
    ten, three = Money(10, "USD"), Money(3, "USD")
    assert (ten + three, ten - three, ten * 2, -three) == tuple(Money(n, "USD") for n in (13, 7, 20, -3))
    assert three < ten
    assert ten >= three
    assert not Money(0, "USD")
    assert Money(10, "EUR") != ten
    with pytest.raises(CurrencyMismatch):
        ten + Money(1, "EUR")
    with pytest.raises(CurrencyMismatch):
        assert ten > Money(1, "EUR")


@given(amounts, currencies)
def test_decimal_text_and_parsing_are_inverse(amount_minor: int, currency: str) -> None:
    text = decimal_text(amount_minor, currency)
    assert parse_decimal(text, currency).amount_minor == amount_minor
    assert Decimal(text).scaleb(exponent(currency)) == amount_minor


@pytest.mark.parametrize(
    ("amount_minor", "currency", "units"),
    [
        (1999, "USD", 19),
        (99, "USD", 0),
        (-1999, "USD", -19),
        (500, "JPY", 500),
        (1999, "KWD", 1),
        (0, "USD", 0),
    ],
)
def test_whole_units_cut_towards_zero(amount_minor: int, currency: str, units: int) -> None:
    assert whole_units(amount_minor, currency) == units


@given(amounts, st.lists(st.integers(0, 2**63), min_size=1, max_size=12).filter(any))
def test_shares_add_up_and_are_within_one_unit_of_their_quota(total_minor: int, weights: list[int]) -> None:
    shares = allocate(total_minor, weights)
    assert sum(shares) == total_minor
    for share, weight in zip(shares, weights, strict=True):
        assert abs(share - Fraction(total_minor * weight, sum(weights))) < 1
        assert weight or share == 0
    # The opposite of the least number of 64 bits is not one.
    assert total_minor == MIN_AMOUNT_MINOR or allocate(-total_minor, weights) == [-share for share in shares]


def test_the_units_left_over_go_to_the_largest_remainders_and_then_to_the_first() -> None:
    assert allocate(100, [1, 1, 1]) == [34, 33, 33]
    assert allocate(10, [30, 40, 33]) == [3, 4, 3]
    assert Money(5, "JPY").allocate([1, 3]) == [Money(1, "JPY"), Money(4, "JPY")]


def test_nothing_splits_into_nothing_and_something_needs_weight() -> None:
    assert allocate(0, [0, 0]) == [0, 0]
    assert allocate(0, []) == []
    with pytest.raises(MoneyError, match="add up to zero"):
        allocate(1, [0, 0])
    with pytest.raises(MoneyError, match="never negative"):
        allocate(1, [2, -1])
