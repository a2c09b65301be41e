"""Points, rewards and lots drawn as facts."""

from services.analytics.domain import EventFact, ShopDays
from services.analytics.handlers.facts import Translations, fact, priced
from shared.events import (
    Envelope,
    Event,
    LotteryDrawn,
    PointsClawedBack,
    PointsEarned,
    PointsExpired,
    PointsForfeited,
    PointsRedeemed,
    RewardCancelled,
    RewardFulfilmentChanged,
    RewardGranted,
)
from shared.ids import derived_id

__all__ = ["TRANSLATIONS"]


def _earned(envelope: Envelope[Event], data: PointsEarned, days: ShopDays) -> EventFact:
    return fact(
        envelope,
        data.entry_id,
        data.earned_at,
        days,
        member_id=data.member_id,
        order_id=data.order_id,
        amount=data.points,
    )


def _clawed_back(envelope: Envelope[Event], data: PointsClawedBack, days: ShopDays) -> EventFact:
    return fact(
        envelope,
        data.entry_id,
        data.clawed_back_at,
        days,
        member_id=data.member_id,
        order_id=data.order_id,
        amount=data.points,
    )


def _redeemed(envelope: Envelope[Event], data: PointsRedeemed, days: ShopDays) -> EventFact:
    return fact(
        envelope,
        data.redemption_id,
        data.redeemed_at,
        days,
        member_id=data.member_id,
        order_id=data.order_id,
        amount=data.points,
        label=data.reward_kind,
    )


def _expired(envelope: Envelope[Event], data: PointsExpired, days: ShopDays) -> EventFact:
    return fact(envelope, data.entry_id, data.expired_at, days, member_id=data.member_id, amount=data.points)


def _forfeited(envelope: Envelope[Event], data: PointsForfeited, days: ShopDays) -> EventFact:
    return fact(
        envelope,
        data.entry_id,
        data.forfeited_at,
        days,
        member_id=data.member_id,
        amount=data.points,
        label=data.reason,
    )


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
    PointsEarned: _earned,
    PointsClawedBack: _clawed_back,
    PointsRedeemed: _redeemed,
    PointsExpired: _expired,
    PointsForfeited: _forfeited,
    RewardGranted: _granted,
    RewardCancelled: _undone,
    RewardFulfilmentChanged: _on_its_way,
    LotteryDrawn: _drawn,
}
