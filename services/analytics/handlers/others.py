"""Everything but orders and refunds as facts: one small translation for each kind of event.

The natural key is what the event is about where it can happen only once (a seat is paid once, a message is
delivered once), and else follows from what it says. A visit has nothing but its event.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

from services.analytics.domain import Alias, Batch, EventFact, ShopDays
from shared import events as said
from shared.events import Envelope, Event
from shared.ids import derived_id

__all__ = ["OTHERS", "merged", "unmerged"]

E = TypeVar("E", bound=Event)
Translation = Callable[[Envelope[Event], Any, ShopDays], EventFact]

OTHERS: dict[type[Event], Translation] = {}


def _of(*event_types: type[Event]) -> Callable[[Translation], Translation]:
    def register(translation: Translation) -> Translation:
        for event_type in event_types:
            OTHERS[event_type] = translation
        return translation

    return register


def _fact(
    envelope: Envelope[Event],
    fact_id: UUID,
    at: datetime,
    days: ShopDays,
    *,
    shop: tuple[str, str] = ("", ""),
    **members: Any,
) -> EventFact:
    return EventFact(
        envelope.type, fact_id, envelope.id, at, envelope.time, days.day_of(at, *shop), **members
    )


@_of(said.OrderCancelled)
def _cancelled(envelope: Envelope[Event], data: said.OrderCancelled, days: ShopDays) -> EventFact:
    return _fact(
        envelope,
        data.order_id,
        data.cancelled_at,
        days,
        shop=(data.source, data.shop_id),
        member_id=data.member_id,
        order_id=data.order_id,
    )


@_of(said.MemberCreated)
def _member(envelope: Envelope[Event], data: said.MemberCreated, days: ShopDays) -> EventFact:
    return _fact(envelope, data.member_id, data.created_at, days, member_id=data.member_id, label=data.source)


@_of(said.MemberErased)
def _erased(envelope: Envelope[Event], data: said.MemberErased, days: ShopDays) -> EventFact:
    return _fact(envelope, data.member_id, data.erased_at, days, member_id=data.member_id)


@_of(said.MemberTierUpgraded, said.MemberTierDowngraded)
def _tier(
    envelope: Envelope[Event],
    data: said.MemberTierUpgraded | said.MemberTierDowngraded,
    days: ShopDays,
) -> EventFact:
    return _fact(
        envelope,
        derived_id("tier", str(data.member_id), data.changed_at.isoformat(), data.to_tier or ""),
        data.changed_at,
        days,
        member_id=data.member_id,
        label=data.to_tier or "",
        detail={"from_tier": data.from_tier},
    )


def merged(batch: Batch, envelope: Envelope[Event], data: said.MemberMerged, days: ShopDays) -> None:
    """Add a merge, as a fact and as an alias."""
    key = derived_id("merge", str(data.merged_id), str(data.surviving_id), data.merged_at.isoformat())
    batch.events.append(
        _fact(
            envelope,
            key,
            data.merged_at,
            days,
            member_id=data.surviving_id,
            detail={"merged_id": str(data.merged_id)},
        )
    )
    batch.aliases.append(Alias(data.merged_id, data.surviving_id, data.revision, data.merged_at, envelope.id))


def unmerged(batch: Batch, envelope: Envelope[Event], data: said.MemberUnmerged, days: ShopDays) -> None:
    """Add the end of a merge, as a fact and as an alias of nobody."""
    key = derived_id("unmerge", str(data.merged_id), str(data.surviving_id), data.unmerged_at.isoformat())
    detail = {"merged_id": str(data.merged_id)}
    batch.events.append(
        _fact(envelope, key, data.unmerged_at, days, member_id=data.surviving_id, detail=detail)
    )
    batch.aliases.append(Alias(data.merged_id, None, data.revision, data.unmerged_at, envelope.id))


@_of(said.PointsEarned)
def _earned(envelope: Envelope[Event], data: said.PointsEarned, days: ShopDays) -> EventFact:
    return _fact(
        envelope,
        data.entry_id,
        data.earned_at,
        days,
        member_id=data.member_id,
        order_id=data.order_id,
        amount=data.points,
    )


@_of(said.PointsClawedBack)
def _clawed_back(envelope: Envelope[Event], data: said.PointsClawedBack, days: ShopDays) -> EventFact:
    return _fact(
        envelope,
        data.entry_id,
        data.clawed_back_at,
        days,
        member_id=data.member_id,
        order_id=data.order_id,
        amount=data.points,
    )


@_of(said.PointsRedeemed)
def _redeemed(envelope: Envelope[Event], data: said.PointsRedeemed, days: ShopDays) -> EventFact:
    return _fact(
        envelope,
        data.redemption_id,
        data.redeemed_at,
        days,
        member_id=data.member_id,
        order_id=data.order_id,
        amount=data.points,
        label=data.reward_kind,
    )


@_of(said.PointsExpired)
def _expired(envelope: Envelope[Event], data: said.PointsExpired, days: ShopDays) -> EventFact:
    return _fact(envelope, data.entry_id, data.expired_at, days, member_id=data.member_id, amount=data.points)


@_of(said.PointsForfeited)
def _forfeited(envelope: Envelope[Event], data: said.PointsForfeited, days: ShopDays) -> EventFact:
    return _fact(
        envelope,
        data.entry_id,
        data.forfeited_at,
        days,
        member_id=data.member_id,
        amount=data.points,
        label=data.reason,
    )


@_of(said.RewardGranted)
def _granted(envelope: Envelope[Event], data: said.RewardGranted, days: ShopDays) -> EventFact:
    known = data.cost_minor is not None and data.currency is not None
    return _fact(
        envelope,
        data.redemption_id,
        data.granted_at,
        days,
        member_id=data.member_id,
        label=data.reward_kind,
        amount=(data.cost_minor or 0) if known else 0,
        currency=(data.currency or "") if known else "",
    )


@_of(said.RewardCancelled)
def _undone(envelope: Envelope[Event], data: said.RewardCancelled, days: ShopDays) -> EventFact:
    # A redemption comes to nothing once.
    return _fact(
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


@_of(said.RewardFulfilmentChanged)
def _on_its_way(envelope: Envelope[Event], data: said.RewardFulfilmentChanged, days: ShopDays) -> EventFact:
    return _fact(
        envelope,
        derived_id("fulfilment", str(data.redemption_id), data.step),
        data.changed_at,
        days,
        member_id=data.member_id,
        label=data.step,
    )


@_of(said.LotteryDrawn)
def _drawn(envelope: Envelope[Event], data: said.LotteryDrawn, days: ShopDays) -> EventFact:
    return _fact(
        envelope,
        data.draw_id,
        data.drawn_at,
        days,
        member_id=data.member_id,
        amount=data.points_won,
        label=data.outcome,
        detail={"lottery_id": str(data.lottery_id), "prize_number": data.prize_number},
    )


@_of(said.ActivityScheduled)
def _scheduled(envelope: Envelope[Event], data: said.ActivityScheduled, days: ShopDays) -> EventFact:
    detail = {
        "shop_id": data.shop_id,
        "starts_at": data.starts_at.isoformat(),
        "ends_at": data.ends_at.isoformat(),
        "group_size": data.group_size,
        "discount_percent": data.discount_percent,
        "skus": len(data.skus),
    }
    # Set up when it was said; its start may well lie in the future.
    return _fact(envelope, data.activity_id, envelope.time, days, activity_id=data.activity_id, detail=detail)


@_of(said.ActivityCancelled)
def _called_off(envelope: Envelope[Event], data: said.ActivityCancelled, days: ShopDays) -> EventFact:
    return _fact(envelope, data.activity_id, data.cancelled_at, days, activity_id=data.activity_id)


@_of(said.ActivityEnded)
def _ended(envelope: Envelope[Event], data: said.ActivityEnded, days: ShopDays) -> EventFact:
    return _fact(envelope, data.activity_id, data.ended_at, days, activity_id=data.activity_id)


@_of(said.GroupOpened)
def _opened(envelope: Envelope[Event], data: said.GroupOpened, days: ShopDays) -> EventFact:
    return _fact(
        envelope,
        data.group_id,
        data.opened_at,
        days,
        member_id=data.initiator_id,
        activity_id=data.activity_id,
        group_id=data.group_id,
        detail={"sku": data.sku, "group_size": data.group_size},
    )


@_of(said.GroupJoined)
def _joined(envelope: Envelope[Event], data: said.GroupJoined, days: ShopDays) -> EventFact:
    # Whoever has the first seat opened the group; the others were brought by a link.
    return _fact(
        envelope,
        data.seat_id,
        data.paid_at,
        days,
        member_id=data.member_id,
        activity_id=data.activity_id,
        group_id=data.group_id,
        order_id=data.order_id,
        label="initiator" if data.seat_no == 1 else "follower",
        detail={
            "link_id": None if data.link_id is None else str(data.link_id),
            "generation": data.generation,
        },
    )


@_of(said.GroupFormed)
def _formed(envelope: Envelope[Event], data: said.GroupFormed, days: ShopDays) -> EventFact:
    return _fact(
        envelope,
        data.group_id,
        data.formed_at,
        days,
        activity_id=data.activity_id,
        group_id=data.group_id,
        amount=len(data.member_ids),
    )


@_of(said.GroupExpired)
def _failed(envelope: Envelope[Event], data: said.GroupExpired, days: ShopDays) -> EventFact:
    return _fact(
        envelope,
        data.group_id,
        data.expired_at,
        days,
        activity_id=data.activity_id,
        group_id=data.group_id,
        label=data.reason,
        amount=data.missing_seats,
    )


@_of(said.GroupSeatLapsed)
def _lapsed(envelope: Envelope[Event], data: said.GroupSeatLapsed, days: ShopDays) -> EventFact:
    return _fact(
        envelope,
        data.seat_id,
        data.lapsed_at,
        days,
        member_id=data.member_id,
        activity_id=data.activity_id,
        group_id=data.group_id,
    )


@_of(said.LinkShared, said.LinkVisited)
def _link(envelope: Envelope[Event], data: said.LinkShared | said.LinkVisited, days: ShopDays) -> EventFact:
    parent = data.parent_link_id
    shared = isinstance(data, said.LinkShared)
    return _fact(
        envelope,
        data.link_id if shared else envelope.id,
        data.at,
        days,
        member_id=data.sharer_id,
        activity_id=data.activity_id,
        group_id=data.group_id,
        label=(data.channel or "") if shared else "bot" if data.is_bot else "person",
        detail={
            "link_id": str(data.link_id),
            "parent_link_id": None if parent is None else str(parent),
            "generation": data.generation,
            "channel": data.channel,
        },
    )


@_of(said.CouponIssued)
def _coupon(envelope: Envelope[Event], data: said.CouponIssued, days: ShopDays) -> EventFact:
    return _fact(
        envelope,
        data.coupon_id,
        data.issued_at,
        days,
        member_id=data.member_id,
        detail={"promotion_id": str(data.promotion_id)},
    )


@_of(said.CouponRedeemed)
def _coupon_used(envelope: Envelope[Event], data: said.CouponRedeemed, days: ShopDays) -> EventFact:
    known = data.discount_minor is not None and data.currency is not None
    return _fact(
        envelope,
        derived_id("coupon-use", str(data.coupon_id), str(data.order_id)),
        data.redeemed_at,
        days,
        member_id=data.member_id,
        order_id=data.order_id,
        amount=(data.discount_minor or 0) if known else 0,
        currency=(data.currency or "") if known else "",
        detail={"promotion_id": str(data.promotion_id)},
    )


@_of(said.RefundRequested)
def _asked_back(envelope: Envelope[Event], data: said.RefundRequested, days: ShopDays) -> EventFact:
    return _fact(
        envelope,
        derived_id("refund-request", data.refund_key),
        data.requested_at,
        days,
        shop=(data.source, data.shop_id),
        member_id=data.member_id,
        group_id=data.group_id,
        order_id=data.order_id,
        amount=data.amount_minor,
        currency=data.currency,
        label=data.reason,
    )


@_of(said.MessageSent)
def _sent(envelope: Envelope[Event], data: said.MessageSent, days: ShopDays) -> EventFact:
    known = data.cost_minor is not None and data.currency is not None
    return _fact(
        envelope,
        data.message_id,
        data.sent_at,
        days,
        member_id=data.member_id,
        label=data.channel,
        amount=(data.cost_minor or 0) if known else 0,
        currency=(data.currency or "") if known else "",
        detail={"template": data.template, "trigger": data.trigger, "purpose": data.purpose},
    )


@_of(said.MessageDelivered)
def _arrived(envelope: Envelope[Event], data: said.MessageDelivered, days: ShopDays) -> EventFact:
    return _fact(
        envelope, data.message_id, data.delivered_at, days, member_id=data.member_id, label=data.channel
    )


@_of(said.MessageFailed)
def _lost(envelope: Envelope[Event], data: said.MessageFailed, days: ShopDays) -> EventFact:
    return _fact(
        envelope, data.message_id, data.failed_at, days, member_id=data.member_id, label=data.channel
    )


@_of(said.MessageDropped)
def _withheld(envelope: Envelope[Event], data: said.MessageDropped, days: ShopDays) -> EventFact:
    return _fact(
        envelope, data.message_id, data.dropped_at, days, member_id=data.member_id, label=data.channel
    )


@_of(said.ConsentWithdrawn)
def _said_no(envelope: Envelope[Event], data: said.ConsentWithdrawn, days: ShopDays) -> EventFact:
    key = derived_id("withdrawal", str(data.member_id), data.channel, data.purpose, data.at.isoformat())
    return _fact(envelope, key, data.at, days, member_id=data.member_id, label=data.channel)
