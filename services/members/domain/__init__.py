"""The rules of members: pure, without a database and without a clock."""

from services.members.domain.birthdays import Celebrated, LeapDay, celebration_day, next_celebration
from services.members.domain.consents import ConsentState, Statement, Subject, consents_of, heard
from services.members.domain.erasure import Erasure, OldName, fingerprint, owner_of_late_order, said_aloud
from services.members.domain.orders import (
    Cancellation,
    ContactPoint,
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
from services.members.domain.tags import HeldTags, TagChange
from services.members.domain.tiers import Ladder, Level, Move, judge, restore_tier, tier_state

__all__ = [
    "ATTRIBUTES",
    "Cancellation",
    "Celebrated",
    "ConsentState",
    "ContactPoint",
    "Erasure",
    "HeldTags",
    "IncomingOrder",
    "KnownOrder",
    "Ladder",
    "LeapDay",
    "Level",
    "Line",
    "Link",
    "Member",
    "Move",
    "OldName",
    "OrderKey",
    "Refund",
    "RefundedLine",
    "Statement",
    "Subject",
    "TagChange",
    "Verdict",
    "celebration_day",
    "consents_of",
    "fingerprint",
    "heard",
    "judge",
    "merge_patch",
    "next_celebration",
    "owner_of_late_order",
    "person_of",
    "persons",
    "restore_tier",
    "said_aloud",
    "says_the_same",
    "state_attributes",
    "state_of",
    "tier_state",
    "total_of",
    "verdict",
]
