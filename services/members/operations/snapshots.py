"""Profiles as everybody else is told of them: one per person, whatever the number of ids."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import TypeVar
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from services.members.domain import ConsentState, Member, consents_of
from services.members.repository import consents, people
from services.members.repository.people import Snapshot
from shared.clock import utc_now
from shared.events import Consent, ContactPoint, MemberProfile

__all__ = ["profiles"]

# What readers may rely on; a person of many ids could have more of each than that.
MAX_OF_EACH = 200

T = TypeVar("T")


async def profiles(session: AsyncSession, persons: Sequence[Member]) -> list[MemberProfile]:
    """Return the profile snapshots of persons, whose revisions are those to be said."""
    parts = {person.id: people.BARE_SNAPSHOT for person in persons if person.is_bare}
    parts |= await people.snapshots(
        session, [id_ for person in persons if not person.is_bare for id_ in person.person_ids]
    )
    several = [id_ for person in persons if person.merged for id_ in person.person_ids]
    said = await consents.consent_states(session, several)
    now = utc_now()
    return [
        _profile(person, _joined(person, parts, said) if person.merged else parts[person.id], now)
        for person in persons
    ]


def _joined(
    person: Member,
    parts: Mapping[UUID, Snapshot],
    said: Mapping[tuple[UUID, str, str], ConsentState],
) -> Snapshot:
    """Put together what is kept under all ids of a person; where two differ, the survivor's holds."""
    of_each = [parts[member_id] for member_id in person.person_ids]
    points: dict[tuple[str, str], ContactPoint] = {}
    for point in (point for part in of_each for point in part.contact_points):
        known = points.get((point.channel, point.address))
        if known is None or (point.verified and not known.verified):
            points[point.channel, point.address] = point
    attributes: dict[str, object] = {}
    for part in reversed(of_each):
        attributes |= part.attributes
    return Snapshot(
        contact_points=list(points.values())[:MAX_OF_EACH],
        consents=[
            Consent(channel=channel, purpose=purpose, granted=state.granted, changed_at=state.since)
            for (channel, purpose), state in sorted(consents_of(person, said).items())
        ][:MAX_OF_EACH],
        tags=sorted(_each_once(tag for part in of_each for tag in part.tags)),
        groups=sorted(_each_once(group for part in of_each for group in part.groups)),
        attributes=attributes,
    )


def _each_once(values: Iterable[T]) -> list[T]:
    return list(dict.fromkeys(values))[:MAX_OF_EACH]


def _profile(person: Member, parts: Snapshot, now: datetime) -> MemberProfile:
    return MemberProfile(
        member_id=person.id,
        **person.person_attributes,
        tier=person.tier,
        tags=parts.tags,
        groups=parts.groups,
        attributes=parts.attributes,
        contact_points=parts.contact_points,
        consents=parts.consents,
        updated_at=now,
        revision=person.revision,
    )
