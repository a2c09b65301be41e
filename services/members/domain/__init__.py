"""The rules of members: pure, without a database and without a clock."""

from services.members.domain.birthdays import Celebrated, LeapDay, celebration_day, next_celebration
from services.members.domain.consents import ConsentState, Statement, Subject, consents_of, heard
from services.members.domain.erasure import Erasure, OldName, fingerprint, owner_of_late_order, said_aloud
from services.members.domain.identities import address_written, proof_of, resolve_customers
from services.members.domain.lifecycle import STAGES, LifecycleRules, Rhythm
from services.members.domain.orders import (
    Cancellation,
    ContactPoint,
    Delivery,
    IncomingOrder,
    KnownOrder,
    Line,
    OrderKey,
    Refund,
    RefundedLine,
    Verdict,
    says_the_same,
    state_of,
    total_of,
    verdict,
)
from services.members.domain.patches import merge_patch
from services.members.domain.people import ATTRIBUTES, Member, state_attributes
from services.members.domain.persons import Link, person_of, persons
from services.members.domain.progress import Missing, Progress, progress_of
from services.members.domain.standing import (
    Move,
    buy,
    days_to_look_at,
    judge,
    lock,
    restore_tier,
    tier_state,
    unlock,
)
from services.members.domain.tags import HeldTags, TagChange
from services.members.domain.terms import Gift, Lock, Terms
from services.members.domain.tiers import NOTHING, Facts, Figures, Ladder, Level, Period, Policy, Window

__all__ = [
    "ATTRIBUTES",
    "NOTHING",
    "STAGES",
    "Cancellation",
    "Celebrated",
    "ConsentState",
    "ContactPoint",
    "Delivery",
    "Erasure",
    "Facts",
    "Figures",
    "Gift",
    "HeldTags",
    "IncomingOrder",
    "KnownOrder",
    "Ladder",
    "LeapDay",
    "Level",
    "LifecycleRules",
    "Line",
    "Link",
    "Lock",
    "Member",
    "Missing",
    "Move",
    "OldName",
    "OrderKey",
    "Period",
    "Policy",
    "Progress",
    "Refund",
    "RefundedLine",
    "Rhythm",
    "Statement",
    "Subject",
    "TagChange",
    "Terms",
    "Verdict",
    "Window",
    "address_written",
    "buy",
    "celebration_day",
    "consents_of",
    "days_to_look_at",
    "fingerprint",
    "heard",
    "judge",
    "lock",
    "merge_patch",
    "next_celebration",
    "owner_of_late_order",
    "person_of",
    "persons",
    "progress_of",
    "proof_of",
    "resolve_customers",
    "restore_tier",
    "said_aloud",
    "says_the_same",
    "state_attributes",
    "state_of",
    "tier_state",
    "total_of",
    "unlock",
    "verdict",
]
