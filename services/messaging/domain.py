"""The life of a message, the gate that every message passes twice, and when to try again. Pure rules."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Literal

__all__ = [
    "FINAL",
    "MOVES",
    "RANK",
    "ContactFacts",
    "Limits",
    "Outcome",
    "OutcomeKind",
    "Purpose",
    "Settlement",
    "State",
    "Verdict",
    "after_crash",
    "backoff_seconds",
    "gate",
    "is_final",
    "may_move",
    "settle",
]

Purpose = Literal["service", "marketing"]


class State(StrEnum):
    """Where a message stands. `epoch` grows whenever it goes back to the queue."""

    PLANNED = "planned"
    HELD = "held"
    QUEUED = "queued"
    CLAIMED = "claimed"
    SUBMITTED = "submitted"
    UNKNOWN = "unknown"
    ACCEPTED = "accepted"
    DELIVERED = "delivered"
    FAILED = "failed"
    DROPPED = "dropped"


_S = State

# Moves within one epoch. Only going back to the queue begins a new one.
MOVES: Final[Mapping[State, frozenset[State]]] = {
    _S.PLANNED: frozenset({_S.HELD, _S.QUEUED, _S.DROPPED}),
    _S.HELD: frozenset({_S.QUEUED, _S.DROPPED}),
    _S.QUEUED: frozenset({_S.CLAIMED, _S.FAILED}),
    _S.CLAIMED: frozenset({_S.SUBMITTED, _S.DROPPED, _S.FAILED}),
    _S.SUBMITTED: frozenset({_S.UNKNOWN, _S.ACCEPTED, _S.DELIVERED, _S.FAILED}),
    _S.UNKNOWN: frozenset({_S.ACCEPTED, _S.DELIVERED, _S.FAILED}),
    _S.ACCEPTED: frozenset({_S.DELIVERED, _S.FAILED}),
    _S.DELIVERED: frozenset(),
    _S.FAILED: frozenset(),
    _S.DROPPED: frozenset(),
}
# From where a message may go back to the queue, in a new epoch.
REQUEUES: Final = frozenset({_S.CLAIMED, _S.SUBMITTED, _S.UNKNOWN})
RANK: Final[Mapping[State, int]] = {
    _S.PLANNED: 0,
    _S.HELD: 1,
    _S.QUEUED: 2,
    _S.CLAIMED: 3,
    _S.SUBMITTED: 4,
    _S.UNKNOWN: 5,
    _S.ACCEPTED: 6,
    _S.DELIVERED: 7,
    _S.FAILED: 8,
    _S.DROPPED: 8,
}
# Nothing more is done here for a message in one of these; an unknown one may still learn of its fate.
FINAL: Final = frozenset({_S.UNKNOWN, _S.ACCEPTED, _S.DELIVERED, _S.FAILED, _S.DROPPED})


def is_final(state: State) -> bool:
    """Whether no more work is due for a message in this state."""
    return state in FINAL


def may_move(before: State, epoch_before: int, after: State, epoch_after: int) -> bool:
    """Whether a message may go from one (state, epoch) to another."""
    if epoch_after == epoch_before:
        return after in MOVES[before]
    return epoch_after == epoch_before + 1 and after is State.QUEUED and before in REQUEUES


@dataclass(frozen=True, slots=True)
class ContactFacts:
    """What the gate needs to know of a member on a channel for a purpose.

    `consent` is None if the member never said anything; `suppression` is the reason why the address is to be
    left alone; `needs_address` is false for channels that reach a member without one.
    """

    known: bool
    erased: bool = False
    needs_address: bool = True
    address: str | None = None
    suppression: str | None = None
    consent: bool | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the gate says, and why; it is kept with the message."""

    state: State
    reason: str


