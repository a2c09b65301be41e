"""The lottery's rules: what is committed to decides, tickets are equally likely, nothing can be altered."""

import hashlib
import hmac
from collections import Counter
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.points.domain import Draw, Odds, Prize
from services.points.domain.lottery import (
    EXHAUSTED,
    NOTHING,
    WON,
    blocks,
    commitment_of,
    outcome_of,
    oversold,
    problems_of,
    round_span,
    ticket_of,
    uniform,
)

SEED = bytes(range(32))
MEMBER = UUID("019aa8f2-f23f-7ae5-9b9b-f3b2f981c5c4")
AT = datetime(2026, 11, 21, 18, 5, tzinfo=UTC)


def wheel(*weights: int, stock: int | None = None) -> Odds:
    """Odds whose first line is nothing and whose last line has the stock."""
    lines = [Prize(1, "Nothing", "nothing", weights[0])]
    for number, weight in enumerate(weights[1:], 2):
        left = stock if number == len(weights) else None
        lines.append(Prize(number, f"{number} points", "points", weight, left, points=number))
    return Odds(1, lines)


def drawn(odds: Odds, number: int = 1, *, stock_before: int | None = None, nonce: str = "n") -> Draw:
    """The draw that the rules make of these words."""
    ticket = ticket_of(SEED, MEMBER, nonce, number, odds.total_weight)
    prize = odds.prize_at(ticket)
    met = stock_before if prize.stock is not None else None
    return Draw(
        id=uuid4(),
        lottery_id=uuid4(),
        round_number=1,
        commitment=commitment_of(SEED),
        odds_version=odds.version,
        odds_digest=odds.digest(),
        member_id=MEMBER,
        client_nonce=nonce,
        draw_number=number,
        ticket=ticket,
        prize_number=prize.number,
        stock_before=met,
        outcome=outcome_of(prize, met),
        cost_points=50,
        drawn_at=AT,
    )


def test_a_ticket_is_an_hmac_that_anybody_can_compute() -> None:
    message = b"019aa8f2-f23f-7ae5-9b9b-f3b2f981c5c4|c2f1a9|3"
    expected = int.from_bytes(hmac.new(SEED, message, hashlib.sha256).digest(), "big")
    assert next(blocks(SEED, MEMBER, "c2f1a9", 3)) == expected
    assert ticket_of(SEED, MEMBER, "c2f1a9", 3, 1000) == expected % 1000
    again = int.from_bytes(hmac.new(SEED, message + b"|1", hashlib.sha256).digest(), "big")
    assert list(islice(blocks(SEED, MEMBER, "c2f1a9", 3), 2)) == [expected, again]
    assert commitment_of(SEED) == hashlib.sha256(SEED).hexdigest()


