"""Birthdays: 29 February, changed dates, zones, days that are not 24 hours long, and twice over."""

import asyncio
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from services.members import operations
from services.members.domain import Celebrated, celebration_day, next_celebration
from services.members.jobs import jobs
from services.members.operations import Merge, ProfileChange
from services.members.operations.birthday_schedules import bounds_of
from services.members.settings import settings
from shared.clock import utc_now
from shared.problems import Refusal
from tests.members.shop import Shop, order

LEAP = date(1988, 2, 29)
NEVER = Celebrated()
dates = st.dates(date(1900, 1, 1), date(2020, 12, 31))


async def say(shop: Shop, **attributes: Any) -> str | None:
    """Say something about the one member there is; the code of the refusal, if it is refused."""
    change = ProfileChange(await shop.member_id(), attributes, utc_now())
    async with shop.database.transaction() as session:
        (result,) = await operations.change_profiles(session, [change], actor="test")
    return result.code if isinstance(result, Refusal) else None


async def celebrate(shop: Shop, now: datetime) -> list[dict[str, Any]]:
    """Run the job's operation at an instant until nothing is due; what was said by then."""
    while True:
        async with shop.database.transaction() as session:
            if not await operations.celebrate_birthdays(session, limit=10, now=now):
                return [event for _, _, event in await shop.said("member.birthday")]


async def next_at(shop: Shop) -> datetime:
    ((instant,),) = await shop.rows("SELECT next_at FROM birthdays")
    assert isinstance(instant, datetime)
    return instant


def in_days(days: int) -> date:
    """A date of birth whose birthday is so many days from now."""
    day = utc_now().date() + timedelta(days=days)
    return date(1990, day.month, min(day.day, 28) if day.month == 2 else day.day)


@pytest.mark.parametrize(("leap_day", "day"), [("02-28", date(2027, 2, 28)), ("03-01", date(2027, 3, 1))])
def test_29_february_is_celebrated_as_the_program_sets(leap_day: Any, day: date) -> None:
    assert celebration_day(LEAP, 2027, leap_day) == day
    assert celebration_day(LEAP, 2028, leap_day) == date(2028, 2, 29)
    assert celebration_day(LEAP, 2100, leap_day) == day.replace(year=2100)


def test_a_birthday_that_is_said_on_the_day_itself_is_for_next_year() -> None:
    born = date(1990, 5, 4)
    assert next_celebration(born, NEVER, after=date(2026, 5, 3), leap_day="02-28") == (2026, date(2026, 5, 4))
    assert next_celebration(born, NEVER, after=date(2026, 5, 4), leap_day="02-28") == (2027, date(2027, 5, 4))


def test_the_day_of_birth_is_no_birthday() -> None:
    born = date(2026, 5, 4)
    assert next_celebration(born, NEVER, after=date(2026, 1, 1), leap_day="02-28")[0] == 2027


def test_a_date_moved_over_new_year_is_not_celebrated_twice_within_days() -> None:
    celebrated = Celebrated(2026, date(2026, 12, 30))
    moved = date(1990, 1, 2)
    assert next_celebration(moved, celebrated, after=date(2026, 12, 31), leap_day="02-28")[0] == 2028


@given(
    st.lists(st.tuples(dates, st.integers(0, 400)), min_size=1, max_size=12),
    st.sampled_from(["02-28", "03-01"]),
)
def test_however_a_date_is_moved_there_is_one_celebration_a_year(
    moves: list[tuple[date, int]], leap_day: Any
) -> None:
    today, celebrated, days = date(2025, 6, 1), NEVER, []
    for born, wait in moves:
        year, day = next_celebration(born, celebrated, after=today, leap_day=leap_day)
        until = today + timedelta(days=wait)
        while day <= until:
            celebrated = Celebrated(year, day)
            days.append(day)
            year, day = next_celebration(born, celebrated, after=day, leap_day=leap_day)
        today = until
    assert len({day.year for day in days}) == len(days)
    assert all((later - earlier).days >= 300 for earlier, later in pairwise(days))


