"""The rules of members: pure, without a database and without a clock."""

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
from services.members.domain.people import ATTRIBUTES, Member, state_attributes
from services.members.domain.persons import Link, person_of, persons
from services.members.domain.tags import HeldTags, TagChange
from services.members.domain.tiers import Ladder, Level, Move, judge, restore_tier, tier_state

__all__ = [
    "ATTRIBUTES",
    "Cancellation",
    "ConsentState",
    "ContactPoint",
    "Erasure",
    "HeldTags",
    "IncomingOrder",
    "KnownOrder",
    "Ladder",
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
    "consents_of",
    "fingerprint",
    "heard",
    "judge",
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
