"""Tokens for links verify with any key in use and with no change to a single character."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from shared.signing import InvalidToken, key_id, sign, verify

OLD, NEW, OTHER = (SecretStr(word * 32) for word in "abc")


@given(st.binary(max_size=500))
def test_what_was_signed_comes_back(payload: bytes) -> None:
    token = sign(payload, [NEW, OLD])
    assert verify(token, [NEW, OLD]) == payload
    assert verify(token, [OTHER, OLD, NEW]) == payload
    with pytest.raises(InvalidToken):
        verify(token, [OLD, OTHER])


@given(st.binary(max_size=50), st.integers(min_value=0), st.characters())
def test_one_changed_character_is_enough(payload: bytes, position: int, character: str) -> None:
    token = sign(payload, [NEW])
    position %= len(token)
    changed = token[:position] + character + token[position + 1 :]
    if changed != token:
        with pytest.raises(InvalidToken):
            verify(changed, [NEW])


@given(st.text())
def test_any_text_is_refused_calmly(text: str) -> None:
    with pytest.raises(InvalidToken):
        verify(text, [NEW])


def test_limits_and_names() -> None:
    with pytest.raises(ValueError, match="too long"):
        sign(b"x" * 2_000, [NEW])
    with pytest.raises(InvalidToken):
        verify("a" * 5_000, [NEW])
    assert len(key_id("a")) == 8
    assert key_id("a") != key_id("b")
    assert sign(b"x", [NEW]).startswith(key_id(NEW.get_secret_value()) + ".")
