"""Tiers as rules: what reaches them, what holds them, and what takes them."""

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.members.domain import (
    Facts,
    Figures,
    Gift,
    Ladder,
    Level,
    Lock,
    Member,
    Move,
    Period,
    Policy,
    Window,
    buy,
    judge,
    lock,
    progress_of,
    unlock,
)

LEVELS = [
    Level("bronze", 0, 0),
    Level("silver", 1, 20_000),
    Level("gold", 2, 50_000),
    Level("top", 3, 150_000),
]
LADDER = Ladder(1, LEVELS)
YEAR = Policy(window=Window("rolling_months", 12), period=Period("months", 12))
NEW_YORK = ZoneInfo("America/New_York")

Days = dict[date, int]


def at(day: date, hour: int = 12) -> datetime:
    return datetime(day.year, day.month, day.day, hour, tzinfo=UTC)


def spent(days: Days) -> Facts:
    return Facts(
        Figures(sum(days.values()), len(days)), {day: Figures(spend, 1) for day, spend in days.items()}
    )


class Case:
    """One member under one ladder, judged day by day."""

    def __init__(
        self, policy: Policy = YEAR, levels: list[Level] = LEVELS, zone: ZoneInfo | None = None
    ) -> None:
        self.ladder = Ladder(1, levels, policy, zone or ZoneInfo("UTC"))
        self.member = Member(UUID(int=1), tier="bronze", tier_rank=0, tier_version=1)
        self.days: Days = {}
        self.moves: list[Move] = []

    def on(self, day: date, spend_minor: int = 0, reason: str = "spend") -> list[str]:
        if spend_minor:
            self.days[day] = self.days.get(day, 0) + spend_minor
        return self.judge(at(day), reason)

    def refund(self, paid_on: date, amount_minor: int, day: date) -> list[str]:
        self.days[paid_on] -= amount_minor
        return self.judge(at(day), "refund")

    def judge(self, now: datetime, reason: str = "period_end") -> list[str]:
        moves = judge(self.member, self.ladder, spent(self.days), now=now, at=now, reason=reason)
        self.moves += moves
        return [f"{move.kind} {move.to_tier}" for move in moves]

    @property
    def tier(self) -> str | None:
        return self.member.tier


def test_a_calendar_year_turns_at_local_midnight_of_the_program() -> None:
    case = Case(Policy(window=Window("calendar_year"), period=Period("calendar_year", 0)), zone=NEW_YORK)
    case.days[date(2026, 12, 31)] = 20_000
    assert case.judge(datetime(2027, 1, 1, 4, 59, tzinfo=UTC), "spend") == ["upgraded silver"]
    assert case.member.terms.ends_at == datetime(2027, 1, 1, 5, tzinfo=UTC)
    assert case.ladder.day_of(datetime(2027, 1, 1, 4, 59, tzinfo=UTC)) == date(2026, 12, 31)


# Up at once, down at the end of the period.


@given(st.lists(st.tuples(st.integers(0, 200_000), st.integers(0, 5)), max_size=8))
def test_moves_lead_from_tier_to_tier_and_time_never_runs_back(spends: list[tuple[int, int]]) -> None:
    member = Member(UUID(int=1), tier="bronze", tier_rank=0, tier_version=1)
    moves: list[Move] = []
    for spend_minor, day in spends:
        moment = at(date(2026, 3, 1 + day))
        facts = Facts(Figures(spend_minor))
        moves += judge(member, LADDER, facts, now=moment, at=moment, reason="spend")
        level = LADDER.earned(facts.total)
        assert level is not None
        assert member.tier == level.name
    assert all(a.to_tier == b.from_tier and a.at <= b.at for a, b in pairwise(moves))


def test_a_renamed_tier_is_no_move() -> None:
    member = Member(UUID(int=1), tier="old", tier_rank=0, tier_version=0)
    moves = judge(member, LADDER, Facts(), now=at(date(2026, 3, 1)), at=at(date(2026, 3, 1)), reason="x")
    assert [(move.kind, move.from_tier, move.to_tier) for move in moves] == [("redefined", "old", "bronze")]
    assert (member.tier, member.tier_version, member.has_new_profile) == ("bronze", 1, True)


def test_an_upgrade_is_at_once_and_a_downgrade_waits_for_the_end() -> None:
    case = Case()
    assert case.on(date(2026, 1, 10), 50_000) == ["upgraded gold"]
    assert case.member.terms.ends_at == datetime(2027, 1, 10, tzinfo=UTC)
    assert case.on(date(2026, 12, 31)) == []
    assert case.on(date(2027, 1, 9), 20_000) == []
    assert case.on(date(2027, 1, 10)) == ["downgraded silver"]
    assert case.moves[-1].reason == "period_end"


