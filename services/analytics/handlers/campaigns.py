"""Activities, groups, links, coupons and what has to be given back as facts."""

from services.analytics.domain import EventFact, ShopDays
from services.analytics.handlers.facts import Translations, fact, priced
from shared.events import (
    ActivityCancelled,
    ActivityEnded,
    ActivityScheduled,
    CouponIssued,
    CouponRedeemed,
    Envelope,
    Event,
    GroupExpired,
    GroupFormed,
    GroupJoined,
    GroupOpened,
    GroupSeatLapsed,
    LinkShared,
    LinkVisited,
    RefundRequested,
)
from shared.ids import derived_id

__all__ = ["TRANSLATIONS"]


def _scheduled(envelope: Envelope[Event], data: ActivityScheduled, days: ShopDays) -> EventFact:
    detail = {
        "shop_id": data.shop_id,
        "starts_at": data.starts_at.isoformat(),
        "ends_at": data.ends_at.isoformat(),
        "group_size": data.group_size,
        "discount_percent": data.discount_percent,
        "skus": len(data.skus),
    }
    # Set up when it was said; its start may well lie in the future.
    return fact(envelope, data.activity_id, envelope.time, days, activity_id=data.activity_id, detail=detail)


def _called_off(envelope: Envelope[Event], data: ActivityCancelled, days: ShopDays) -> EventFact:
    return fact(envelope, data.activity_id, data.cancelled_at, days, activity_id=data.activity_id)


def _ended(envelope: Envelope[Event], data: ActivityEnded, days: ShopDays) -> EventFact:
    return fact(envelope, data.activity_id, data.ended_at, days, activity_id=data.activity_id)


def _opened(envelope: Envelope[Event], data: GroupOpened, days: ShopDays) -> EventFact:
    return fact(
        envelope,
        data.group_id,
        data.opened_at,
        days,
        member_id=data.initiator_id,
        activity_id=data.activity_id,
        group_id=data.group_id,
        detail={"sku": data.sku, "group_size": data.group_size},
    )


def _joined(envelope: Envelope[Event], data: GroupJoined, days: ShopDays) -> EventFact:
    # Whoever has the first seat opened the group; the others were brought by a link.
    return fact(
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


def _formed(envelope: Envelope[Event], data: GroupFormed, days: ShopDays) -> EventFact:
    return fact(
        envelope,
        data.group_id,
        data.formed_at,
        days,
        activity_id=data.activity_id,
        group_id=data.group_id,
        amount=len(data.member_ids),
    )


def _failed(envelope: Envelope[Event], data: GroupExpired, days: ShopDays) -> EventFact:
    return fact(
        envelope,
        data.group_id,
        data.expired_at,
        days,
        activity_id=data.activity_id,
        group_id=data.group_id,
        label=data.reason,
        amount=data.missing_seats,
    )


def _lapsed(envelope: Envelope[Event], data: GroupSeatLapsed, days: ShopDays) -> EventFact:
    return fact(
        envelope,
        data.seat_id,
        data.lapsed_at,
        days,
        member_id=data.member_id,
        activity_id=data.activity_id,
        group_id=data.group_id,
    )


def _link(envelope: Envelope[Event], data: LinkShared | LinkVisited, days: ShopDays) -> EventFact:
    parent = data.parent_link_id
    shared = isinstance(data, LinkShared)
    return fact(
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


def _coupon(envelope: Envelope[Event], data: CouponIssued, days: ShopDays) -> EventFact:
    return fact(
        envelope,
        data.coupon_id,
        data.issued_at,
        days,
        member_id=data.member_id,
        detail={"promotion_id": str(data.promotion_id)},
    )


def _coupon_used(envelope: Envelope[Event], data: CouponRedeemed, days: ShopDays) -> EventFact:
    return fact(
        envelope,
        derived_id("coupon-use", str(data.coupon_id), str(data.order_id)),
        data.redeemed_at,
        days,
        member_id=data.member_id,
        order_id=data.order_id,
        **priced(data.discount_minor, data.currency),
        detail={"promotion_id": str(data.promotion_id)},
    )


def _asked_back(envelope: Envelope[Event], data: RefundRequested, days: ShopDays) -> EventFact:
    return fact(
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


TRANSLATIONS: Translations = {
    ActivityScheduled: _scheduled,
    ActivityCancelled: _called_off,
    ActivityEnded: _ended,
    GroupOpened: _opened,
    GroupJoined: _joined,
    GroupFormed: _formed,
    GroupExpired: _failed,
    GroupSeatLapsed: _lapsed,
    LinkShared: _link,
    LinkVisited: _link,
    CouponIssued: _coupon,
    CouponRedeemed: _coupon_used,
    RefundRequested: _asked_back,
}