def gate(purpose: str, facts: ContactFacts) -> Verdict:
    """Decide whether a message may go out; asked when it is planned and again right before it is sent.

    Service messages need an address that is not suppressed; marketing needs granted consent as well, and
    the default is not subscribed.
    """
    if facts.erased:
        return Verdict(State.DROPPED, "member_erased")
    if not facts.known:
        return Verdict(State.HELD, "profile_unknown")
    if facts.needs_address and not facts.address:
        return Verdict(State.DROPPED, "no_address")
    if facts.suppression is not None:
        return Verdict(State.DROPPED, f"suppressed_{facts.suppression}")
    if purpose == "service":
        return Verdict(State.QUEUED, "service_allowed")
    if facts.consent is None:
        return Verdict(State.DROPPED, "no_consent")
    if not facts.consent:
        return Verdict(State.DROPPED, "consent_withdrawn")
    return Verdict(State.QUEUED, "consent_granted")


class OutcomeKind(StrEnum):
    """What a channel learnt from one attempt."""

    ACCEPTED = "accepted"
    """The provider took it."""
    DELIVERED = "delivered"
    """It arrived."""
    REFUSED = "refused"
    """It will never be taken: recipient or content."""
    DEFERRED = "deferred"
    """Not taken this time, for a reason of this message; certainly not sent."""
    UNAVAILABLE = "unavailable"
    """The provider is away or turns everything away; certainly not sent, and no attempt of the message."""
    AMBIGUOUS = "ambiguous"
    """It may have been sent: the connection broke after the content went out."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of one attempt. `reason` is a code without anything personal in it."""

    kind: OutcomeKind
    reason: str
    suppress: bool = False
    retry_after_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """How often and how long a message is tried; waits in seconds."""

    max_attempts: int
    base_seconds: float
    cap_seconds: float


@dataclass(frozen=True, slots=True)
class Settlement:
    """Where an attempt leaves a message. Back in the queue, `wait_seconds` is the time until the next try,
    and `counts` says whether the attempt used one up.
    """

    state: State
    reason: str
    wait_seconds: float = 0.0
    counts: bool = True
    suppress: bool = False


def backoff_seconds(attempts: int, limits: Limits, chance: float) -> float:
    """The wait after `attempts` failures: full jitter below a doubling, capped ceiling.

    `chance` is uniform in [0, 1). Source: M. Brooker, "Exponential Backoff And Jitter", AWS, 2015.
    """
    return chance * min(limits.cap_seconds, limits.base_seconds * 2.0 ** min(attempts - 1, 60))


def settle(purpose: str, attempts: int, outcome: Outcome, limits: Limits, chance: float) -> Settlement:
    """Decide what follows from an attempt; `attempts` counts this one."""
    match outcome.kind:
        case OutcomeKind.ACCEPTED:
            return Settlement(State.ACCEPTED, outcome.reason)
        case OutcomeKind.DELIVERED:
            return Settlement(State.DELIVERED, outcome.reason)
        case OutcomeKind.REFUSED:
            return Settlement(State.FAILED, outcome.reason, suppress=outcome.suppress)
        case OutcomeKind.AMBIGUOUS if purpose != "service":
            return Settlement(State.UNKNOWN, outcome.reason)
        case OutcomeKind.UNAVAILABLE:
            # The message is not at fault, so it waits without losing an attempt; its age is the bound.
            wait = max(outcome.retry_after_seconds or 0.0, backoff_seconds(3, limits, chance))
            return Settlement(State.QUEUED, outcome.reason, wait, counts=False)
    if attempts >= limits.max_attempts:
        state = State.UNKNOWN if outcome.kind is OutcomeKind.AMBIGUOUS else State.FAILED
        return Settlement(state, outcome.reason)
    wait = max(outcome.retry_after_seconds or 0.0, backoff_seconds(attempts, limits, chance))
    return Settlement(State.QUEUED, outcome.reason, wait)


def after_crash(purpose: str, attempts: int, limits: Limits, chance: float) -> Settlement:
    """Decide about a message that was submitted when its dispatcher died: nobody knows its fate."""
    lost = Outcome(OutcomeKind.AMBIGUOUS, "dispatcher_lost")
    return settle(purpose, attempts, lost, limits, chance)