@pytest.mark.parametrize(
    ("mode", "moves"),
    [
        ("none", ["prolonged top"]),
        ("one_level", ["downgraded gold"]),
        ("to_earned", ["downgraded bronze"]),
    ],
)
def test_the_modes_of_falling(mode: str, moves: list[str]) -> None:
    case = Case(Policy(window=Window("rolling_days", 30), period=Period("months", 2), downgrade=mode))
    case.on(date(2026, 1, 10), 150_000)
    assert case.on(date(2026, 3, 10)) == moves


def test_one_level_at_a_time_falls_again_at_the_end_of_the_next_period() -> None:
    case = Case(Policy(window=Window("rolling_days", 30), period=Period("months", 2), downgrade="one_level"))
    case.on(date(2026, 1, 10), 150_000)
    assert case.on(date(2026, 9, 11)) == ["downgraded gold", "downgraded silver", "downgraded bronze"]
    assert [move.at.date() for move in case.moves[1:]] == [
        date(2026, 3, 10),
        date(2026, 5, 10),
        date(2026, 7, 10),
    ]
    assert case.member.terms.look_at is None


def test_a_tier_that_is_earned_again_is_prolonged() -> None:
    case = Case(Policy(window=Window("rolling_days", 30), period=Period("months", 2)))
    case.on(date(2026, 1, 10), 50_000)
    case.on(date(2026, 3, 1), 60_000)
    assert case.on(date(2026, 3, 10)) == ["prolonged gold"]
    assert case.moves[-1].reason == "earned"
    assert case.member.terms.ends_at == datetime(2026, 5, 10, tzinfo=UTC)


def test_the_grace_is_announced_with_its_date_and_an_order_within_it_prolongs() -> None:
    case = Case(Policy(window=Window("rolling_days", 30), period=Period("months", 2), grace_days=14))
    case.on(date(2026, 1, 10), 50_000)
    assert case.on(date(2026, 3, 10)) == ["at_risk bronze"]
    assert case.moves[-1].until == datetime(2026, 3, 24, tzinfo=UTC)
    assert case.on(date(2026, 3, 11)) == []
    assert case.on(date(2026, 3, 20), 50_000) == ["prolonged gold"]
    assert case.on(date(2026, 3, 24)) == []


def test_after_the_grace_the_tier_is_lost_on_its_date_however_late_the_job() -> None:
    policy = Policy(window=Window("rolling_days", 30), period=Period("months", 2), grace_days=14)
    late, on_time = Case(policy), Case(policy)
    for case in (late, on_time):
        case.on(date(2026, 1, 10), 50_000)
    on_time.on(date(2026, 3, 10))
    on_time.on(date(2026, 3, 24))
    late.on(date(2026, 4, 30))
    assert late.moves[-1].at == on_time.moves[-1].at == datetime(2026, 3, 24, tzinfo=UTC)
    assert (late.tier, late.member.terms) == (on_time.tier, on_time.member.terms)


def test_nobody_falls_below_the_floor_once_it_was_reached() -> None:
    policy = Policy(window=Window("rolling_days", 30), period=Period("months", 2), floor="silver")
    case = Case(policy)
    assert case.on(date(2026, 1, 1)) == []
    assert case.tier == "bronze"
    case.on(date(2026, 1, 10), 150_000)
    assert case.on(date(2026, 3, 10)) == ["downgraded silver"]
    assert case.on(date(2026, 5, 10)) == ["prolonged silver"]
    assert case.moves[-1].reason == "floor"
    assert case.refund(date(2026, 1, 10), 150_000, date(2026, 5, 11)) == []
    assert case.tier == "silver"


# Refunds.


def test_a_refund_takes_a_tier_back_at_once_without_a_grace() -> None:
    case = Case()
    case.on(date(2026, 1, 10), 50_000)
    assert case.refund(date(2026, 1, 10), 40_000, date(2026, 2, 1)) == ["downgraded bronze"]
    assert case.member.terms.look_at is None


def test_a_refund_after_an_upgrade_has_a_grace_that_is_announced() -> None:
    case = Case(
        Policy(window=Window("rolling_months", 12), period=Period("months", 12), refund_grace_days=10)
    )
    case.on(date(2026, 1, 10), 50_000)
    assert case.refund(date(2026, 1, 10), 40_000, date(2026, 2, 1)) == ["at_risk bronze"]
    assert case.moves[-1].until == datetime(2026, 2, 12, tzinfo=UTC)
    assert case.tier == "gold"
    assert case.on(date(2026, 2, 11)) == []
    assert case.on(date(2026, 2, 12)) == ["downgraded bronze"]


