"""Mappings: what a row becomes, and what is said when it cannot."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.importing import MappingError, load_mapping
from cli.importing.values import RowRefused

CDNOW = ("customer_id", "date", "number_of_cds", "dollar_value")
GENERIC = ("order_id", "customer_id", "currency", "placed_at", "sku", "quantity", "unit_price")


def cdnow(*cells: str, shift_days: int = 0) -> dict[str, Any]:
    return load_mapping("cdnow").bound(CDNOW, timedelta(days=shift_days)).order(cells, 7)


def generic(extra: dict[str, str] | None = None, **changed: str) -> dict[str, Any]:
    row = {
        "order_id": "A-1",
        "customer_id": "kim",
        "currency": "USD",
        "placed_at": "2026-03-01T12:00:00Z",
        "sku": "MUG",
        "quantity": "2",
        "unit_price": "19.99",
        **changed,
        **(extra or {}),
    }
    return load_mapping("generic").bound(tuple(row)).order(tuple(row.values()), 1)


def test_a_row_of_cdnow_becomes_a_paid_order_with_an_address_and_consent() -> None:
    order = cdnow("00002", "19970112", "5", "77.00", shift_days=365)
    assert order["external_order_id"] == "7"
    assert order["external_customer_id"] == "00002"
    assert order["placed_at"] == order["paid_at"] == "1998-01-12T12:00:00Z"
    (contact,) = order["contact_points"]
    assert contact["address"] == "00002@example.test"
    assert all(consent["granted"] for consent in contact["consents"])
    assert order["lines"] == [
        {
            "sku": "cd",
            "title": "Compact disc",
            "category": "music",
            "quantity": 5,
            "unit_price_minor": 1540,
            "discount_minor": 0,
        }
    ]


@given(cents=st.integers(0, 10**9), quantity=st.integers(1, 99))
def test_an_order_is_worth_its_total_to_the_cent_whatever_the_quantity(cents: int, quantity: int) -> None:
    (line,) = cdnow("1", "19970101", str(quantity), f"{cents // 100}.{cents % 100:02}")["lines"]
    assert line["quantity"] * line["unit_price_minor"] - line["discount_minor"] == cents
    assert 0 <= line["discount_minor"] < quantity


def test_what_a_row_leaves_empty_is_left_out() -> None:
    order = generic({"email": "", "name": "", "paid_at": "", "shipping": ""})
    assert order["contact_points"] == []
    assert not {"paid_at", "shipping_minor", "customer"} & set(order)
    assert order["source"] == "import"


def test_what_a_row_holds_is_taken_in_its_currency() -> None:
    columns = {"email": "kim@example.test", "marketing_consent": "yes", "name": "Kim", "shipping": "500"}
    order = generic(columns, currency="JPY", unit_price="1200")
    assert order["lines"][0]["unit_price_minor"] == 1200
    assert order["shipping_minor"] == 500
    assert order["customer"] == {"display_name": "Kim"}
    assert order["contact_points"][0]["consents"] == [{"purpose": "marketing", "granted": True}]


def test_a_consent_that_is_not_said_is_not_made_up() -> None:
    (contact,) = generic({"email": "kim@example.test", "marketing_consent": ""})["contact_points"]
    assert contact["consents"] == []


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"quantity": "two"}, "quantity: 'two' is not a whole number"),
        ({"unit_price": "19,99"}, "unit_price: '19,99' is not a plain decimal number"),
        ({"unit_price": "1.999"}, "more than the 2 decimal places of USD"),
        ({"unit_price": "1e99"}, "is not a plain decimal number"),
        ({"currency": "XYZ"}, "'XYZ' is not an active ISO 4217 currency"),
        ({"placed_at": "yesterday"}, "is not an instant"),
        ({"placed_at": "2026-03-01 12:00"}, "says no zone"),
        ({"order_id": " "}, "order_id is empty"),
    ],
)
def test_a_cell_that_cannot_be_read_is_named(changed: dict[str, str], reason: str) -> None:
    with pytest.raises(RowRefused) as refused:
        generic(**changed)
    assert reason in str(refused.value)


def test_every_reason_of_a_row_is_told_at_once() -> None:
    with pytest.raises(RowRefused) as refused:
        generic(quantity="x", order_id="", placed_at="soon")
    assert len(refused.value.reasons) == 3


def test_a_row_of_another_width_is_refused() -> None:
    with pytest.raises(RowRefused, match="3 columns instead of 4"):
        cdnow("1", "19970101", "1")


def test_a_file_without_a_needed_column_is_told_which_it_has() -> None:
    with pytest.raises(MappingError, match="needs the columns quantity, unit_price; the file has order_id"):
        load_mapping("generic").bound(GENERIC[:5])


@pytest.mark.parametrize(
    ("toml", "complaint"),
    [
        ("[order]\nx = {column = 'a', read = 'number'}", "read = 'number' is none of"),
        ("[order]\nx = {column = 'a', if_empty = 'skip'}", "if_empty = 'skip' is none of"),
        ("[order]\nx = {column = 'a', colour = 'red'}", "colour is not known"),
        ("[file]\nformat = 'xlsx'\n[order]", "'xlsx' is none of"),
        ("[file]\nencoding = 'martian'\n[order]", "'martian' is not known"),
        ("[file]", r"no \[order\]"),
        ("order = ", "is not TOML"),
    ],
)
def test_a_mapping_that_is_wrong_is_refused_before_the_file_is_read(
    tmp_path: Path, toml: str, complaint: str
) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(toml)
    with pytest.raises(MappingError, match=complaint):
        load_mapping(str(path))


def test_an_unknown_mapping_is_answered_with_those_there_are() -> None:
    with pytest.raises(
        MappingError, match="amazon, cancellations, cdnow, deliveries, ebay, generic, points, refunds"
    ):
        load_mapping("nothing")
