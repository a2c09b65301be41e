"""The rules by themselves: prices, deadlines over clock changes, machines, and what a token holds."""

from datetime import datetime, timedelta
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.campaigns.domain import PACIFIC, Share, group_deadline, group_price, is_bot, is_too_long
from services.campaigns.pages import checkout_url, time_left
from shared.clock import local_to_instant, zone


def wall(text: str) -> datetime:
    """Return a wall time without a zone."""
    return datetime.fromisoformat(text)


def pacific(text: str) -> datetime:
    """Return the instant of a Pacific wall time."""
    return local_to_instant(wall(text), zone(PACIFIC))


@given(price=st.integers(1, 10**15), percent=st.integers(5, 99))
def test_a_discount_is_never_less_than_promised(price: int, percent: int) -> None:
    discounted = group_price(price, percent)
    assert 0 <= discounted < price
    assert discounted * 100 <= price * (100 - percent) < (discounted + 1) * 100


@pytest.mark.parametrize(
    ("paid", "shown"),
    [
        # The night in spring has 23 hours and the night in autumn 25; a group lasts 24 of either.
        (wall("2027-03-13T12:00"), wall("2027-03-14T13:00")),
        (wall("2027-11-06T12:00"), wall("2027-11-07T11:00")),
        (wall("2027-06-01T12:00"), wall("2027-06-02T12:00")),
    ],
)
def test_a_group_lasts_24_elapsed_hours(paid: datetime, shown: datetime) -> None:
    instant = local_to_instant(paid, zone(PACIFIC))
    deadline = group_deadline(instant, instant + timedelta(days=30))
    assert deadline.astimezone(zone(PACIFIC)).replace(tzinfo=None) == shown


def test_no_group_outlives_its_activity() -> None:
    now = pacific("2027-06-01T00:00")
    assert group_deadline(now, now + timedelta(hours=3)) == now + timedelta(hours=3)


def test_180_calendar_days_are_counted_on_the_wall() -> None:
    start = wall("2027-01-01T00:00")
    assert not is_too_long(start, start + timedelta(days=180))
    assert is_too_long(start, start + timedelta(days=180, seconds=1))


@given(
    ids=st.lists(st.uuids(), min_size=4, max_size=4),
    generation=st.integers(0, 2**32 - 1),
    channel=st.none() | st.text(min_size=1, max_size=32),
)
def test_a_share_comes_back_from_its_bytes(ids: list[UUID], generation: int, channel: str | None) -> None:
    link, activity, group, sharer = ids
    share = Share(
        link_id=link,
        activity_id=activity,
        group_id=group,
        sharer_id=sharer,
        generation=generation,
        channel=channel,
    )
    assert Share.unpack(share.pack()) == share


@given(payload=st.binary(max_size=200))
def test_other_bytes_are_no_share(payload: bytes) -> None:
    with pytest.raises(ValueError, match="not a share link"):
        Share.unpack(payload.removeprefix(b"gb1"))


@pytest.mark.parametrize(
    ("agent", "purpose", "expected"),
    [
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) AppleWebKit/605.1.15", None, False),
        ("Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101 Firefox/140.0", "prefetch;prerender", True),
        ("Mozilla/5.0 (compatible; Googlebot/2.1)", None, True),
        ("facebookexternalhit/1.1", None, True),
        ("TelegramBot (like TwitterBot)", None, True),
        (None, None, True),
        ("", None, True),
    ],
)
def test_machines_are_told_from_people(agent: str | None, purpose: str | None, expected: bool) -> None:
    assert is_bot(agent, purpose) is expected


def test_the_checkout_keeps_its_own_query() -> None:
    assert checkout_url("https://s.example/c?a=1#pay", "t.k") == "https://s.example/c?a=1&group_token=t.k#pay"
    assert checkout_url(None, "t") is None


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(86_399, "23 h 59 min"), (3_600, "1 h 0 min"), (61, "1 min 1 s"), (5, "5 s"), (-5, "0 s")],
)
def test_time_left_in_words(seconds: int, words: str) -> None:
    now = pacific("2027-06-01T00:00")
    assert time_left(now, now + timedelta(seconds=seconds)) == words


def test_ids_in_a_token_say_nothing_personal() -> None:
    share = Share(
        link_id=uuid4(),
        activity_id=uuid4(),
        group_id=uuid4(),
        sharer_id=uuid4(),
        generation=1,
        channel="vk",
    )
    assert len(share.pack()) == 3 + 4 * 16 + 4 + 2
