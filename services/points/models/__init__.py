"""Tables of the ledger. The constraints are the last line of defence: what they forbid cannot be stored.

Rows of the hot tables refer to each other without foreign keys: a check per row would cost more than the
row itself. All of them are written under the lock of the member's account, entries and lots are never
deleted, and the summary compares the tables with each other.
"""

from services.points.models.adjustments import Adjustment
from services.points.models.audit import AuditRound
from services.points.models.base import Base
from services.points.models.holds import Hold, HoldLot, MemberAlias
from services.points.models.ledger import Account, Entry, Lot, LotMove, OrderSpend
from services.points.models.lottery import Draw, LotteryOdds, LotteryPrize, LotteryRound
from services.points.models.members import ErasedMember, MemberLabel, MemberTier
from services.points.models.orders import EarlyDelivery, OrderRefund
from services.points.models.referrals import Referral, ShareLink
from services.points.models.rewards import MemberChoice, OrderBenefit, Redemption, Reward
from services.points.models.rules import BackTest, BackTestTiers, CapUsage, EarningRule, MemberBirthday

__all__ = [
    "Account",
    "Adjustment",
    "AuditRound",
    "BackTest",
    "BackTestTiers",
    "Base",
    "CapUsage",
    "Draw",
    "EarlyDelivery",
    "EarningRule",
    "Entry",
    "ErasedMember",
    "Hold",
    "HoldLot",
    "Lot",
    "LotMove",
    "LotteryOdds",
    "LotteryPrize",
    "LotteryRound",
    "MemberAlias",
    "MemberBirthday",
    "MemberChoice",
    "MemberLabel",
    "MemberTier",
    "OrderBenefit",
    "OrderRefund",
    "OrderSpend",
    "Redemption",
    "Referral",
    "Reward",
    "ShareLink",
]
