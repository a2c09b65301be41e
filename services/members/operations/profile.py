"""What somebody says about members: their attributes, and those that the operator's schema knows."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from services.members.domain import Member, merge_patch, state_attributes
from services.members.errors import BirthdayChangeLimitReached, MemberNotFound, RevisionConflict
from services.members.operations.attributes import AttributeSchema
from services.members.operations.birthday_schedules import BirthdayAllowance
from services.members.operations.changes import Changes
from services.members.repository import people
from services.members.repository import profile as repository
from services.members.repository.people import Customer
from services.members.settings import settings
from shared.problems import Refusal

__all__ = ["ProfileChange", "ProfileChanged", "change_profiles"]


@dataclass(frozen=True, slots=True)
class ProfileChange:
    """A change of a member, who is named by id or as a source knows them.

    `attributes` maps those that every member has to their values; `own_attributes` is a merge patch of those
    that the operator's schema knows, where None takes all away and `{}` changes nothing. With
    `expected_revisions` the change is refused if the member is at none of them.
    """

    member: UUID | Customer
    attributes: Mapping[str, Any]
    stated_at: datetime
    own_attributes: Mapping[str, Any] | None = field(default_factory=dict)
    expected_revisions: frozenset[int] | None = None

    @property
    def patches_own(self) -> bool:
        """Whether it says anything about the operator's attributes."""
        return self.own_attributes is None or bool(self.own_attributes)


@dataclass(frozen=True, slots=True)
class ProfileChanged:
    """A member after a change, at the revision that its profile then has."""

    member_id: UUID
    revision: int
    changed: bool


async def change_profiles(
    session: AsyncSession, commands: Sequence[ProfileChange], *, actor: str
) -> list[ProfileChanged | Refusal]:
    """Change members. One result per command, carried out in their order."""
    changes = await Changes.begin(session, actor=actor)
    batch = _Batch(changes, commands)
    await batch.load()
    results = [batch.change(command) for command in commands]
    await batch.save()
    return [
        ProfileChanged(result.member_id, changes.members[result.member_id].revision, result.changed)
        if isinstance(result, ProfileChanged)
        else result
        for result in results
    ]


class _Batch:
    """One call of `change_profiles`, step by step."""

    def __init__(self, changes: Changes, commands: Sequence[ProfileChange]) -> None:
        self.changes = changes
        self.session = changes.session
        self.commands = commands
        self.customers: dict[Customer, UUID] = {}
        self.own: dict[UUID, dict[str, Any]] = {}
        self.own_changed: set[UUID] = set()
        self.schema: AttributeSchema | None = None
        self.allowance = BirthdayAllowance({})

    async def load(self) -> None:
        """Lock the members, and read what the commands will be judged by and no more."""
        named = {command.member for command in self.commands if not isinstance(command.member, UUID)}
        self.customers = await people.member_ids(self.session, named)
        await self.changes.lock({found for command in self.commands if (found := self._id_of(command))})
        patched = [command for command in self.commands if command.patches_own]
        if patched:
            self.schema = await AttributeSchema.current(self.session)
            self.own = await repository.attributes_of(self.session, self.changes.members)
        born = {
            found
            for command in self.commands
            if command.attributes.get("birthday") and (found := self._id_of(command))
        }
        self.allowance = await BirthdayAllowance.of(self.session, born)

    def _id_of(self, command: ProfileChange) -> UUID | None:
        return command.member if isinstance(command.member, UUID) else self.customers.get(command.member)

    def change(self, command: ProfileChange) -> ProfileChanged | Refusal:
        """Judge one command by all that it says, and only then carry it out."""
        member_id = self._id_of(command)
        if member_id is None:
            return MemberNotFound()
        if (refusal := self.changes.refusal_of(member_id)) is not None:
            return refusal
        member = self.changes.members[member_id]
        person = self.changes.person(member_id)
        said_already = any(self.changes.members[each].has_new_profile for each in person.person_ids)
        revision = person.revision + said_already
        if command.expected_revisions is not None and revision not in command.expected_revisions:
            return RevisionConflict(revision=revision)
        own_before = self._own_of(person)
        own = own_before
        if command.patches_own:
            assert self.schema is not None, "read for all who patch"
            own = {} if command.own_attributes is None else merge_patch(own_before, command.own_attributes)
            # What the member has already is not judged again: the schema may have changed since.
            fault = self.schema.refusal_of(own) if _written(own) != _written(own_before) else None
            if fault is not None:
                return fault
        if not self.allowance.allows(member, command.attributes.get("birthday")):
            return BirthdayChangeLimitReached(limit=settings().birthday_changes_per_year)
        before = _shown(member)
        state_attributes(member, command.attributes, command.stated_at)
        is_changed = _written(own) != _written(own_before)
        if is_changed:
            self._keep(person, own)
        return ProfileChanged(person.id, revision, _shown(member) != before or is_changed)

    def _own_of(self, person: Member) -> dict[str, Any]:
        """The program's attributes of a person: of two ids that have the same one, the survivor's holds."""
        own: dict[str, Any] = {}
        for member_id in reversed(person.person_ids):
            own |= self.own.get(member_id, {})
        return own

    def _keep(self, person: Member, own: dict[str, Any]) -> None:
        """Keep attributes under the surviving id; what is gone is gone from the other ids too."""
        kept = {person.id: own}
        for alias in person.merged:
            theirs = self.own.get(alias.id, {})
            if theirs.keys() - own.keys():
                kept[alias.id] = {name: value for name, value in theirs.items() if name in own}
        self.own |= kept
        self.own_changed |= kept.keys()
        person.has_new_profile = True

    async def save(self) -> None:
        """Write what changed."""
        if self.own_changed:
            assert self.schema is not None, "read for all who patch"
            changed = {member_id: self.own[member_id] for member_id in self.own_changed}
            await repository.save_attributes(self.session, changed, self.schema.version)
        await self.changes.save()


def _shown(member: Member) -> tuple[object, ...]:
    return (member.display_name, member.locale, member.time_zone, member.country, member.birthday)


def _written(attributes: Mapping[str, Any]) -> str:
    """Attributes as one text. To Python true is 1; to a schema and to whoever reads them it is not."""
    return json.dumps(attributes, sort_keys=True)
