"""Members and events about them, for the tests of messaging."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from shared.events import (
    Consent,
    ContactPoint,
    Envelope,
    Event,
    MemberProfile,
    MemberTierUpgraded,
)
from shared.ids import derived_id, new_id

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)


def envelope(data: Event, *, event_id: UUID | None = None, time: datetime = NOW) -> Envelope[Any]:
    """An event as the consumer hands it over."""
    return Envelope(
        id=event_id or new_id(), type=data.type, source="members", time=time, key=data.key, data=data
    )


def member(number: int) -> UUID:
    """The same member for the same number."""
    return derived_id("test-member", str(number))


def profile(member_id: UUID, *, revision: int = 1, **changes: Any) -> MemberProfile:
    """A profile with one e-mail address."""
    values: dict[str, Any] = {
        "display_name": "Ana",
        "tier": "bronze",
        "contact_points": [ContactPoint(channel="email", address=f"{member_id}@example.test")],
        "consents": [],
        "updated_at": NOW,
    }
    return MemberProfile(member_id=member_id, revision=revision, **(values | changes))


def consent(granted: bool, *, at: datetime = NOW, purpose: str = "marketing") -> Consent:
    """What a member says about e-mail."""
    return Consent(channel="email", purpose=purpose, granted=granted, changed_at=at)


def upgrade(member_id: UUID, to_tier: str = "gold") -> MemberTierUpgraded:
    """A member reaches a tier."""
    return MemberTierUpgraded(
        member_id=member_id, from_tier="bronze", to_tier=to_tier, changed_at=NOW, reason="spend"
    )
