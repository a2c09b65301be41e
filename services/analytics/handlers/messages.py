"""Messages and their fate as facts."""

from datetime import datetime

from services.analytics.domain import EventFact, ShopDays
from services.analytics.handlers.facts import Translations, fact, priced
from shared.events import Envelope, Event, MessageDelivered, MessageDropped, MessageFailed, MessageSent

__all__ = ["TRANSLATIONS"]


def _sent(envelope: Envelope[Event], data: MessageSent, days: ShopDays) -> EventFact:
    return fact(
        envelope,
        data.message_id,
        data.sent_at,
        days,
        member_id=data.member_id,
        label=data.channel,
        **priced(data.cost_minor, data.currency),
        detail={"template": data.template, "trigger": data.trigger, "purpose": data.purpose},
    )


def _arrived(envelope: Envelope[Event], data: MessageDelivered, days: ShopDays) -> EventFact:
    return _fate(envelope, data, data.delivered_at, days)


def _lost(envelope: Envelope[Event], data: MessageFailed, days: ShopDays) -> EventFact:
    return _fate(envelope, data, data.failed_at, days)


def _withheld(envelope: Envelope[Event], data: MessageDropped, days: ShopDays) -> EventFact:
    return _fate(envelope, data, data.dropped_at, days)


def _fate(
    envelope: Envelope[Event],
    data: MessageDelivered | MessageFailed | MessageDropped,
    at: datetime,
    days: ShopDays,
) -> EventFact:
    return fact(envelope, data.message_id, at, days, member_id=data.member_id, label=data.channel)


TRANSLATIONS: Translations = {
    MessageSent: _sent,
    MessageDelivered: _arrived,
    MessageFailed: _lost,
    MessageDropped: _withheld,
}