def test_an_order_within_the_grace_of_a_refund_cancels_the_loss() -> None:
    case = Case(
        Policy(window=Window("rolling_months", 12), period=Period("months", 12), refund_grace_days=10)
    )
    case.on(date(2026, 1, 10), 50_000)
    case.refund(date(2026, 1, 10), 40_000, date(2026, 2, 1))
    assert case.on(date(2026, 2, 5), 40_000) == ["retained gold"]
    assert case.on(date(2026, 2, 12)) == []
    assert case.tier == "gold"


def test_a_refund_that_leaves_the_tier_justified_changes_nothing() -> None:
    case = Case()
    case.on(date(2026, 1, 10), 50_000)
    case.on(date(2026, 1, 11), 50_000)
    assert case.refund(date(2026, 1, 10), 50_000, date(2026, 2, 1)) == []


def test_what_ages_out_of_the_window_takes_nothing_before_the_end_of_the_period() -> None:
    case = Case(Policy(window=Window("rolling_days", 30), period=Period("months", 12)))
    case.on(date(2026, 1, 10), 50_000)
    assert case.on(date(2026, 6, 1), 100) == []
    assert case.tier == "gold"


def test_a_program_may_leave_refunded_tiers_alone() -> None:
    case = Case(Policy(refund_grace_days=None))
    case.on(date(2026, 1, 10), 50_000)
    assert case.refund(date(2026, 1, 10), 50_000, date(2026, 2, 1)) == []
    assert case.tier == "gold"


# Locks and purchases.


def held(case: Case, tier: str, day: date, until: date | None = None) -> list[str]:
    fixed = Lock(tier, None if until is None else at(until), "kim", "a friend of the house", at(day))
    moves = lock(case.member, case.ladder, spent(case.days), now=at(day), lock=fixed)
    return [f"{move.kind} {move.to_tier}" for move in moves]


def test_a_lock_beats_everything() -> None:
    case = Case()
    case.on(date(2026, 1, 10), 50_000)
    assert held(case, "silver", date(2026, 1, 11)) == ["downgraded silver"]
    assert case.on(date(2026, 1, 12), 500_000) == []
    assert case.refund(date(2026, 1, 12), 500_000, date(2026, 1, 13)) == []
    assert case.refund(date(2026, 1, 10), 50_000, date(2026, 1, 13)) == []
    assert case.on(date(2027, 6, 1)) == []
    bought = buy(case.member, case.ladder, spent(case.days), now=at(date(2027, 6, 1)), level_name="top")
    assert bought == "tier_locked"
    assert (case.tier, case.member.terms.look_at) == ("silver", None)
    new_table = Ladder(2, [Level("base", 0, 0), Level("silver", 5, 1), Level("gold", 7, 2)], YEAR)
    judge(
        case.member,
        new_table,
        spent(case.days),
        now=at(date(2027, 6, 2)),
        at=at(date(2027, 6, 2)),
        reason="x",
    )
    assert case.tier == "silver"


def test_a_locked_tier_has_no_period_but_the_lock_has_an_end() -> None:
    """Nobody must be told that a tier they are held in ends with the period of the one before."""
    case = Case()
    case.on(date(2026, 1, 10), 150_000)
    assert held(case, "bronze", date(2026, 1, 11), until=date(2026, 3, 1)) == ["downgraded bronze"]
    assert case.moves[0].until == datetime(2027, 1, 10, tzinfo=UTC)
    now = at(date(2026, 1, 12))
    place = progress_of(case.member, case.ladder, spent(case.days), now)
    assert (place.ends_at, place.prolonged_if, place.tier) == (None, None, case.ladder.named("bronze"))
    fixed = Lock("silver", at(date(2026, 3, 1)), "kim", "again", now)
    moves = lock(case.member, case.ladder, spent(case.days), now=now, lock=fixed)
    assert [(move.to_tier, move.until) for move in moves] == [("silver", at(date(2026, 3, 1)))]
    assert case.on(date(2026, 3, 1)) == ["upgraded top"]
    assert case.moves[-1].until == datetime(2027, 3, 1, tzinfo=UTC)


def test_a_lock_ends_on_its_date_and_the_tier_goes_to_what_is_earned() -> None:
    case = Case()
    held(case, "top", date(2026, 1, 11), until=date(2026, 2, 1))
    assert case.member.terms.look_at == at(date(2026, 2, 1))
    case.on(date(2026, 1, 20), 25_000)
    assert case.on(date(2026, 2, 1)) == ["downgraded silver"]
    assert (case.moves[-1].reason, case.member.terms.lock) == ("lock_ended", None)


def test_an_unlocked_tier_goes_to_what_is_earned_at_once() -> None:
    case = Case()
    held(case, "top", date(2026, 1, 11))
    moves = unlock(case.member, case.ladder, spent(case.days), now=at(date(2026, 1, 12)))
    assert [(move.kind, move.to_tier) for move in moves] == [("downgraded", "bronze")]


