"""Request and response models of the points API."""

from services.points.schemas.fields import (
    FURTHEST,
    MAX_PER_MEMBER,
    MAX_STOCK,
    PerMember,
    PositivePoints,
    Stock,
)
from services.points.schemas.members import EntryOut, Expiration, Lifetime, PointsShown, Summary
from services.points.schemas.rewards import (
    CouponTerms,
    RedemptionAnswer,
    RedemptionIn,
    RedemptionOut,
    RewardIn,
    RewardOut,
    RewardPatch,
)
from services.points.schemas.rules import EarningRuleIn, EarningRuleOut, EarningRules

__all__ = [
    "FURTHEST",
    "MAX_PER_MEMBER",
    "MAX_STOCK",
    "CouponTerms",
    "EarningRuleIn",
    "EarningRuleOut",
    "EarningRules",
    "EntryOut",
    "Expiration",
    "Lifetime",
    "PerMember",
    "PointsShown",
    "PositivePoints",
    "RedemptionAnswer",
    "RedemptionIn",
    "RedemptionOut",
    "RewardIn",
    "RewardOut",
    "RewardPatch",
    "Stock",
    "Summary",
]
