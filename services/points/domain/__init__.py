"""The rules of the ledger, as functions of their arguments. Instants are aware and in UTC."""

from services.points.domain.accounts import CONTRA_OF_KIND, MAX_ENTRY_POINTS, Account, PointsOutOfRange
from services.points.domain.expiry import ExpiryPolicy, InvalidExpiryPolicy, expiry_of
from services.points.domain.lots import Lot, pin, spending_order, take
from services.points.domain.lottery import Draw, Odds, Prize, Round
from services.points.domain.orders import EarnedOrder, claw_back_due
from services.points.domain.rewards import Reward
from services.points.domain.rules import EarningRule, RuleBook

__all__ = [
    "CONTRA_OF_KIND",
    "MAX_ENTRY_POINTS",
    "Account",
    "Draw",
    "EarnedOrder",
    "EarningRule",
    "ExpiryPolicy",
    "InvalidExpiryPolicy",
    "Lot",
    "Odds",
    "PointsOutOfRange",
    "Prize",
    "Reward",
    "Round",
    "RuleBook",
    "claw_back_due",
    "expiry_of",
    "pin",
    "spending_order",
    "take",
]