def purchase(case: Case, tier: str | None, day: date) -> list[Move] | str:
    return buy(case.member, case.ladder, spent(case.days), now=at(day), level_name=tier)


def test_a_bought_tier_holds_until_the_end_of_its_period_and_no_refund_takes_it() -> None:
    case = Case()
    case.on(date(2026, 1, 10), 20_000)
    moves = purchase(case, "gold", date(2026, 2, 1))
    assert isinstance(moves, list)
    assert [(move.kind, move.to_tier, move.reason) for move in moves] == [("upgraded", "gold", "purchase")]
    assert case.member.terms.ends_at == datetime(2027, 2, 1, tzinfo=UTC)
    assert case.refund(date(2026, 1, 10), 20_000, date(2026, 3, 1)) == []
    assert case.on(date(2027, 1, 31)) == []
    assert case.on(date(2027, 2, 1)) == ["downgraded bronze"]


def test_a_bought_tier_counts_again_when_a_better_one_that_was_earned_is_refunded() -> None:
    case = Case()
    purchase(case, "gold", date(2026, 2, 1))
    case.member.terms.bought = (Gift("gold", case.member.terms.ends_at),)
    assert case.on(date(2026, 6, 1), 150_000) == ["upgraded top"]
    assert case.refund(date(2026, 6, 1), 150_000, date(2026, 6, 2)) == ["downgraded gold"]
    assert case.moves[-1].until == datetime(2027, 2, 1, tzinfo=UTC)
    assert case.on(date(2027, 2, 1)) == ["downgraded bronze"]


def test_a_bought_tier_that_was_earned_meanwhile_is_prolonged() -> None:
    case = Case()
    purchase(case, "gold", date(2026, 2, 1))
    case.on(date(2026, 6, 1), 60_000)
    assert case.on(date(2027, 2, 1)) == ["prolonged gold"]


@pytest.mark.parametrize(
    ("tier", "reason"),
    [
        ("diamond", "unknown_tier"),
        (None, "no_tier_named"),
        ("silver", "not_higher"),
        ("bronze", "not_higher"),
    ],
)
def test_a_purchase_that_makes_no_sense_is_declined_and_changes_nothing(
    tier: str | None, reason: str
) -> None:
    case = Case()
    case.on(date(2026, 1, 10), 20_000)
    before = case.member.terms.copy()
    assert purchase(case, tier, date(2026, 2, 1)) == reason
    assert (case.tier, case.member.terms) == ("silver", before)


# A new table.


def test_a_new_table_keeps_what_was_promised_until_a_date_and_moves_the_others() -> None:
    promised, plain = Case(), Case(Policy())
    stricter = Ladder(2, [Level("bronze", 0, 0), Level("gold", 2, 90_000)], YEAR)
    for case, tier in ((promised, "gold"), (plain, "bronze")):
        case.on(date(2026, 1, 10), 50_000)
        case.ladder = stricter
        case.on(date(2026, 2, 1), reason="tier_table")
        assert case.tier == tier
    assert promised.on(date(2026, 3, 1), 100) == []
    assert promised.on(date(2027, 1, 10)) == ["downgraded bronze"]


def test_a_tier_that_the_new_table_does_not_have_gives_way_to_what_is_earned() -> None:
    case = Case()
    case.on(date(2026, 1, 10), 50_000)
    case.ladder = Ladder(2, [Level("bronze", 0, 0), Level("club", 1, 40_000), Level("star", 9, 90_000)], YEAR)
    assert case.on(date(2026, 2, 1), reason="tier_table") == ["downgraded club"]


@given(
    st.lists(st.tuples(st.integers(0, 700), st.integers(1, 90_000)), max_size=12),
    st.lists(st.integers(0, 1_400), max_size=8),
    st.sampled_from(["none", "one_level", "to_earned"]),
    st.sampled_from([0, 14]),
)
def test_a_judgement_is_the_same_however_often_time_was_looked_at(
    orders: list[tuple[int, int]], looks: list[int], mode: str, grace_days: int
) -> None:
    """After all orders have come, looking often and looking once as of the same day come to the same."""
    policy = Policy(
        window=Window("rolling_days", 90),
        period=Period("months", 3),
        downgrade=mode,
        grace_days=grace_days,
    )
    start = date(2026, 1, 1)
    often, once = Case(policy), Case(policy)
    for offset, spend in sorted(orders):
        for case in (often, once):
            case.on(start + timedelta(days=offset), spend)
    last = max([offset for offset, _ in orders], default=0)
    for offset in sorted(look for look in looks if look >= last):
        often.on(start + timedelta(days=offset))
    for case in (often, once):
        case.on(start + timedelta(days=1_500))
    assert (often.tier, often.member.terms, often.member.tier_changed_at) == (
        once.tier,
        once.member.terms,
        once.member.tier_changed_at,
    )
