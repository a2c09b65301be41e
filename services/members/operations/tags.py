"""Tags: words that group members, each with who gave it and when it falls off."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from services.members.errors import MemberNotFound, TooManyTags
from services.members.operations.changes import Changes
from services.members.repository import program
from services.members.settings import settings
from shared.clock import utc_now
from shared.events import MemberTagged, MemberUntagged
from shared.problems import Refusal

__all__ = ["Tagging", "drop_expired_tags", "tag_members", "untag_members"]


@dataclass(frozen=True, slots=True)
class Tagging:
    """Tags to give to a member, or to take; `expires_in_seconds` None is for ever."""

    member_id: UUID
    tags: Sequence[str]
    source: str
    expires_in_seconds: float | None = None


async def tag_members(session: AsyncSession, commands: Sequence[Tagging]) -> list[Refusal | None]:
    """Give tags. One result per command, in their order."""
    changes = await Changes.begin(session, settings().program_currency)
    await changes.lock({command.member_id for command in commands})
    present = await program.tag_counts(session, changes.members)
    results: list[Refusal | None] = []
    wanted: dict[tuple[UUID, str], Tagging] = {}
    for command in commands:
        if command.member_id not in changes.members:
            results.append(MemberNotFound())
            continue
        after = present.get(command.member_id, set()) | set(command.tags)
        if len(after) > settings().tags_per_member:
            results.append(TooManyTags(limit=settings().tags_per_member))
            continue
        present[command.member_id] = after
        wanted |= {(command.member_id, tag): command for tag in command.tags}
        results.append(None)
    given = await program.add_tags(
        session,
        [
            (member_id, tag, command.source, command.expires_in_seconds)
            for (member_id, tag), command in wanted.items()
        ],
    )
    said: dict[tuple[UUID, str, datetime | None], list[str]] = defaultdict(list)
    for member_id, tag, expires_at, is_new in given:
        if is_new:
            changes.members[member_id].has_new_profile = True
            said[member_id, wanted[member_id, tag].source, expires_at].append(tag)
    changes.events += [
        MemberTagged(
            member_id=member_id, tags=sorted(tags), tag_source=source, expires_at=expires_at, at=utc_now()
        )
        for (member_id, source, expires_at), tags in said.items()
    ]
    await changes.save()
    return results


async def untag_members(session: AsyncSession, commands: Sequence[Tagging]) -> list[Refusal | None]:
    """Take tags away. One result per command, in their order."""
    changes = await Changes.begin(session, settings().program_currency)
    await changes.lock({command.member_id for command in commands})
    good = [command for command in commands if command.member_id in changes.members]
    await _take(changes, {(c.member_id, tag): c.source for c in good for tag in c.tags})
    await changes.save()
    return [None if c.member_id in changes.members else MemberNotFound() for c in commands]


async def drop_expired_tags(session: AsyncSession, *, limit: int) -> int:
    """Take away up to `limit` tags whose time is over; return how many."""
    expired = await program.expired_tags(session, limit=limit)
    if not expired:
        return 0
    changes = await Changes.begin(session, settings().program_currency)
    await changes.lock({member_id for member_id, _ in expired})
    # Somebody may have given the tag anew before the lock was ours.
    still = set(await program.expired_tags(session, limit=limit))
    await _take(changes, {pair: "expiry" for pair in expired if pair in still})
    await changes.save()
    return len(expired)


async def _take(changes: Changes, sources: dict[tuple[UUID, str], str]) -> None:
    said: dict[tuple[UUID, str], list[str]] = defaultdict(list)
    for member_id, tag in await program.remove_tags(changes.session, sources.keys()):
        changes.members[member_id].has_new_profile = True
        said[member_id, sources[member_id, tag]].append(tag)
    changes.events += [
        MemberUntagged(member_id=member_id, tags=sorted(tags), tag_source=source, at=utc_now())
        for (member_id, source), tags in said.items()
    ]
