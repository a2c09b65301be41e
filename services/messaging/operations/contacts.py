"""What messaging knows of people: snapshots replace each other, erasure is for good, the last word counts."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from services.messaging.operations.persons import with_aliases
from services.messaging.operations.planning import replan
from services.messaging.repository import contacts
from services.messaging.repository.contacts import ConsentRow
from shared import dead_letters, idempotency
from shared.events import TOPICS, Envelope, Event, MemberConsentChanged, MemberProfile

__all__ = ["apply_profiles", "erase_members", "record_consents"]

PROFILE_SOURCE = "profile"
PREVIEW = "preview"

# Records of these topics quote people; all others carry ids.
PERSONAL_TOPICS = tuple(name for name, topic in TOPICS.items() if topic.personal)


async def apply_profiles(session: AsyncSession, events: Sequence[Envelope[Event]]) -> None:
    """Take in profile snapshots and tombstones, and let messages go on that waited for them."""
    snapshots: dict[UUID, MemberProfile] = {}
    erased: dict[UUID, datetime] = {}
    for event in events:
        if isinstance(event.data, MemberProfile):
            known = snapshots.get(event.data.member_id)
            if known is None or known.revision < event.data.revision:
                snapshots[event.data.member_id] = event.data
        else:
            erased.setdefault(UUID(event.key), event.time)
    # An erased member stays erased, in whatever order snapshot and tombstone arrive.
    profiles = [profile for member, profile in snapshots.items() if member not in erased]
    profiles.sort(key=lambda profile: profile.member_id)
    if profiles:
        applied = await contacts.save_profiles(session, profiles)
        await contacts.save_contact_points(session, applied, profiles)
        await contacts.save_consents(
            session,
            [
                ConsentRow(
                    profile.member_id,
                    consent.channel,
                    consent.purpose,
                    consent.granted,
                    consent.changed_at,
                    PROFILE_SOURCE,
                )
                for profile in profiles
                if profile.member_id in applied
                for consent in profile.consents
            ],
        )
    if erased:
        await erase_members(session, list(erased.items()))
    await replan(
        session,
        members=await with_aliases(session, {profile.member_id for profile in profiles} | erased.keys()),
    )


async def erase_members(session: AsyncSession, members: Sequence[tuple[UUID, datetime]]) -> None:
    """Forget members: (member, when); also in records that could not be read, and in kept answers."""
    ordered = sorted(members)
    ids = [member for member, _ in ordered]
    names = [str(member) for member in ids]
    # A preview's answer is a text in which names may stand anywhere, and to forget one harms nobody.
    await idempotency.forget(session, {PREVIEW, *names, *await contacts.addresses_of(session, ids)})
    await dead_letters.erase_keys(session, PERSONAL_TOPICS, names)
    await contacts.erase(session, ids, [at for _, at in ordered])


async def record_consents(session: AsyncSession, events: Sequence[Envelope[MemberConsentChanged]]) -> None:
    """Take in what members said about being written to."""
    await contacts.save_consents(
        session,
        [
            ConsentRow(
                event.data.member_id,
                event.data.channel,
                event.data.purpose,
                event.data.granted,
                event.data.changed_at,
                event.data.source,
            )
            for event in events
        ],
    )
