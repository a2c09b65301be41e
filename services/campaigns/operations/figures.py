"""Figures for operators: the summary, the backlogs and the gauges of money."""

from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from services.campaigns.repository import summary as rows
from shared import metrics

GROUP_STATES = ("pending", "open", "closing", "formed", "failed")
SEAT_STATES = ("held", "paid", "confirmed", "lapsed", "refund_pending", "refunded")
PAYMENT_STATES = ("captured", "confirmed", "refund_requested", "refunded")

UNDECIDED_MONEY = metrics.gauge(
    "regulars_campaigns_undecided_minor",
    "Captured money whose group is neither formed nor failed, in minor units; it must return to 0.",
    ("currency",),
)
REFUND_WAIT_SECONDS = metrics.gauge(
    "regulars_campaigns_refund_request_age_seconds",
    "Age of the oldest refund request without an answer; a storefront that never answers shows here.",
)

_seen_currencies: set[str] = set()

overdue_groups = rows.overdue_groups
overdue_seats = rows.overdue_seats
parked_rewards = rows.parked_rewards


async def summary(session: AsyncSession) -> dict[str, Any]:
    """Return every count that tells whether the books of campaigns balance."""
    counts = await rows.counts(session)
    undecided = {currency: int(minor) for currency, minor in (counts.pop("undecided") or {}).items()}
    return counts | {
        "groups": _every(GROUP_STATES, counts["groups"]),
        "seats": _every(SEAT_STATES, counts["seats"]),
        "payments": _every(PAYMENT_STATES, counts["payments"]),
        "refund_reasons": counts.pop("reasons") or {},
        "undecided_minor": sum(undecided.values()),
        "undecided_minor_by_currency": undecided,
    }


def _every(states: tuple[str, ...], found: dict[str, int] | None) -> dict[str, int]:
    return dict.fromkeys(states, 0) | (found or {})


async def measure(session: AsyncSession) -> None:
    """Set the gauges of money."""
    undecided = await rows.undecided_minor(session)
    # A currency that is settled must be seen to be at 0, not vanish.
    _seen_currencies.update(undecided)
    for currency in _seen_currencies:
        UNDECIDED_MONEY.labels(currency).set(undecided.get(currency, 0))
    REFUND_WAIT_SECONDS.set(await rows.oldest_request_seconds(session))
