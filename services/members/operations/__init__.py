"""The verbs of members. Each takes a batch in the caller's transaction, answers one result per command in
their order, and leaves the commit to the edge.
"""

from services.members.operations.attributes import (
    AttributeSchema,
    SchemaReplaced,
    read_attribute_schema,
    replace_attribute_schema,
)
from services.members.operations.birthdays import celebrate_birthdays
from services.members.operations.consents import ConsentRecorded, record_consents
from services.members.operations.deliveries import DeliveryTaken, take_deliveries
from services.members.operations.erasure import Erased, erase_members
from services.members.operations.groups import (
    MembershipChange,
    change_memberships,
    delete_group,
    read_group_members,
    read_groups,
    save_group,
)
from services.members.operations.holding import (
    PointsChange,
    TierLock,
    TierPurchase,
    hear_points,
    lock_tiers,
    take_tier_purchases,
    unlock_tiers,
)
from services.members.operations.identities import (
    Addressed,
    Addressing,
    Dismissal,
    Dismissed,
    Identified,
    Identity,
    add_addresses,
    dismiss_suggestions,
    identify_members,
    read_suggestions,
)
from services.members.operations.intake import OrderTaken, take_orders
from services.members.operations.merges import Merge, Merged, merge_members, unmerge_members
from services.members.operations.page import read_member_page
from services.members.operations.profile import ProfileChange, ProfileChanged, change_profiles
from services.members.operations.progress import (
    Stage,
    Standing,
    read_stage_history,
    read_standing,
    read_tier_history,
)
from services.members.operations.reading import (
    find_member,
    read_member,
    read_members,
    read_order,
    read_orders_of_member,
    read_refunds,
    read_tiers,
    search_members,
)
from services.members.operations.recounts import judge_recounts
from services.members.operations.returns import (
    CancellationTaken,
    RefundTaken,
    apply_parked,
    take_cancellations,
    take_refunds,
)
from services.members.operations.stages import (
    judge_stages,
    read_lifecycle,
    replace_lifecycle,
    sweep_stages,
)
from services.members.operations.summary import Summary, fold_tallies, summarise
from services.members.operations.tags import change_tags, drop_expired_tags
from services.members.operations.tiers import (
    TableChange,
    WouldMove,
    count_members_to_judge,
    look_at_tiers,
    preview_tiers,
    rejudge_members,
    replace_tiers,
)

__all__ = [
    "Addressed",
    "Addressing",
    "AttributeSchema",
    "CancellationTaken",
    "ConsentRecorded",
    "DeliveryTaken",
    "Dismissal",
    "Dismissed",
    "Erased",
    "Identified",
    "Identity",
    "MembershipChange",
    "Merge",
    "Merged",
    "OrderTaken",
    "PointsChange",
    "ProfileChange",
    "ProfileChanged",
    "RefundTaken",
    "SchemaReplaced",
    "Stage",
    "Standing",
    "Summary",
    "TableChange",
    "TierLock",
    "TierPurchase",
    "WouldMove",
    "add_addresses",
    "apply_parked",
    "celebrate_birthdays",
    "change_memberships",
    "change_profiles",
    "change_tags",
    "count_members_to_judge",
    "delete_group",
    "dismiss_suggestions",
    "drop_expired_tags",
    "erase_members",
    "find_member",
    "fold_tallies",
    "hear_points",
    "identify_members",
    "judge_recounts",
    "judge_stages",
    "lock_tiers",
    "look_at_tiers",
    "merge_members",
    "preview_tiers",
    "read_attribute_schema",
    "read_group_members",
    "read_groups",
    "read_lifecycle",
    "read_member",
    "read_member_page",
    "read_members",
    "read_order",
    "read_orders_of_member",
    "read_refunds",
    "read_stage_history",
    "read_standing",
    "read_suggestions",
    "read_tier_history",
    "read_tiers",
    "record_consents",
    "rejudge_members",
    "replace_attribute_schema",
    "replace_lifecycle",
    "replace_tiers",
    "save_group",
    "search_members",
    "summarise",
    "sweep_stages",
    "take_cancellations",
    "take_deliveries",
    "take_orders",
    "take_refunds",
    "take_tier_purchases",
    "unlock_tiers",
    "unmerge_members",
]
