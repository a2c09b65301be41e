"""Groups: named sets of members that the operator keeps by hand."""

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import RowMapping
from sqlalchemy.ext.asyncio import AsyncSession

from services.members.errors import GroupNotEmpty, GroupNotFound, TooManyGroups
from services.members.operations.changes import Changes
from services.members.repository import profile as repository
from services.members.settings import settings
from shared.events import MemberGrouped, MemberUngrouped
from shared.problems import Refusal

__all__ = [
    "MembershipChange",
    "change_memberships",
    "delete_group",
    "read_group_members",
    "read_groups",
    "save_group",
]


class MembershipChange(NamedTuple):
    """A member to put into a group, or to take out of it."""

    member_id: UUID
    is_member: bool


async def save_group(session: AsyncSession, name: str, title: str | None, *, actor: str) -> None:
    """Make a group, or give it another title."""
    await repository.save_group(session, name, title, actor)


async def delete_group(session: AsyncSession, name: str) -> None:
    """Delete a group; raises GroupNotFound, or GroupNotEmpty while it has members."""
    is_empty = await repository.group_is_empty(session, name)
    if is_empty is None:
        raise GroupNotFound
    if not is_empty:
        raise GroupNotEmpty
    await repository.delete_group(session, name)


async def change_memberships(
    session: AsyncSession, name: str, commands: Sequence[MembershipChange], *, actor: str
) -> list[bool | Refusal]:
    """Put members into a group and take others out; each result says whether anything changed.

    Raises GroupNotFound. Of two commands about one member the later one holds.
    """
    if not await repository.keep_group(session, name):
        raise GroupNotFound
    changes = await Changes.begin(session, actor=actor)
    await changes.lock({command.member_id for command in commands})
    before = await repository.groups_of(session, changes.members)
    after = {member_id: set(before.get(member_id, ())) for member_id in changes.members}
    results: list[bool | Refusal] = []
    for member_id, is_member in commands:
        refusal = changes.refusal_of(member_id)
        if refusal is not None:
            results.append(refusal)
            continue
        groups = after[member_id]
        if (name in groups) == is_member:
            results.append(False)
        elif is_member and len(groups) >= settings().groups_per_member:
            results.append(TooManyGroups(limit=settings().groups_per_member))
        else:
            (groups.add if is_member else groups.remove)(name)
            results.append(True)
    joined = {member_id for member_id, groups in after.items() if name in groups}
    were_there = {member_id for member_id, groups in before.items() if name in groups}
    await repository.add_to_group(session, name, joined - were_there, actor)
    await repository.remove_from_group(session, name, were_there - joined)
    for member_id in sorted(joined ^ were_there):
        changes.members[member_id].has_new_profile = True
        changes.events.append(
            MemberGrouped(member_id=member_id, groups=[name], actor=actor, at=changes.now)
            if member_id in joined
            else MemberUngrouped(member_id=member_id, groups=[name], actor=actor, at=changes.now)
        )
    await changes.save()
    return results


async def read_groups(session: AsyncSession, *, after: str | None, limit: int) -> Sequence[RowMapping]:
    """Return groups by name."""
    return await repository.groups_page(session, after=after, limit=limit)


async def read_group_members(
    session: AsyncSession, name: str, *, after: UUID | None, limit: int
) -> Sequence[RowMapping]:
    """Return who is in a group; raises GroupNotFound."""
    rows = await repository.group_members(session, name, after=after, limit=limit)
    if not rows and not await repository.group_exists(session, name):
        raise GroupNotFound
    return rows