@given(dates, st.sampled_from(["02-28", "03-01"]))
def test_an_unmoved_date_is_celebrated_every_year(born: date, leap_day: Any) -> None:
    celebrated, day = NEVER, date(2026, 1, 1)
    years = []
    for _ in range(9):
        year, day = next_celebration(born, celebrated, after=day, leap_day=leap_day)
        celebrated = Celebrated(year, day)
        years.append(year)
    assert years == list(range(years[0], years[0] + 9))


@pytest.mark.parametrize(
    ("zone", "day", "starts_at", "hours"),
    [
        ("America/Los_Angeles", date(2026, 3, 8), "2026-03-08T08:00:00+00:00", 23),
        ("America/Los_Angeles", date(2026, 11, 1), "2026-11-01T07:00:00+00:00", 25),
        # The clock skips midnight: the day begins at one o'clock.
        ("America/Santiago", date(2026, 9, 6), "2026-09-06T04:00:00+00:00", 23),
        ("Pacific/Kiritimati", date(2026, 1, 1), "2025-12-31T10:00:00+00:00", 24),
        (None, date(2026, 1, 1), "2026-01-01T00:00:00+00:00", 24),
    ],
)
def test_the_day_is_the_members_own(zone: str | None, day: date, starts_at: str, hours: int) -> None:
    starts, ends = bounds_of(day, zone)
    assert starts == datetime.fromisoformat(starts_at)
    assert ends - starts == timedelta(hours=hours)


async def test_a_birthday_is_said_when_its_day_begins_and_once_however_often_the_job_runs(shop: Shop) -> None:
    await shop.take(order(1))
    await say(shop, birthday=in_days(10), time_zone="Asia/Shanghai")
    due_at = await next_at(shop)
    assert await celebrate(shop, due_at - timedelta(seconds=1)) == []
    (event,) = await celebrate(shop, due_at)
    assert datetime.fromisoformat(event["starts_at"]) == due_at
    assert event["birthday_year"] == in_days(10).replace(year=due_at.year).year
    assert "birthday" not in event
    assert len(await celebrate(shop, due_at + timedelta(hours=23))) == 1
    year_later = await next_at(shop)
    assert 364 <= (year_later - due_at).days <= 366
    assert len(await celebrate(shop, year_later)) == 2


async def test_two_replicas_at_once_say_it_once(shop: Shop) -> None:
    await shop.take(order(1))
    await say(shop, birthday=in_days(10))
    due_at = await next_at(shop)
    said = await asyncio.gather(celebrate(shop, due_at), celebrate(shop, due_at))
    assert [len(events) for events in said] == [1, 1]


async def test_a_changed_birthday_earns_no_second_gift(shop: Shop) -> None:
    await shop.take(order(1))
    await say(shop, birthday=in_days(10))
    due_at = await next_at(shop)
    await celebrate(shop, due_at)
    assert await say(shop, birthday=in_days(40)) is None
    # The next one is more than a year away, not a month.
    assert await next_at(shop) > due_at + timedelta(days=300)
    assert len(await celebrate(shop, due_at + timedelta(days=60))) == 1


async def test_a_birthday_may_change_only_so_often_and_every_change_is_recorded(shop: Shop) -> None:
    await shop.take(order(1))
    assert await say(shop, birthday=in_days(10)) is None
    assert await say(shop, birthday=in_days(10)) is None
    assert await say(shop, birthday=in_days(20)) is None
    assert await say(shop, birthday=in_days(30), display_name="Kim") == "birthday_change_limit_reached"
    assert (await shop.member())["birthday"] == in_days(20)
    assert (await shop.member())["display_name"] is None
    assert await say(shop, birthday=None) is None
    assert await shop.rows("SELECT next_at FROM birthdays") == [(None,)]
    assert await say(shop, birthday=in_days(20)) == "birthday_change_limit_reached"
    assert await shop.rows("SELECT is_first, actor FROM birthday_changes ORDER BY id") == [
        (True, "test"),
        (False, "test"),
    ]


