"""What campaigns does, as verbs over batches."""

from services.campaigns.operations.activities import (
    ActivityView,
    NewActivity,
    NewSku,
    activities,
    activity,
    cancel,
    schedule,
)
from services.campaigns.operations.books import refund_key
from services.campaigns.operations.coupons import (
    Grant,
    NewPromotion,
    coupons_of,
    decline_lapsed,
    define,
    grant,
    issue_parked,
    promotion,
    promotions,
)
from services.campaigns.operations.deadlines import decide_due_groups, end_activities, lapse_holds
from services.campaigns.operations.figures import summary
from services.campaigns.operations.holds import Held, JoinGroup, OpenGroup, join_groups, open_groups
from services.campaigns.operations.links import (
    GroupView,
    MakeLink,
    Visit,
    behind,
    group,
    groups,
    make_link,
    parent_of,
    record_visits,
    share_of,
    token_of,
)
from services.campaigns.operations.payments import settle
from services.campaigns.operations.persons import link_members
from services.campaigns.operations.refunds import Refund, answer, refund_requests

__all__ = [
    "ActivityView",
    "Grant",
    "GroupView",
    "Held",
    "JoinGroup",
    "MakeLink",
    "NewActivity",
    "NewPromotion",
    "NewSku",
    "OpenGroup",
    "Refund",
    "Visit",
    "activities",
    "activity",
    "answer",
    "behind",
    "cancel",
    "coupons_of",
    "decide_due_groups",
    "decline_lapsed",
    "define",
    "end_activities",
    "grant",
    "group",
    "groups",
    "issue_parked",
    "join_groups",
    "lapse_holds",
    "link_members",
    "make_link",
    "open_groups",
    "parent_of",
    "promotion",
    "promotions",
    "record_visits",
    "refund_key",
    "refund_requests",
    "schedule",
    "settle",
    "share_of",
    "summary",
    "token_of",
]
