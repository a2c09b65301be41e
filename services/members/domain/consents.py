"""Consent of record: the latest statement holds, and of two at the same instant the stricter one.

Where two members became one person, a no of either side holds until the person says something anew.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from services.members.domain.people import Member

__all__ = ["ConsentState", "Statement", "Subject", "consents_of", "heard", "joined"]

Subject = tuple[str, str]
"""(channel, purpose)."""


class Statement(NamedTuple):
    """What a member said about being written to. `source` is where, `actor` who wrote it down."""

    member_id: UUID
    channel: str
    purpose: str
    granted: bool
    stated_at: datetime
    wording_hash: str | None
    source: str
    actor: str

    @property
    def subject(self) -> tuple[UUID, str, str]:
        """What the statement is about: one member, channel and purpose."""
        return (self.member_id, self.channel, self.purpose)


@dataclass(frozen=True, slots=True)
class ConsentState:
    """What holds now for one member, channel and purpose.

    `effective_at` is since when, if that is later than it was said: a merge or an unmerge can bring an older
    word into force, and whoever keeps the latest word has to be told an instant that is the latest.
    """

    granted: bool
    stated_at: datetime
    effective_at: datetime | None = None

    @property
    def since(self) -> datetime:
        """Since when it holds."""
        return max(self.stated_at, self.effective_at or self.stated_at)


def heard(known: ConsentState | None, statement: Statement) -> tuple[bool, bool]:
    """Say whether the statement now holds, and whether anybody has to be told.

    A late statement that differs changes nothing, but the profile is said again with the instant of what
    holds: whoever heard the late one elsewhere then knows that it is old.
    """
    if known is None:
        return True, True
    order = (statement.stated_at, not statement.granted)
    holds = order > (known.stated_at, not known.granted)
    return holds, statement.granted != known.granted


def joined(own: ConsentState | None, theirs: ConsentState, merged_at: datetime) -> ConsentState:
    """What holds for a person of what the survivor and the merged member said last.

    What either said after the merge is the person's latest word; of what both said before it, the stricter.
    """
    if own is None:
        return replace(theirs, effective_at=max(theirs.since, merged_at))
    later, earlier = sorted((own, theirs), key=lambda said: (said.stated_at, not said.granted), reverse=True)
    if later.stated_at > merged_at:
        return later
    holds = later if later.granted == earlier.granted or not later.granted else earlier
    if holds.granted == own.granted:
        return replace(holds, effective_at=max(holds.since, own.since))
    return replace(holds, effective_at=max(own.since, theirs.since, merged_at))


def consents_of(
    person: Member, said: Mapping[tuple[UUID, str, str], ConsentState]
) -> dict[Subject, ConsentState]:
    """What holds for a person, by channel and purpose, of what everybody merged into it said.

    What others said is passed over. Merges are followed from their beginning, so that a word counts against
    the merges that came after it.
    """
    own: dict[UUID, dict[Subject, ConsentState]] = defaultdict(dict)
    for (member_id, channel, purpose), state in said.items():
        own[member_id][channel, purpose] = state
    merged_into = defaultdict(list)
    for member in person.merged:
        assert member.link is not None, "whoever is merged has a link"
        merged_into[member.link.surviving_id].append((member.link.merged_at, member.id))

    def holding(member_id: UUID) -> dict[Subject, ConsentState]:
        held = dict(own[member_id])
        for merged_at, merged_id in sorted(merged_into[member_id]):
            for subject, theirs in holding(merged_id).items():
                held[subject] = joined(held.get(subject), theirs, merged_at)
        return held

    return holding(person.id)
