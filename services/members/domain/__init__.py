"""The rules of members: pure, without a database and without a clock."""

from services.members.domain.consents import ConsentState, Statement, heard
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
    state_of,
    total_of,
    verdict,
)
from services.members.domain.people import ATTRIBUTES, Member, state_attributes
from services.members.domain.persons import Link, person_of, persons
from services.members.domain.tags import HeldTags, TagChange
from services.members.domain.tiers import Ladder, Level, Move, judge

__all__ = [
    "ATTRIBUTES",
    "Cancellation",
    "ConsentState",
    "ContactPoint",
    "HeldTags",
    "IncomingOrder",
    "KnownOrder",
    "Ladder",
    "Level",
    "Line",
    "Link",
    "Member",
    "Move",
    "OrderKey",
    "Refund",
    "RefundedLine",
    "Statement",
    "TagChange",
    "Verdict",
    "heard",
    "judge",
    "person_of",
    "persons",
    "state_attributes",
    "state_of",
    "total_of",
    "verdict",
]
