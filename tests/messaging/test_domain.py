"""The rules by themselves: no message moves backwards, goes out twice in one epoch, or is tried for ever."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from services.messaging.domain import (
    FINAL,
    MOVES,
    RANK,
    ContactFacts,
    Limits,
    Outcome,
    OutcomeKind,
    State,
    after_crash,
    backoff_seconds,
    gate,
    is_final,
    may_move,
    settle,
)

LIMITS = Limits(max_attempts=4, base_seconds=1.0, cap_seconds=60.0)
outcomes = st.builds(
    Outcome,
    kind=st.sampled_from(OutcomeKind),
    reason=st.just("r"),
    suppress=st.booleans(),
    retry_after_seconds=st.none() | st.floats(0, 1000),
)
purposes = st.sampled_from(["service", "marketing"])
chances = st.floats(0, 1, exclude_max=True)


class Ledger(RuleBasedStateMachine):
    """One message, dispatchers that die at any time, late news, and a provider that answers anything."""

    def __init__(self) -> None:
        super().__init__()
        self.state, self.epoch, self.attempts = State.PLANNED, 0, 0
        self.purpose = "service"
        self.began: dict[int, int] = {}
        self.history = [(0, RANK[State.PLANNED])]
        self.uncertain = 0

    def go(self, state: State, epoch: int) -> None:
        assert may_move(self.state, self.epoch, state, epoch)
        self.state, self.epoch = state, epoch
        self.history.append((epoch, RANK[state]))

    @precondition(lambda self: self.state is State.PLANNED)
    @rule(purpose=purposes, verdict=st.sampled_from([State.HELD, State.QUEUED, State.DROPPED]))
    def plan(self, purpose: str, verdict: State) -> None:
        self.purpose = purpose
        self.go(verdict, 0)

    @precondition(lambda self: self.state is State.HELD)
    @rule(verdict=st.sampled_from([State.QUEUED, State.DROPPED]))
    def profile_comes(self, verdict: State) -> None:
        self.go(verdict, self.epoch)

    @precondition(lambda self: self.state is State.QUEUED)
    @rule()
    def claim(self) -> None:
        self.go(State.CLAIMED, self.epoch)

    @precondition(lambda self: self.state is State.CLAIMED)
    @rule()
    def lose_claim(self) -> None:
        self.go(State.QUEUED, self.epoch + 1)

    @precondition(lambda self: self.state is State.CLAIMED)
    @rule()
    def submit(self) -> None:
        self.attempts += 1
        self.began[self.epoch] = self.began.get(self.epoch, 0) + 1
        self.go(State.SUBMITTED, self.epoch)

    @precondition(lambda self: self.state is State.SUBMITTED)
    @rule(outcome=outcomes, chance=chances)
    def settle(self, outcome: Outcome, chance: float) -> None:
        self.uncertain += outcome.kind is OutcomeKind.AMBIGUOUS
        self.follow(settle(self.purpose, self.attempts, outcome, LIMITS, chance))

    @precondition(lambda self: self.state is State.SUBMITTED)
    @rule(chance=chances)
    def die(self, chance: float) -> None:
        self.uncertain += 1
        self.follow(after_crash(self.purpose, self.attempts, LIMITS, chance))

    @precondition(lambda self: self.state in FINAL)
    @rule(later=st.sampled_from(State))
    def hear_late_news(self, later: State) -> None:
        if may_move(self.state, self.epoch, later, self.epoch):
            self.go(later, self.epoch)

    def follow(self, settlement: object) -> None:
        state: State = settlement.state  # type: ignore[attr-defined]  # a Settlement; keeps rules short
        self.attempts -= not settlement.counts  # type: ignore[attr-defined]  # likewise
        self.go(state, self.epoch + (state is State.QUEUED))

    @invariant()
    def never_moves_backwards(self) -> None:
        assert self.history == sorted(set(self.history))

    @invariant()
    def goes_out_once_per_epoch(self) -> None:
        assert all(count == 1 for count in self.began.values())

    @invariant()
    def marketing_of_unknown_fate_ends(self) -> None:
        if self.purpose == "marketing" and self.uncertain:
            assert self.uncertain == 1
            assert self.state in FINAL

    @invariant()
    def attempts_are_bounded(self) -> None:
        assert self.attempts <= LIMITS.max_attempts


TestLedger = Ledger.TestCase


def test_final_states_lead_nowhere_but_to_news_of_their_fate() -> None:
    for state in FINAL:
        assert is_final(state)
        assert all(after in FINAL for after in MOVES[state])


@given(st.sampled_from(State), st.integers(0, 5), st.sampled_from(State), st.integers(0, 5))
def test_allowed_moves_ascend(before: State, epoch_before: int, after: State, epoch_after: int) -> None:
    if may_move(before, epoch_before, after, epoch_after):
        assert (epoch_before, RANK[before]) < (epoch_after, RANK[after])


@given(st.integers(1, 200), chances)
def test_backoff_stays_below_its_ceiling(attempts: int, chance: float) -> None:
    assert 0 <= backoff_seconds(attempts, LIMITS, chance) <= LIMITS.cap_seconds


@given(purposes, st.integers(1, 10), outcomes, chances)
def test_settling_is_bounded_and_honours_the_provider(
    purpose: str, attempts: int, outcome: Outcome, chance: float
) -> None:
    settled = settle(purpose, attempts, outcome, LIMITS, chance)
    if settled.state is State.QUEUED:
        assert attempts < LIMITS.max_attempts or not settled.counts
        assert settled.wait_seconds >= (outcome.retry_after_seconds or 0.0)
    if settled.state in (State.ACCEPTED, State.DELIVERED):
        assert outcome.kind in (OutcomeKind.ACCEPTED, OutcomeKind.DELIVERED)


REACHABLE = ContactFacts(known=True, address="a@example.test")


@pytest.mark.parametrize(
    ("purpose", "contact", "state", "reason"),
    [
        ("service", REACHABLE, State.QUEUED, "service_allowed"),
        ("service", ContactFacts(known=False), State.HELD, "profile_unknown"),
        ("service", ContactFacts(known=True, erased=True), State.DROPPED, "member_erased"),
        ("service", ContactFacts(known=True), State.DROPPED, "no_address"),
        ("service", ContactFacts(known=True, needs_address=False), State.QUEUED, "service_allowed"),
        (
            "service",
            ContactFacts(known=True, address="a@b.test", suppression="bad_address"),
            State.DROPPED,
            "suppressed_bad_address",
        ),
        ("marketing", REACHABLE, State.DROPPED, "no_consent"),
        (
            "marketing",
            ContactFacts(known=True, address="a@b.test", consent=False),
            State.DROPPED,
            "consent_withdrawn",
        ),
        (
            "marketing",
            ContactFacts(known=True, address="a@b.test", consent=True),
            State.QUEUED,
            "consent_granted",
        ),
    ],
)
def test_gate(purpose: str, contact: ContactFacts, state: State, reason: str) -> None:
    verdict = gate(purpose, contact)
    assert (verdict.state, verdict.reason) == (state, reason)
