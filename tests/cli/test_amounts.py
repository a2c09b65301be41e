"""Amounts and times as people and marketplaces write them."""

from datetime import time, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.importing.amounts import amount_minor, currency_in
from cli.importing.times import local_reader
from shared.clock import zone
from shared.money import decimal_text


@pytest.mark.parametrize(
    ("text", "currency", "decimal", "minor"),
    [
        ("$1,234.56", "USD", "auto", 123_456),
        ("US $12.34", "USD", "auto", 1_234),
        ("EUR 12,00", "EUR", "auto", 1_200),
        ("1.234,50 €", "EUR", "auto", 123_450),
        ("1 234,50 zł", "PLN", "auto", 123_450),
        ("1'234.50", "CHF", "auto", 123_450),
        ("12", "USD", "auto", 1_200),
        ("-$3.00", "USD", "auto", -300),
        ("$-3.00", "USD", "auto", -300),
        ("1,234", "JPY", "auto", 1_234),
        ("1,234,567", "USD", "auto", 123_456_700),
        ("1.234", "KWD", "auto", 1_234),
        ("1.234", "EUR", ",", 123_400),
        ("1,234", "USD", ".", 123_400),
    ],
)
def test_amounts(text: str, currency: str, decimal: str, minor: int) -> None:
    assert amount_minor(text, currency, decimal) == minor


@pytest.mark.parametrize(
    ("text", "decimal"),
    [
        ("12.345 €", "auto"),
        ("1,23.45", "auto"),
        ("1.2.3", "auto"),
        ("12,00", "."),
        ("", "auto"),
        ("free", "auto"),
        ("12.345", "."),
        ("1,23", "."),
    ],
)
def test_what_could_mean_two_things_or_nothing_is_refused(text: str, decimal: str) -> None:
    with pytest.raises(ValueError, match=r"amount|decimal|mapping"):
        amount_minor(text, "EUR", decimal)


@given(minor=st.integers(0, 10**12), currency=st.sampled_from(["USD", "EUR"]), point=st.sampled_from(".,"))
def test_what_is_written_with_thousands_and_cents_is_read_back(minor: int, currency: str, point: str) -> None:
    whole, _, cents = decimal_text(minor, currency).partition(".")
    grouped = f"{int(whole):,}".replace(",", "," if point == "." else ".")
    for written in (
        f"{grouped}{point}{cents}",
        f"US$ {grouped}{point}{cents}",
        f"{grouped}{point}{cents} EUR",
    ):
        assert amount_minor(written, currency, "auto") == minor
        assert amount_minor(written, currency, point) == minor


@given(st.text(max_size=30), st.sampled_from(["USD", "JPY", "KWD"]), st.sampled_from(["auto", ".", ","]))
def test_no_text_breaks_it(text: str, currency: str, decimal: str) -> None:
    for read in (lambda: amount_minor(text, currency, decimal), lambda: currency_in(text, {})):
        try:
            read()
        except ValueError:
            continue


def test_currencies() -> None:
    assert currency_in("US $12.34", {}) == "USD"
    assert currency_in("12,00 EUR", {}) == "EUR"
    assert currency_in("12.00", {}) is None
    assert currency_in("¥ 500", {"¥": "CNY"}) == "CNY"
    with pytest.raises(ValueError, match="no currency that is known"):
        currency_in("¥ 500", {})
    with pytest.raises(ValueError, match="no currency that is known"):
        currency_in("$ 500 EUR", {})


def reader(**changed: Any) -> Any:
    options = {
        "at": time(12),
        "abbreviations": {"PST": "-08:00"},
        "ambiguous": "earlier",
        "nonexistent": "forward",
        "shift": timedelta(),
    }
    return local_reader(["%b-%d-%y %H:%M", "%b-%d-%y"], zone("America/Los_Angeles"), **(options | changed))


def test_wall_clock_times() -> None:
    read = reader()
    assert read("Mar-09-26").isoformat() == "2026-03-09T19:00:00+00:00"
    assert read("Jan-09-26 10:00").isoformat() == "2026-01-09T18:00:00+00:00"
    assert read("Jul-09-26 10:00 PST").isoformat() == "2026-07-09T18:00:00+00:00"
    with pytest.raises(ValueError, match="is not a time like Mar-09-26 17:05"):
        read("9 March")


def test_times_that_happen_twice_or_never_follow_the_stated_policy() -> None:
    twice, never = "Nov-01-26 01:30", "Mar-08-26 02:30"
    assert reader()(twice).isoformat() == "2026-11-01T08:30:00+00:00"
    assert reader(ambiguous="later")(twice).isoformat() == "2026-11-01T09:30:00+00:00"
    assert reader()(never).isoformat() == "2026-03-08T10:30:00+00:00"
    for policy, text in (({"ambiguous": "refuse"}, twice), ({"nonexistent": "refuse"}, never)):
        with pytest.raises(ValueError, match=r"happens twice|does not exist"):
            reader(**policy)(text)
