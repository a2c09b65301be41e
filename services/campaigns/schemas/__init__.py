"""What the API of campaigns takes and gives."""

from services.campaigns.schemas.activities import ActivityIn, ActivityOut, CancelIn, InZone, SkuIn, SkuOut
from services.campaigns.schemas.books import RefundRequestOut, SummaryOut
from services.campaigns.schemas.coupons import CouponOut, PromotionIn, PromotionOut
from services.campaigns.schemas.groups import (
    GroupOut,
    JoinIn,
    LinkIn,
    LinkOut,
    OpenGroupIn,
    SeatHeld,
    SeatOut,
)

__all__ = [
    "ActivityIn",
    "ActivityOut",
    "CancelIn",
    "CouponOut",
    "GroupOut",
    "InZone",
    "JoinIn",
    "LinkIn",
    "LinkOut",
    "OpenGroupIn",
    "PromotionIn",
    "PromotionOut",
    "RefundRequestOut",
    "SeatHeld",
    "SeatOut",
    "SkuIn",
    "SkuOut",
    "SummaryOut",
]
