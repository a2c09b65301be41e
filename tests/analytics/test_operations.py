"""Ingest on a real database: exact whatever comes, in every view, and provably so."""

import asyncio
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from services.analytics import operations
from services.analytics.domain import ShopDays
from services.analytics.errors import ImpossibleAmount, ImpossibleTime, UnknownCurrency
from services.analytics.handlers.hearing import translate
from services.analytics.models import Base
from services.analytics.operations import zones
from services.analytics.repository import report as repository
from services.analytics.settings import AnalyticsSettings
from shared.clock import zone
from shared.database import Database
from shared.events import MemberCreated, MemberMerged, MemberTierUpgraded, MemberUnmerged
from shared.ids import new_ids
from shared.migrations import differences
from tests.analytics.world import (
    ACTIVITY,
    START,
    envelope,
    hear,
    history,
    member_life,
    of,
    paid,
    points,
    refunded,
    shuffled,
    summaries,
)


async def empty(database: Database) -> None:
    async with database.transaction() as session:
        names = ", ".join(table for table in Base.metadata.tables if table != "api_keys")
        await session.execute(text(f"TRUNCATE {names}"))


async def test_the_migrations_make_what_the_models_say(analytics_database: Database) -> None:
    assert await differences(Base.metadata, analytics_database) == []


@given(seed=st.integers(0, 2**32), batch=st.integers(1, 80), repeated=st.integers(0, 60))
@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_any_order_split_and_repetition_gives_the_same_sums(
    analytics_database: Database, seed: int, batch: int, repeated: int
) -> None:
    events = history(8)
    await empty(analytics_database)
    await hear(analytics_database, events)
    expected = await summaries(analytics_database)
    await empty(analytics_database)
    await hear(analytics_database, shuffled(events + shuffled(events, seed)[:repeated], seed), batch)
    assert await summaries(analytics_database) == expected
    async with analytics_database.reading() as session:
        assert set((await operations.verify(session)).values()) == {0}
        books = await operations.ingest_books(session, date(2000, 1, 1), date(9999, 1, 1))
        assert (books.total("stored"), books.total("duplicate")) == (len(events), repeated)
        assert books.total("received") == len(events) + repeated


async def test_ingests_at_the_same_time_neither_deadlock_nor_miss_a_refund(
    analytics_database: Database,
) -> None:
    orders = [envelope(paid(number)) for number in range(200)]
    refunds = [envelope(refunded(number)) for number in range(200)]
    mixed = shuffled(orders + refunds, 3)
    # Every part holds some refunds whose orders are in another part, and all parts overlap.
    await asyncio.gather(*(hear(analytics_database, mixed[part::4] + mixed[::9], 40) for part in range(4)))
    async with analytics_database.reading() as session:
        assert set((await operations.verify(session)).values()) == {0}
        assert (await operations.summary(session)).refunds_waiting == 0
        assert sum(row.orders for row in (await operations.summary(session)).sales) == 200


async def test_a_refund_counts_on_its_own_day_and_restates_the_orders(analytics_database: Database) -> None:
    order, refund = paid(1), refunded(1, 700)
    await hear(analytics_database, [envelope(refund)])
    async with analytics_database.reading() as session:
        waiting = await operations.daily_sales(
            session, "channel", first=START.date(), last=date(2026, 3, 30), currency=None, limit=10
        )
        assert [(row.key, row.refunded_minor, row.cohort_refunded_minor) for row in waiting] == [("", 700, 0)]
        assert (await operations.summary(session)).refunds_waiting == 1
    await hear(analytics_database, [envelope(order)])
    async with analytics_database.reading() as session:
        rows = await operations.daily_sales(
            session, "channel", first=START.date(), last=date(2026, 3, 30), currency=None, limit=10
        )
    assert [
        (row.day, row.key, row.revenue_minor, row.refunded_minor, row.cohort_refunded_minor) for row in rows
    ] == [
        (order.paid_at.date(), "email", order.total_minor, 0, 700),
        (refund.refunded_at.date(), "email", 0, 700, 0),
    ]


async def test_products_channels_and_shops_add_up_to_the_days(analytics_database: Database) -> None:
    await hear(analytics_database, history())
    totals = {}
    async with analytics_database.reading() as session:
        for group_by in (None, "shop", "channel", "product"):
            rows = await operations.daily_sales(
                session, group_by, first=date(2026, 1, 1), last=date(2026, 12, 31), currency=None, limit=5000
            )
            sums: dict[tuple[date, str], list[int]] = {}
            for row in rows:
                sum_ = sums.setdefault((row.day, row.currency), [0, 0, 0])
                for place, name in enumerate(("revenue_minor", "refunded_minor", "cohort_refunded_minor")):
                    sum_[place] += getattr(row, name)
            totals[group_by] = sums
    assert totals[None] == totals["shop"] == totals["channel"] == totals["product"]
    assert len({currency for _day, currency in totals[None]}) == 3


