"""What messaging hears: profiles, consents, and every event that a trigger or a webhook may wait for."""

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncSession

from services.messaging import operations
from services.messaging.operations.facts import HEARD
from shared.consumer import Handlers
from shared.events import (
    Envelope,
    Event,
    MemberConsentChanged,
    MemberErased,
    MemberMerged,
    MemberProfile,
    MemberProfileErased,
    MemberUnmerged,
)

__all__ = ["handlers"]

handlers = Handlers()

# These change what messaging knows, and may be waited for as well.
PROJECTED = (MemberConsentChanged, MemberErased, MemberMerged, MemberUnmerged)

# Every other event matters only while a trigger or a webhook waits for it.
NEWS = tuple(cls for cls in HEARD.values() if cls not in PROJECTED)


@handlers.unless(*NEWS)
async def nobody_waits_for(session: AsyncSession) -> set[str]:
    """Which events need not even be read: most of the traffic, in most shops."""
    return {cls.type for cls in NEWS} - await operations.awaited_types(session)


@handlers.on(MemberProfile, MemberProfileErased)
async def on_profiles(session: AsyncSession, events: Sequence[Envelope[Event]]) -> None:
    """Keep the contacts that messages go to."""
    await operations.apply_profiles(session, events)


@handlers.on(MemberConsentChanged)
async def on_consents(session: AsyncSession, events: Sequence[Envelope[MemberConsentChanged]]) -> None:
    """Keep what members agreed to."""
    await operations.record_consents(session, events)
    await operations.hear(session, events)


@handlers.on(MemberErased)
async def on_erased(session: AsyncSession, events: Sequence[Envelope[MemberErased]]) -> None:
    """Forget members, whichever of the two topics says so first."""
    await operations.erase_members(
        session, [(event.data.member_id, event.data.erased_at) for event in events]
    )
    await operations.hear(session, events)


@handlers.on(MemberMerged, MemberUnmerged)
async def on_links(session: AsyncSession, events: Sequence[Envelope[MemberMerged | MemberUnmerged]]) -> None:
    """Keep who is who, so that one person gets one message."""
    await operations.link_members(session, events)
    await operations.hear(session, events)


@handlers.on(*NEWS)
async def on_news(session: AsyncSession, events: Sequence[Envelope[Event]]) -> None:
    """Plan what events trigger and tell webhooks of them."""
    await operations.hear(session, events)
