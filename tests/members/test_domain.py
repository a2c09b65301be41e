"""The rules, without a database."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.members.domain import (
    ConsentState,
    IncomingOrder,
    KnownOrder,
    Member,
    Statement,
    Verdict,
    heard,
    state_attributes,
    state_of,
    verdict,
)
from services.members.schemas import OrderIn
from tests.members.shop import order

NOW = datetime(2026, 3, 1, tzinfo=UTC)
instants = st.integers(0, 5).map(lambda days: NOW + timedelta(days=days))


def known(stated: IncomingOrder, **fields: Any) -> KnownOrder:
    """Return the order as it would be stored, but for some fields."""
    stored = KnownOrder(
        id=uuid4(),
        member_id=uuid4(),
        key=stated.key,
        currency=stated.currency,
        total_minor=stated.total_minor,
        placed_at=stated.placed_at,
        paid_at=stated.paid_at,
        payment_id=stated.payment_id,
        cancelled_at=None,
        refunded_minor=0,
        participation=None,
        content=stated.content,
    )
    return replace(stored, **fields)


def incoming(**fields: Any) -> IncomingOrder:
    return OrderIn.model_validate(order(1, **fields)).command()


attributes = st.dictionaries(
    st.sampled_from(["locale", "country", "display_name"]), st.sampled_from(["a", "b", "c"]), max_size=3
)


@given(st.lists(st.tuples(attributes, instants), max_size=6), st.randoms())
def test_a_profile_is_the_same_whatever_the_order_of_statements(
    statements: list[tuple[dict[str, str], datetime]], chance: Any
) -> None:
    def told(order: list[tuple[dict[str, str], datetime]]) -> Member:
        member = Member(UUID(int=1))
        for said, at in order:
            state_attributes(member, said, at)
        return member

    shuffled = statements.copy()
    chance.shuffle(shuffled)
    one, other = told(statements), told([*shuffled, *statements])
    assert (one.locale, one.country, one.display_name) == (other.locale, other.country, other.display_name)
    assert one.attributes_stated_at == other.attributes_stated_at


@given(st.lists(st.tuples(st.booleans(), instants), min_size=1, max_size=6), st.randoms())
def test_consent_is_the_same_whatever_the_order_and_no_beats_yes(
    said: list[tuple[bool, datetime]], chance: Any
) -> None:
    shuffled = said.copy()
    chance.shuffle(shuffled)
    state: ConsentState | None = None
    for granted, at in [*shuffled, *said]:
        statement = Statement(UUID(int=1), "email", "marketing", granted, at, None, "order", "test")
        holds, _ = heard(state, statement)
        if holds:
            state = ConsentState(granted, at)
    latest = max(at for _, at in said)
    assert state == ConsentState(all(granted for granted, at in said if at == latest), latest)


def test_the_same_again_is_unchanged() -> None:
    stated = incoming(payment_id="p1")
    assert verdict(known(stated), stated) is Verdict.UNCHANGED
    assert verdict(known(stated), incoming()) is Verdict.UNCHANGED
    assert verdict(known(stated), incoming(paid_at=None)) is Verdict.UNCHANGED


def test_a_first_payment_pays() -> None:
    assert verdict(known(incoming(paid_at=None)), incoming(payment_id="p1")) is Verdict.PAY


@pytest.mark.parametrize(
    "contradiction",
    [
        {"total_minor": 2_000},
        {"buyer": "lee"},
        {"currency": "EUR"},
        {"placed_at": "2026-01-02T12:00:00Z", "paid_at": "2026-01-01T12:00:00Z"},
        {"paid_at": "2026-01-01T12:00:01Z", "payment_id": "p1"},
        {"payment_id": "p2"},
        {"channel": "search"},
        {"coupon_codes": ["X"]},
        {"lines": [{"sku": "CD", "quantity": 2, "unit_price_minor": 500}]},
    ],
)
def test_other_content_contradicts(contradiction: dict[str, Any]) -> None:
    arguments: dict[str, Any] = {"buyer": "kim", "total_minor": 1_000} | contradiction
    stated = OrderIn.model_validate(order(1, **arguments)).command()
    assert verdict(known(incoming(payment_id="p1")), stated) is Verdict.CONFLICT


def test_states() -> None:
    stated = incoming()
    assert state_of(known(stated, paid_at=None)) == "placed"
    assert state_of(known(stated)) == "paid"
    assert state_of(known(stated, refunded_minor=999)) == "paid"
    assert state_of(known(stated, refunded_minor=1_000)) == "refunded"
    assert state_of(known(stated, cancelled_at=NOW, refunded_minor=1_000)) == "cancelled"


def test_what_was_left_out_leaves_no_trace_in_the_content() -> None:
    bare = order(1)
    spelled_out = bare | {"shipping_minor": 0, "channel": None, "coupon_codes": [], "total_minor": 1_000}
    assert (
        OrderIn.model_validate(bare).command().content
        == OrderIn.model_validate(spelled_out).command().content
    )
