"""The demo's own books, on which its reconciliation rests."""

from datetime import UTC, datetime, timedelta

import pytest

from cli.demo.books import Books

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def test_a_refund_takes_what_the_rest_of_the_order_does_not_earn() -> None:
    books = Books()
    books.paid("kim", "1", 1_099, NOW)
    books.refunded("1", 549, NOW)
    assert (books.points_clawed_back, books.points_left(NOW)) == (5, 5)
    books.refunded("1", 550, NOW)
    assert (books.points_clawed_back, books.points_left(NOW), books.spend["kim"]) == (10, 0, 0)


def test_points_that_have_expired_are_neither_spent_nor_taken_back() -> None:
    books = Books()
    books.paid("kim", "1", 1_000, NOW - timedelta(days=365))
    books.paid("kim", "2", 700, NOW)
    books.refunded("1", 1_000, NOW)
    books.spent("kim", 7, NOW)
    assert (books.points_clawed_back, books.points_expired(NOW), books.points_left(NOW)) == (0, 10, 0)
    with pytest.raises(ValueError, match="too few"):
        books.spent("kim", 1, NOW)


def test_the_lot_that_expires_first_pays_first() -> None:
    books = Books()
    books.paid("kim", "1", 1_000, NOW)
    books.paid("kim", "2", 1_000, NOW - timedelta(days=300))
    books.spent("kim", 12, NOW)
    assert books.points_left(NOW + timedelta(days=66)) == 8


def test_merged_customers_spend_each_others_points() -> None:
    books = Books()
    books.paid("kim", "1", 1_000, NOW)
    books.paid("kim2", "2", 1_000, NOW)
    books.merged("kim", "kim2")
    books.spent("kim2", 15, NOW)
    assert books.points_left(NOW, "kim") == books.points_left(NOW, "kim2") == 5
    assert books.tiers() == {"bronze": 1}
    books.tier_bought("kim", "gold")
    assert books.tiers() == {"gold": 1}
