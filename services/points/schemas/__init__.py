"""Request and response models of the points API."""

from services.points.schemas.fields import (
    FURTHEST,
    MAX_PER_MEMBER,
    MAX_STOCK,
    PerMember,
    PositivePoints,
    Stock,
)
from services.points.schemas.holds import (
    CaptureIn,
    CaptureOfIn,
    HoldAnswer,
    HoldIn,
    HoldOut,
    TransferIn,
    TransferOut,
    VoidOfIn,
)
from services.points.schemas.members import EntryOut, Expiration, Lifetime, Maturity, PointsShown, Summary
from services.points.schemas.rewards import (
    CouponTerms,
    RedemptionAnswer,
    RedemptionIn,
    RedemptionOut,
    RewardIn,
    RewardOut,
    RewardPatch,
)
from services.points.schemas.rules import (
    ActivationIn,
    EarningRuleIn,
    EarningRuleOut,
    EarningRules,
    RuleSetIn,
)

__all__ = [
    "FURTHEST",
    "MAX_PER_MEMBER",
    "MAX_STOCK",
    "ActivationIn",
    "CaptureIn",
    "CaptureOfIn",
    "CouponTerms",
    "EarningRuleIn",
    "EarningRuleOut",
    "EarningRules",
    "EntryOut",
    "Expiration",
    "HoldAnswer",
    "HoldIn",
    "HoldOut",
    "Lifetime",
    "Maturity",
    "PerMember",
    "PointsShown",
    "PositivePoints",
    "RedemptionAnswer",
    "RedemptionIn",
    "RedemptionOut",
    "RewardIn",
    "RewardOut",
    "RewardPatch",
    "RuleSetIn",
    "Stock",
    "Summary",
    "TransferIn",
    "TransferOut",
    "VoidOfIn",
]
