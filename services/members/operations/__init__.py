"""The verbs of members. Each takes a batch in the caller's transaction, answers one result per command in
their order, and leaves the commit to the edge.
"""

from services.members.operations.consents import ConsentRecorded, record_consents
from services.members.operations.intake import OrderTaken, take_orders
from services.members.operations.people import change_profile
from services.members.operations.returns import (
    CancellationTaken,
    RefundTaken,
    apply_parked,
    take_cancellations,
    take_refunds,
)
from services.members.operations.summary import Summary, summarise
from services.members.operations.tags import Tagging, drop_expired_tags, tag_members, untag_members
from services.members.operations.tiers import rejudge_members, replace_tiers

__all__ = [
    "CancellationTaken",
    "ConsentRecorded",
    "OrderTaken",
    "RefundTaken",
    "Summary",
    "Tagging",
    "apply_parked",
    "change_profile",
    "drop_expired_tags",
    "record_consents",
    "rejudge_members",
    "replace_tiers",
    "summarise",
    "tag_members",
    "take_cancellations",
    "take_orders",
    "take_refunds",
    "untag_members",
]
