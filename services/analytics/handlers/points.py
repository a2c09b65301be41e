"""Points, rewards and lots drawn as facts."""

from typing import Any

from services.analytics.domain import EventFact, ShopDays
from services.analytics.handlers.facts import Translation, Translations, fact, priced
from shared.events import (
    Envelope,
    Event,
    LotteryDrawn,
    PointsAdjusted,
    PointsCaptured,
    PointsClawedBack,
    PointsEarned,
    PointsExpired,
    PointsForfeited,
    PointsHeld,
    PointsMatured,
    PointsOpened,
    PointsRedeemed,
    PointsReleased,
    PointsReturned,
    PointsTransferred,
    RewardCancelled,
    RewardFulfilmentChanged,
    RewardGranted,
)
from shared.ids import derived_id

__all__ = ["TRANSLATIONS"]


def _movement(key: str, at: str, label: str = "") -> Translation:
    """Translate a movement by its fields: what names it, its instant, and its label if it has one."""

    def translate(envelope: Envelope[Event], data: Any, days: ShopDays) -> EventFact:
        return fact(
            envelope,
            getattr(data, key),
            getattr(data, at),
            days,
            member_id=data.member_id,
            order_id=getattr(data, "order_id", None),
            amount=data.points,
            label=getattr(data, label) if label else "",
        )

    return translate


def _returned(envelope: Envelope[Event], data: PointsReturned, days: ShopDays) -> EventFact:
    # One entry may give back to the accounts of several members, once these were merged or parted.
    return fact(
        envelope,
        derived_id("returned", str(data.entry_id), str(data.member_id)),
        data.returned_at,
        days,
        member_id=data.member_id,
        order_id=data.order_id,
        amount=data.points,
    )


def _matured(envelope: Envelope[Event], data: PointsMatured, days: ShopDays) -> EventFact:
    # Points of many entries mature together, so that nothing but the event names them.
    return fact(envelope, envelope.id, data.matured_at, days, member_id=data.member_id, amount=data.points)


def _granted(envelope: Envelope[Event], data: RewardGranted, days: ShopDays) -> EventFact:
    return fact(
        envelope,
        data.redemption_id,
        data.granted_at,
        days,
        member_id=data.member_id,
        label=data.reward_kind,
        **priced(data.cost_minor, data.currency),
    )


def _undone(envelope: Envelope[Event], data: RewardCancelled, days: ShopDays) -> EventFact:
    # A redemption comes to nothing once.
    return fact(
        envelope,
        data.redemption_id,
        data.cancelled_at,
        days,
        member_id=data.member_id,
        order_id=data.order_id,
        amount=data.points,
        label=data.reward_kind,
        detail={"status": data.status, "reason": data.reason},
    )


def _on_its_way(envelope: Envelope[Event], data: RewardFulfilmentChanged, days: ShopDays) -> EventFact:
    return fact(
        envelope,
        derived_id("fulfilment", str(data.redemption_id), data.step),
        data.changed_at,
        days,
        member_id=data.member_id,
        label=data.step,
    )


def _drawn(envelope: Envelope[Event], data: LotteryDrawn, days: ShopDays) -> EventFact:
    return fact(
        envelope,
        data.draw_id,
        data.drawn_at,
        days,
        member_id=data.member_id,
        amount=data.points_won,
        label=data.outcome,
        detail={"lottery_id": str(data.lottery_id), "prize_number": data.prize_number},
    )


TRANSLATIONS: Translations = {
    PointsEarned: _movement("entry_id", "earned_at"),
    PointsOpened: _movement("entry_id", "earned_at", "source"),
    PointsClawedBack: _movement("entry_id", "clawed_back_at"),
    PointsRedeemed: _movement("redemption_id", "redeemed_at", "reward_kind"),
    # A hold is settled once, whatever of it is released then.
    PointsHeld: _movement("hold_id", "held_at"),
    PointsCaptured: _movement("entry_id", "captured_at"),
    PointsReleased: _movement("hold_id", "released_at", "reason"),
    PointsReturned: _returned,
    PointsMatured: _matured,
    PointsAdjusted: _movement("entry_id", "adjusted_at"),
    PointsTransferred: _movement("entry_id", "transferred_at"),
    PointsExpired: _movement("entry_id", "expired_at"),
    PointsForfeited: _movement("entry_id", "forfeited_at", "reason"),
    RewardGranted: _granted,
    RewardCancelled: _undone,
    RewardFulfilmentChanged: _on_its_way,
    LotteryDrawn: _drawn,
}
