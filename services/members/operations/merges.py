"""Two members turn out to be one person, or two after all.

Nothing is rewritten: rows keep the id that they came under, before and during a merge, and that is where they
are found after it was undone. A person is judged anew by what is known under all ids.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from services.members.domain import ConsentState, Link, Member, Subject, consents_of, person_of, tier_state
from services.members.errors import (
    MemberAlreadyMerged,
    MergeCircle,
    NotMerged,
    TooManyIds,
)
from services.members.operations.changes import Changes
from services.members.operations.identities import ordered_pair
from services.members.repository import aliases as repository
from services.members.repository import consents, suggestions
from services.members.repository.aliases import MergeRow
from services.members.repository.suggestions import Pair
from services.members.settings import settings
from shared.clock import utc_now
from shared.events import MemberConsentChanged, MemberMerged, MemberUnmerged
from shared.problems import Refusal

__all__ = ["Merge", "Merged", "merge_members", "unmerge_members"]

MERGE, UNMERGE = "merge", "unmerge"


@dataclass(frozen=True, slots=True)
class Merge:
    """That `merged_id` and `surviving_id` are one person, or no longer; `actor` is who says so."""

    surviving_id: UUID
    merged_id: UUID
    actor: str
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Merged:
    """What became of a merge or an unmerge; `person_id` is who the merged member is now."""

    surviving_id: UUID
    merged_id: UUID
    person_id: UUID
    changed: bool


async def merge_members(session: AsyncSession, commands: Sequence[Merge]) -> list[Merged | Refusal]:
    """Make members aliases of others. One result per command, in their order.

    A surviving member that is an alias itself stands for its person. What holds already is unchanged.
    """
    batch = await _Batch.begin(session, commands)
    results = [batch.merge(command) for command in commands]
    await batch.save()
    return results


async def unmerge_members(session: AsyncSession, commands: Sequence[Merge]) -> list[Merged | Refusal]:
    """Let merged members stand for themselves again. One result per command, in their order.

    A merge that was undone already is unchanged.
    """
    batch = await _Batch.begin(session, commands)
    results = [batch.unmerge(command) for command in commands]
    await batch.save()
    return results


class _Batch:
    """Merges and unmerges of one batch, decided in memory and written at the end."""

    def __init__(
        self,
        changes: Changes,
        history: dict[UUID, MergeRow],
        said: dict[tuple[UUID, str, str], ConsentState],
    ) -> None:
        self.changes = changes
        self.history = history
        self.said = said
        self.now = utc_now()
        self.begun: list[MergeRow] = []
        self.ended: list[tuple[MergeRow, str]] = []
        self.accepted: list[tuple[Pair, str]] = []
        self.dismissed: list[tuple[Pair, str]] = []
        # Merges that know another tier than they did, because an earlier one was undone.
        self.rewritten: dict[UUID, MergeRow] = {}
        self.relinked: set[UUID] = set()
        self.brought_back: set[tuple[UUID, str, str]] = set()

    @classmethod
    async def begin(cls, session: AsyncSession, commands: Sequence[Merge]) -> "_Batch":
        await repository.hold_still(session)
        changes = await Changes.begin(session)
        await changes.lock({id_ for command in commands for id_ in (command.surviving_id, command.merged_id)})
        history = await repository.last_merges(session, changes.members)
        return cls(changes, history, await consents.consent_states(session, changes.members))

    def merge(self, command: Merge) -> Merged | Refusal:
        if (refusal := self._refusal_of(command)) is not None:
            return refusal
        person = self.changes.person(command.surviving_id)
        merged = self.changes.members[command.merged_id]
        if merged.link is not None:
            if merged.person_id != person.id:
                return MemberAlreadyMerged(member_id=str(merged.person_id))
            return Merged(merged.link.surviving_id, merged.id, person.id, changed=False)
        if merged.id == person.id:
            return MergeCircle()
        if len(person.person_ids) + len(merged.person_ids) > settings().ids_per_person:
            return TooManyIds(limit=settings().ids_per_person)
        self._join(person, merged, command)
        return Merged(person.id, merged.id, person.id, changed=True)

    def _refusal_of(self, command: Merge) -> Refusal | None:
        return self.changes.refusal_of(command.surviving_id) or self.changes.refusal_of(command.merged_id)

    def _join(self, person: Member, merged: Member, command: Merge) -> None:
        before = consents_of(person, self.said)
        known = self.history.get(merged.id)
        revision = 1 if known is None else known.last_revision + 1
        # So that merges of one batch, too, are known in the order in which they were made.
        at = self.now + timedelta(microseconds=len(self.begun))
        row = MergeRow(merged.id, revision, person.id, at, command.actor, command.reason, tier_state(person))
        self.history[merged.id] = row
        self.begun.append(row)
        self.accepted += [(pair, command.actor) for pair in _pairs(person, merged)]
        self.changes.count_person(merged, -1)
        merged.link = Link(person.id, person.id, at, revision)
        self.relinked.add(merged.id)
        self._relink([person, *person.merged, merged, *merged.merged])
        self.changes.events.append(
            MemberMerged(surviving_id=person.id, merged_id=merged.id, merged_at=at, revision=revision)
        )
        self._say_consents(person, before, MERGE)
        self.changes.rhythms.relinked(person)
        self.changes.judge(person, self.now, MERGE)

    def unmerge(self, command: Merge) -> Merged | Refusal:
        if (refusal := self._refusal_of(command)) is not None:
            return refusal
        merged = self.changes.members[command.merged_id]
        known = self.history.get(merged.id)
        if known is None or known.surviving_id != command.surviving_id:
            return NotMerged()
        if merged.link is None:
            return Merged(known.surviving_id, merged.id, merged.id, changed=False)
        self._part(self.changes.members[known.surviving_id], merged, known, merged.link.revision + 1, command)
        return Merged(known.surviving_id, merged.id, merged.id, changed=True)

    def _part(self, survivor: Member, merged: Member, known: MergeRow, revision: int, command: Merge) -> None:
        person = self.changes.person(merged.id)
        before = consents_of(person, self.said)
        merged.link = None
        self.relinked.add(merged.id)
        self._relink([person, *person.merged])
        self.ended.append((known, command.actor))
        self.dismissed += [(pair, command.actor) for pair in _pairs(person, merged)]
        self.history[merged.id] = replace(known, unmerged_at=self.now)
        self.changes.events.append(
            MemberUnmerged(
                surviving_id=known.surviving_id,
                merged_id=merged.id,
                unmerged_at=self.now,
                revision=revision,
            )
        )
        self.changes.count_person(merged, +1)
        self._say_consents(person, before, UNMERGE)
        self._restore_tiers(survivor, known)
        self.changes.rhythms.relinked(person, merged)
        for each in (person, merged):
            self.changes.judge(each, self.now, UNMERGE)

    def _restore_tiers(self, survivor: Member, parted: MergeRow) -> None:
        """Give the tiers back that were held without a member who has left; what is left is judged by then.

        Of the merges into one survivor that still hold, the first one always knows the tier that the survivor
        had alone: whatever order they are undone in, the last gives it back, with its date.
        """
        later = self._still_held(survivor, after=parted)
        self._restore_tier(survivor, parted)
        if later:
            self._remember(later[0], parted.tier_before)
        for row in later[1:]:
            self._remember(row, None)
        while survivor.link is not None:
            # Whoever the survivor was merged into later had the member who has left in it, too.
            row = self.history[survivor.id]
            survivor = self.changes.members[row.surviving_id]
            self._restore_tier(survivor, row)
            for each in self._still_held(survivor, after=row):
                self._remember(each, None)

    def _restore_tier(self, survivor: Member, row: MergeRow) -> None:
        held = self._still_held(survivor)
        state = row.tier_before or (held[0].tier_before if held else None)
        if state is not None:
            self.changes.restore_tier(survivor, state, self.now, UNMERGE)

    def _still_held(self, survivor: Member, *, after: MergeRow | None = None) -> list[MergeRow]:
        """Return the merges into a member that are not undone, the first one first."""
        held = [
            row
            for row in self.history.values()
            if row.surviving_id == survivor.id
            and row.unmerged_at is None
            and (after is None or row.merged_at > after.merged_at)
        ]
        return sorted(held, key=lambda row: row.merged_at)

    def _remember(self, row: MergeRow, tier_before: Mapping[str, Any] | None) -> None:
        self.history[row.merged_id] = self.rewritten[row.merged_id] = replace(row, tier_before=tier_before)

    def _relink(self, members: Iterable[Member]) -> None:
        """Follow the aliases of these members, who are whole persons, to their ends anew."""
        everybody = {member.id: member for member in members}
        surviving = {id_: each.link.surviving_id for id_, each in everybody.items() if each.link is not None}
        for member in everybody.values():
            member.merged = []
        for member in everybody.values():
            if member.link is None:
                member.has_new_profile = True
                continue
            person = everybody[person_of(member.id, surviving)]
            if member.link.person_id != person.id:
                member.link = replace(member.link, person_id=person.id)
                self.relinked.add(member.id)
            person.merged.append(member)

    def _say_consents(self, person: Member, before: dict[Subject, ConsentState], source: str) -> None:
        """Say what a person agrees to now and did not before, or the other way round."""
        after = consents_of(person, self.said)
        changed = {
            subject: state.granted
            for subject, state in after.items()
            if subject not in before or before[subject].granted != state.granted
        }
        # What only the other one had said is a no again: nobody is written to who never agreed.
        changed |= {subject: False for subject in before.keys() - after.keys() if before[subject].granted}
        self.changes.events += [
            MemberConsentChanged(
                member_id=person.id,
                channel=channel,
                purpose=purpose,
                granted=granted,
                source=source,
                changed_at=self.now,
            )
            for (channel, purpose), granted in sorted(changed.items())
        ]
        if source == UNMERGE:
            self._hold_from_now(person, changed)

    def _hold_from_now(self, person: Member, subjects: Iterable[Subject]) -> None:
        for channel, purpose in subjects:
            for member_id in person.person_ids:
                key = (member_id, channel, purpose)
                if key in self.said:
                    self.said[key] = replace(self.said[key], effective_at=self.now)
                    self.brought_back.add(key)

    async def save(self) -> None:
        """Write who is who now, the history, the members and the events."""
        session, members = self.changes.session, self.changes.members
        links = {id_: link for id_ in sorted(self.relinked) if (link := members[id_].link) is not None}
        await repository.delete_links(session, self.relinked - links.keys())
        await repository.save_links(session, links)
        await repository.insert_merges(session, self.begun)
        await repository.end_merges(session, [(row, self.now, actor) for row, actor in self.ended])
        await repository.rewrite_tiers_before(session, self.rewritten.values())
        # Whoever is taken apart again is not suggested to be one person a second time.
        await suggestions.decide(session, self.accepted, state="accepted", from_states=["open", "dismissed"])
        await suggestions.decide(session, self.dismissed, state="dismissed", from_states=["open", "accepted"])
        await consents.save_effective_since(session, self.brought_back, self.now)
        await self.changes.save()


def _pairs(person: Member, merged: Member) -> list[Pair]:
    return [ordered_pair((a, b)) for a in person.person_ids for b in merged.person_ids]