async def test_days_are_the_shops_own(analytics_database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    pacific = ShopDays(zone("UTC"), {"amazon/shop-0": zone("America/Los_Angeles")})
    monkeypatch.setattr("services.analytics.handlers.hearing.shop_days", lambda: pacific)
    # 2026-11-01 has 25 hours in Los Angeles: 07:00 UTC that day to 08:00 UTC the next.
    start = datetime(2026, 11, 1, 7, tzinfo=UTC)
    instants = [start - timedelta(seconds=1), start, start + timedelta(hours=25, seconds=-1)]
    instants.append(start + timedelta(hours=25))
    now = datetime(2026, 12, 1, tzinfo=UTC)
    events = [envelope(paid(2 * n, paid_at=at, lines=[])) for n, at in enumerate(instants)]
    async with analytics_database.transaction() as session:
        await operations.ingest(session, translate(events), now=now)
        rows = await operations.daily_sales(
            session, None, first=date(2026, 10, 1), last=date(2026, 12, 1), currency=None, limit=10
        )
    orders: dict[date, int] = {}
    for row in rows:
        orders[row.day] = orders.get(row.day, 0) + row.orders
    assert orders == {date(2026, 10, 31): 1, date(2026, 11, 1): 2, date(2026, 11, 2): 1}


def test_the_settings_name_zones_that_exist() -> None:
    with pytest.raises(ValueError, match="not an IANA time zone"):
        AnalyticsSettings(shop_time_zones={"amazon/us": "America/Atlantis"})
    zones.shop_days.cache_clear()
    assert zones.shop_days().day_of(START) == START.date()


@pytest.mark.parametrize(
    ("changes", "refusal"),
    [
        ({"paid_at": datetime(1969, 12, 31, tzinfo=UTC)}, ImpossibleTime),
        ({"paid_at": datetime(2999, 1, 1, tzinfo=UTC)}, ImpossibleTime),
        ({"total_minor": 2**62}, ImpossibleAmount),
        ({"currency": "XXX"}, UnknownCurrency),
    ],
)
async def test_what_cannot_be_true_is_refused_and_leaves_nothing(
    changes: dict[str, object], refusal: type[Exception], analytics_database: Database
) -> None:
    with pytest.raises(refusal):
        await hear(analytics_database, [envelope(paid(1)), envelope(paid(2, **changes))])
    assert not any((await summaries(analytics_database)).values())


async def test_the_tier_that_was_said_last_holds_whenever_it_arrives(analytics_database: Database) -> None:
    """Whatever its date: a late payment changes a tier as of its own time."""
    changes = [
        envelope(
            MemberTierUpgraded(
                member_id=of("member", 1), to_tier=tier, changed_at=START - timedelta(days=n), reason="spend"
            ),
            event_id=event_id,
        )
        for n, (tier, event_id) in enumerate(zip(("silver", "gold", "platinum"), new_ids(3), strict=True))
    ]
    await hear(analytics_database, [changes[2], changes[0], changes[1]], batch=1)
    async with analytics_database.reading() as session:
        assert (await operations.summary(session)).tiers == {"platinum": 1}


async def test_the_latest_judgement_of_a_stage_holds_whatever_it_is_dated_to(
    analytics_database: Database,
) -> None:
    life = [envelope(event) for number in (1, 2) for event in member_life(number)]
    newcomer = MemberCreated(member_id=of("member", 3), source="amazon", external_id="3", created_at=START)
    await hear(analytics_database, [*reversed(life), envelope(newcomer)], batch=1)
    async with analytics_database.reading() as session:
        found = await operations.summary(session)
        assert found.stages == {"decline": 2, "identification": 1}
        assert found.by_label("member.stage_changed") == {"decline": 2, "development": 2, "stability": 2}
        assert (await operations.member(session, of("member", 1))).stage == "decline"
        assert (await operations.member(session, of("member", 3))).stage == "identification"


async def test_points_are_spent_on_rewards_and_out_of_holds_less_what_came_back(
    analytics_database: Database,
) -> None:
    await hear(analytics_database, [envelope(event) for number in range(3) for event in points(number)])
    async with analytics_database.reading() as session:
        found = await operations.summary(session)
        assert found.spent_points == 3 * (5 + 4 - 1)
        (month,) = await repository.monthly_points(session, START.date(), START.date() + timedelta(days=9))
        assert (month.spent, month.returned) == (3 * (5 + 4), 3)


async def test_a_person_is_all_their_ids(analytics_database: Database) -> None:
    merges = [
        MemberMerged(surviving_id=of("member", to), merged_id=of("member", one), merged_at=START)
        for one, to in ((1, 2), (2, 3))
    ]
    orders = [paid(number, member_id=of("member", 1 + number), currency="USD") for number in range(3)]
    await hear(analytics_database, shuffled([envelope(event) for event in (*merges, *orders)], 5), batch=2)
    async with analytics_database.reading() as session:
        for number in (1, 2, 3):
            found = await operations.member(session, of("member", number))
            assert found.person.person_id == of("member", 3)
            assert sorted(found.person.member_ids) == sorted(of("member", n) for n in (1, 2, 3))
            assert [row.orders for row in found.sales] == [3]


async def test_an_unmerge_takes_a_person_apart_whatever_comes_first(analytics_database: Database) -> None:
    one, two, three = (of("member", number) for number in (1, 2, 3))
    story = [
        MemberMerged(surviving_id=two, merged_id=one, merged_at=START, revision=1),
        MemberUnmerged(surviving_id=two, merged_id=one, unmerged_at=START, revision=2),
        MemberMerged(surviving_id=three, merged_id=one, merged_at=START, revision=3),
        MemberMerged(surviving_id=three, merged_id=two, merged_at=START, revision=1),
        MemberUnmerged(surviving_id=three, merged_id=two, unmerged_at=START, revision=2),
    ]
    joined = [
        MemberCreated(member_id=each, source="amazon", external_id="x", created_at=START)
        for each in (one, two, three)
    ]
    orders = [paid(number, member_id=of("member", 1 + number), currency="USD") for number in range(3)]
    events = [envelope(event) for event in (*story, *joined, *orders)]
    for seed in range(3):
        await hear(analytics_database, shuffled(events, seed), batch=2)
        async with analytics_database.reading() as session:
            found = [await operations.member(session, each) for each in (one, two, three)]
            assert [figures.person.person_id for figures in found] == [three, two, three]
            assert [[row.orders for row in figures.sales] for figures in found] == [[2], [1], [2]]
            assert (await operations.summary(session)).members == 2
            assert not any((await operations.verify(session)).values())


async def test_merges_in_a_circle_come_to_an_end(analytics_database: Database) -> None:
    merges = [
        MemberMerged(surviving_id=of("member", to), merged_id=of("member", one), merged_at=START)
        for one, to in ((1, 2), (2, 3), (3, 2))
    ]
    await hear(analytics_database, [envelope(event) for event in merges])
    async with analytics_database.reading() as session:
        assert (await operations.member(session, of("member", 1))).person.person_id in {
            of("member", 2),
            of("member", 3),
        }


async def test_a_rebuild_mends_what_differs_and_says_so(analytics_database: Database) -> None:
    await hear(analytics_database, history())
    right = await summaries(analytics_database)
    async with analytics_database.transaction() as session:
        await session.execute(text("UPDATE daily_sales SET revenue_minor = revenue_minor + 1"))
        await session.execute(text("DELETE FROM member_tiers"))
        await session.execute(text("DELETE FROM member_stages"))
        broken = await operations.verify_recent(session, date(2026, 1, 1))
        before = await session.scalar(text("SELECT max(revision) FROM daily_sales"))
    assert broken["daily_sales"] > 0
    async with analytics_database.transaction() as session:
        found = await operations.rebuild(session)
        after = await session.scalar(text("SELECT min(revision) FROM daily_sales"))
    assert found["daily_sales"] == broken["daily_sales"]
    assert found["member_tiers"] > 0
    assert found["member_stages"] > 0
    assert after > before
    assert await summaries(analytics_database) == right


async def test_a_campaign_adds_up(analytics_database: Database) -> None:
    await hear(analytics_database, history())
    async with analytics_database.reading() as session:
        found = await operations.campaign(session, ACTIVITY)
    seats = [paid(number) for number in range(0, 24, 4)]
    assert sum(row.orders for row in found.sales) == len(seats)
    assert sum(row.revenue_minor for row in found.sales) == sum(order.total_minor for order in seats)
    assert found.count("group.opened") == 3
    assert found.count("link.visited", "person") == found.count("link.visited", "bot") == 3
    assert sum(row.refund_requests for row in found.sales) == 3
    assert found.buyers == len({order.member_id for order in seats})
