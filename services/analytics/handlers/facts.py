"""What an event that happens once to something becomes: one row, the same for all kinds.

The natural key is what the event is about where it can happen only once (a seat is paid once, a message is
delivered once), and else follows from what it says. A visit has nothing but its event.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, TypedDict
from uuid import UUID

from services.analytics.domain import EventFact, ShopDays
from shared.events import Envelope, Event

__all__ = ["Translation", "Translations", "fact", "priced"]

Translation = Callable[[Envelope[Event], Any, ShopDays], EventFact]
Translations = Mapping[type[Event], Translation]


class Price(TypedDict):
    """An amount in minor units of its currency."""

    amount: int
    currency: str


def fact(
    envelope: Envelope[Event],
    fact_id: UUID,
    at: datetime,
    days: ShopDays,
    *,
    shop: tuple[str, str] = ("", ""),
    **members: Any,
) -> EventFact:
    """Return the fact of an event under its natural key; `shop` says whose calendar its day is of."""
    return EventFact(
        envelope.type, fact_id, envelope.id, at, envelope.time, days.day_of(at, *shop), **members
    )


def priced(amount_minor: int | None, currency: str | None) -> Price:
    """Return what something cost; nothing where the amount or its currency was not said."""
    if amount_minor is None or currency is None:
        return {"amount": 0, "currency": ""}
    return {"amount": amount_minor, "currency": currency}