@pytest.mark.parametrize("below", [1, 2, 3, 7, 100, 127, 128, 255, 256])
def test_every_number_is_as_likely_by_counting_them_all(below: int) -> None:
    whole = 256 - 256 % below
    counts = Counter(uniform([number, 0], below, out_of=256) for number in range(whole))
    assert set(counts.values()) == {256 // below}
    assert len(counts) == below
    # What would favour small numbers is discarded, and the next number taken.
    assert all(uniform([number, below - 1], below, out_of=256) == below - 1 for number in range(whole, 256))


def test_there_is_no_number_below_nothing() -> None:
    for below in (0, -1, 257):
        with pytest.raises(ValueError, match="no number"):
            uniform([1], below, out_of=256)


@given(st.lists(st.integers(1, 40), min_size=1, max_size=8))
def test_of_all_tickets_each_line_has_as_many_as_it_weighs(weights: list[int]) -> None:
    odds = wheel(*weights)
    hits = Counter(odds.prize_at(ticket).number for ticket in range(odds.total_weight))
    assert hits == dict(enumerate(weights, 1))
    for ticket in (-1, odds.total_weight):
        with pytest.raises(ValueError, match="no ticket"):
            odds.prize_at(ticket)


def test_a_draw_depends_on_every_word_that_goes_into_it() -> None:
    tickets = {
        ticket_of(seed, member, nonce, number, 10**15)
        for seed in (SEED, SEED[::-1])
        for member in (MEMBER, uuid4())
        for nonce in ("a", "b")
        for number in (1, 2)
    }
    assert len(tickets) == 16


def test_a_prize_that_is_gone_is_nothing_and_changes_no_other_odds() -> None:
    limited, free = Prize(1, "a", "points", 1, 2, points=5), Prize(2, "b", "points", 1, points=5)
    assert [outcome_of(limited, left) for left in (2, 1, 0)] == [WON, WON, EXHAUSTED]
    assert outcome_of(free, None) == WON
    assert outcome_of(Prize(3, "c", "nothing", 1), None) == NOTHING


@given(
    weights=st.lists(st.integers(1, 10**12), min_size=1, max_size=5),
    number=st.integers(1, 100),
    nonce=st.text("abcdef0123456789", min_size=1, max_size=20),
    left=st.integers(0, 3),
)
def test_an_honest_draw_verifies(weights: list[int], number: int, nonce: str, left: int) -> None:
    odds = wheel(*weights, stock=3)
    draw = drawn(odds, number, nonce=nonce, stock_before=left)
    assert problems_of(draw, odds, SEED, draw.receipt()) == []


ALTERED = {
    "id": st.uuids(),
    "lottery_id": st.uuids(),
    "round_number": st.integers(2, 9),
    "commitment": st.text("0123456789abcdef", min_size=64, max_size=64),
    "odds_version": st.integers(2, 9),
    "odds_digest": st.text("0123456789abcdef", min_size=64, max_size=64),
    "member_id": st.uuids(),
    "client_nonce": st.text("xyz", min_size=1),
    "draw_number": st.integers(2, 99),
    "ticket": st.integers(10**9, 10**10),
    "prize_number": st.integers(4, 9),
    "stock_before": st.integers(7, 9),
    "outcome": st.just("something else"),
    "cost_points": st.integers(51, 99),
    "drawn_at": st.just(AT + timedelta(microseconds=1)),
}


def test_every_field_of_a_draw_is_covered_below() -> None:
    assert set(ALTERED) == {field.name for field in fields(Draw)}


@given(st.data())
def test_a_draw_of_which_anything_is_altered_does_not_verify(data: st.DataObject) -> None:
    odds = wheel(5, 3, 2, stock=3)
    draw = drawn(odds, stock_before=2)
    receipt = draw.receipt()
    name = data.draw(st.sampled_from(sorted(ALTERED)))
    altered = replace(draw, **{name: data.draw(ALTERED[name])})
    assert problems_of(altered, odds, SEED, receipt)
    # Whoever alters the record and the receipt still has to answer for what decided the draw.
    if name in ("commitment", "odds_version", "odds_digest", "ticket", "prize_number", "outcome"):
        assert problems_of(altered, odds, SEED, altered.receipt())


@given(st.integers(0, 4), st.integers(1, 10**6))
def test_other_odds_or_another_seed_do_not_verify(line: int, weight: int) -> None:
    odds = wheel(5, 3, 2, 7, 1, stock=3)
    draw = drawn(odds, stock_before=2)
    prizes = list(odds.prizes)
    prizes[line] = replace(prizes[line], weight=prizes[line].weight + weight)
    assert problems_of(draw, Odds(1, prizes), SEED, draw.receipt())
    prizes[line] = replace(odds.prizes[line], name="another name")
    assert problems_of(draw, Odds(1, prizes), SEED, draw.receipt())
    assert problems_of(draw, odds, bytes(32), draw.receipt())


@given(stock=st.integers(0, 5), numbers=st.integers(0, 40))
def test_prizes_handed_out_by_the_rules_are_never_oversold(stock: int, numbers: int) -> None:
    odds = wheel(1, 1, stock=stock)
    left, draws = stock, []
    for number in range(1, numbers + 1):
        draw = drawn(odds, number, stock_before=left)
        left -= draw.outcome == WON
        draws.append(draw)
    assert oversold(odds, draws) == []
    assert sum(draw.outcome == WON for draw in draws) == stock - left <= stock
    won = [draw for draw in draws if draw.outcome == WON]
    if won:
        # One unit given away twice, and one called exhausted although some are left.
        assert oversold(odds, [*draws, won[-1]]) == [2]
        assert oversold(odds, won[1:] or [replace(won[0], outcome=EXHAUSTED, stock_before=0)]) == [2]


def test_rounds_follow_each_other_and_begin_anew_after_a_gap() -> None:
    day = timedelta(days=1)
    assert round_span(day, None, AT) == (AT, AT + day)
    assert round_span(day, AT + day, AT) == (AT + day, AT + 2 * day)
    assert round_span(day, AT - day, AT) == (AT, AT + day)
