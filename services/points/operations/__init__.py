"""Verbs of the ledger: each takes a session and a batch, and answers each command in order. None commits."""

from services.points.operations.adjust import (
    Adjust,
    Adjusted,
    Decide,
    adjust,
    decide,
    lapse_adjustments,
    show_adjustment,
    show_adjustments,
)
from services.points.operations.audit import (
    AUDITED,
    Slice,
    audit_accounts,
    audit_lots,
    audit_member,
    audit_next,
    note_audit,
)
from services.points.operations.back_test import (
    advance_back_test,
    hear_tiers,
    show_back_test,
    start_back_test,
)
from services.points.operations.birthdays import record_birthdays
from services.points.operations.cancel import Cancel, cancel
from services.points.operations.catalogue import (
    add_rewards,
    change_reward,
    retire_reward,
    show_reward,
    show_rewards,
)
from services.points.operations.counter import Redeem, Redeemed
from services.points.operations.earn import Earned, earn
from services.points.operations.expire import count_due_lots, expire
from services.points.operations.explain import (
    ExplainedStep,
    Explanation,
    OrderExplanation,
    explain_order,
    explain_points,
)
from services.points.operations.forfeit import erase_members, forfeit_erased
from services.points.operations.free_shipping import (
    CalledOff,
    Choose,
    Placed,
    anybody_chose,
    apply_free_shipping,
    call_off,
    choose,
    show_benefits,
    show_choice,
)
from services.points.operations.holds import Capture, Held, Hold, Void, capture, hold, show_hold, void
from services.points.operations.judging import Earn
from services.points.operations.labels import record_labels
from services.points.operations.liability import show_liability
from services.points.operations.lottery import (
    DrawLot,
    Drawn,
    draw,
    show_draw,
    show_draws,
    show_lottery,
    show_rounds,
)
from services.points.operations.mature import Delivered, deliver, deliver_early, mature
from services.points.operations.merge import Link, Merged, merge
from services.points.operations.opening import Opened, Opening, open_balances
from services.points.operations.redeem import redeem
from services.points.operations.referrals import record_links, refer
from services.points.operations.refund import (
    Refunded,
    apply_overtaken,
    count_parked_refunds,
    refund,
    refunded_lines,
)
from services.points.operations.returns import (
    CancelRedemption,
    Decline,
    Fulfil,
    cancel_redemptions,
    confirm,
    decline,
    fulfil,
)
from services.points.operations.rounds import prepare_due_rounds, publish_odds
from services.points.operations.rules import (
    NewRule,
    activate_rule_set,
    add_earning_rule,
    change_draft,
    delete_earning_rule,
    draft_rule_set,
    show_earning_rule,
    show_earning_rules,
)
from services.points.operations.show import (
    count_pending_redemptions,
    show_entries,
    show_points,
    show_redemption,
    show_redemptions,
    show_to_fulfil,
    summarise,
)
from services.points.operations.tiers import record_tiers
from services.points.operations.transfer import Transfer, Transferred, transfer
from services.points.repository.adjustments import AdjustmentRow
from services.points.repository.back_tests import BackTest, TierAnswer, TierMove
from services.points.repository.caps import BirthdayRow
from services.points.repository.labels import LabelRow
from services.points.repository.lottery import DrawRow, OddsRow
from services.points.repository.orders import Refund
from services.points.repository.redemptions import RedemptionRow
from services.points.repository.referrals import Joined
from services.points.repository.rules import RuleVersion
from services.points.repository.shipping import Benefit, Choice
from services.points.repository.tiers import TierRow

__all__ = [
    "AUDITED",
    "Adjust",
    "Adjusted",
    "AdjustmentRow",
    "BackTest",
    "Benefit",
    "BirthdayRow",
    "CalledOff",
    "Cancel",
    "CancelRedemption",
    "Capture",
    "Choice",
    "Choose",
    "Decide",
    "Decline",
    "Delivered",
    "DrawLot",
    "DrawRow",
    "Drawn",
    "Earn",
    "Earned",
    "ExplainedStep",
    "Explanation",
    "Fulfil",
    "Held",
    "Hold",
    "Joined",
    "LabelRow",
    "Link",
    "Merged",
    "NewRule",
    "OddsRow",
    "Opened",
    "Opening",
    "OrderExplanation",
    "Placed",
    "Redeem",
    "Redeemed",
    "RedemptionRow",
    "Refund",
    "Refunded",
    "RuleVersion",
    "Slice",
    "TierAnswer",
    "TierMove",
    "TierRow",
    "Transfer",
    "Transferred",
    "Void",
    "activate_rule_set",
    "add_earning_rule",
    "add_rewards",
    "adjust",
    "advance_back_test",
    "anybody_chose",
    "apply_free_shipping",
    "apply_overtaken",
    "audit_accounts",
    "audit_lots",
    "audit_member",
    "audit_next",
    "call_off",
    "cancel",
    "cancel_redemptions",
    "capture",
    "change_draft",
    "change_reward",
    "choose",
    "confirm",
    "count_due_lots",
    "count_parked_refunds",
    "count_pending_redemptions",
    "decide",
    "decline",
    "delete_earning_rule",
    "deliver",
    "deliver_early",
    "draft_rule_set",
    "draw",
    "earn",
    "erase_members",
    "expire",
    "explain_order",
    "explain_points",
    "forfeit_erased",
    "fulfil",
    "hear_tiers",
    "hold",
    "lapse_adjustments",
    "mature",
    "merge",
    "note_audit",
    "open_balances",
    "prepare_due_rounds",
    "publish_odds",
    "record_birthdays",
    "record_labels",
    "record_links",
    "record_tiers",
    "redeem",
    "refer",
    "refund",
    "refunded_lines",
    "retire_reward",
    "show_adjustment",
    "show_adjustments",
    "show_back_test",
    "show_benefits",
    "show_choice",
    "show_draw",
    "show_draws",
    "show_earning_rule",
    "show_earning_rules",
    "show_entries",
    "show_hold",
    "show_liability",
    "show_lottery",
    "show_points",
    "show_redemption",
    "show_redemptions",
    "show_reward",
    "show_rewards",
    "show_rounds",
    "show_to_fulfil",
    "start_back_test",
    "summarise",
    "transfer",
    "void",
]
