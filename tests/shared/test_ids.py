"""Ids: new ones ascend, derived ones are the same for ever."""

from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.ids import derived_id, new_id, new_ids


def test_new_ids_are_version_seven_and_ascend_across_calls() -> None:
    made = [new_id(), *new_ids(1_000), new_id()]
    assert {made_id.version for made_id in made} == {7}
    assert made == sorted(made)
    assert len(set(made)) == len(made)


def test_a_count_below_zero_is_refused() -> None:
    assert new_ids(0) == []
    with pytest.raises(ValueError, match="-1"):
        new_ids(-1)


def test_a_derived_id_never_changes() -> None:
    # Frozen: members and orders of earlier imports were given their ids this way.
    assert derived_id("order", "cdnow", "1") == UUID("17072353-79e0-5002-9f34-9889960162ec")


@given(st.lists(st.text(), min_size=1, max_size=4), st.lists(st.text(), min_size=1, max_size=4))
def test_different_parts_give_different_ids(one: list[str], other: list[str]) -> None:
    assert (derived_id("x", *one) == derived_id("x", *other)) is (one == other)


def test_namespaces_are_apart() -> None:
    root = uuid4()
    assert len({derived_id("a", "1"), derived_id("b", "1"), derived_id(root, "1")}) == 3


def test_nothing_has_no_id() -> None:
    with pytest.raises(ValueError, match="at least one"):
        derived_id("order")