async def test_an_order_cannot_change_a_birthday_more_often_than_its_member(shop: Shop) -> None:
    await shop.take(order(1, customer={"birthday": "1990-05-04"}))
    for number in (2, 3):
        at = f"2026-01-0{number}T12:00:00+00:00"
        customer = {
            "birthday": f"1990-05-0{number}",
            "locale": f"e{number}".replace("2", "n").replace("3", "s"),
        }
        await shop.take(order(number, placed_at=at, paid_at=at, customer=customer))
    member = await shop.member()
    assert (member["birthday"], member["locale"]) == (date(1990, 5, 2), "es")
    assert await shop.rows("SELECT count(*) FROM birthday_changes WHERE NOT is_first") == [(1,)]


async def test_who_moves_to_where_the_day_has_begun_keeps_the_birthday(shop: Shop) -> None:
    await shop.take(order(1))
    await say(shop, birthday=in_days(10), time_zone="Pacific/Honolulu")
    in_honolulu = await next_at(shop)
    await say(shop, time_zone="Pacific/Kiritimati")
    assert await next_at(shop) == in_honolulu - timedelta(hours=24)
    assert len(await celebrate(shop, in_honolulu - timedelta(hours=12))) == 1
    await say(shop, time_zone="Pacific/Honolulu")
    assert len(await celebrate(shop, in_honolulu + timedelta(hours=1))) == 1


async def test_a_birthday_missed_in_an_outage_is_said_late_but_not_weeks_late(shop: Shop) -> None:
    await shop.take(order(1), order(2, buyer="lee"))
    await say(shop, birthday=in_days(10))
    due_at = await next_at(shop)
    week = timedelta(days=settings().birthday_late_days + 1)
    assert len(await celebrate(shop, due_at + week - timedelta(seconds=1))) == 1
    year_later = await next_at(shop)
    assert len(await celebrate(shop, year_later + week)) == 1
    assert await next_at(shop) > year_later + timedelta(days=300)


async def test_members_from_before_there_were_birthdays_are_planned_and_not_celebrated(shop: Shop) -> None:
    await shop.take(order(1, customer={"birthday": "1990-05-04"}))
    async with shop.database.transaction() as session:
        await session.execute(text("UPDATE birthdays SET birthday_year = NULL, next_at = clock_timestamp()"))
    (job,) = [job for job in jobs if job.name == "celebrate_birthdays"]
    assert await job.work(shop.database) == 1
    assert await job.work(shop.database) == 0
    assert await next_at(shop) > datetime.now(UTC)
    assert await shop.said("member.birthday") == []


async def test_every_member_of_a_large_batch_is_said(shop: Shop) -> None:
    orders = [order(n, buyer=f"b{n}", customer={"birthday": in_days(10).isoformat()}) for n in range(25)]
    await shop.take(*orders)
    events = await celebrate(shop, utc_now() + timedelta(days=12))
    ids: set[UUID] = {event["member_id"] for event in events}
    assert (len(events), len(ids)) == (25, 25)


async def test_a_person_of_two_ids_celebrates_once_and_by_what_was_said_last(shop: Shop) -> None:
    for number, buyer, days in ((1, "kim", 10), (2, "lee", 20)):
        at = f"2026-01-0{number}T12:00:00+00:00"
        customer = {"birthday": in_days(days).isoformat()}
        await shop.take(order(number, buyer=buyer, placed_at=at, paid_at=at, customer=customer))
    kim, lee = await shop.member_id("kim"), await shop.member_id("lee")
    async with shop.database.transaction() as session:
        await operations.merge_members(session, [Merge(surviving_id=kim, merged_id=lee, actor="test")])
    events = await celebrate(shop, utc_now() + timedelta(days=15))
    assert events == []
    (event,) = await celebrate(shop, utc_now() + timedelta(days=25))
    assert event["member_id"] == str(kim)
    assert len(await celebrate(shop, utc_now() + timedelta(days=40))) == 1
