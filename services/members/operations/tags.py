"""Tags: words that group members, each with who gave it and when it falls off."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from services.members.domain import HeldTags, Member, TagChange
from services.members.errors import TooManyTags
from services.members.operations.changes import Changes
from services.members.repository import tags as repository
from services.members.settings import settings
from shared.clock import utc_now
from shared.events import MemberTagged, MemberUntagged
from shared.problems import Refusal

__all__ = ["change_tags", "drop_expired_tags"]

# Rows per tag that a profile may hold on average; five systems that all tag alike are many.
SOURCES_PER_TAG = 5
FOR_EVER = datetime.max.replace(tzinfo=UTC)


async def change_tags(session: AsyncSession, commands: Sequence[TagChange]) -> list[bool | Refusal]:
    """Take and give tags; each result says whether anything changed. Commands are carried out in their order.

    A member is tagged when the first source gives a tag, and untagged when the last one has taken it: a
    segment cannot take what a person gave.
    """
    changes = await Changes.begin(session)
    await changes.lock({command.member_id for command in commands})
    held = await repository.tags_held(session, changes.members)
    limit = settings().tags_per_member
    results: list[bool | Refusal] = []
    for command in commands:
        if (refusal := changes.refusal_of(command.member_id)) is not None:
            results.append(refusal)
        elif not held[command.member_id].fits(command, max_tags=limit, max_rows=limit * SOURCES_PER_TAG):
            results.append(TooManyTags(limit=limit))
        else:
            results.append(_apply(changes.person(command.member_id), held, command))
    await _write(changes, held)
    await changes.save()
    return results


def _apply(person: Member, held: dict[UUID, HeldTags], command: TagChange) -> bool:
    """Give a tag to the id that is named, and take it from all ids of the person, who else would keep it."""
    changed = held[command.member_id].apply(command)
    if command.remove:
        taking = replace(command, add=())
        for member_id in person.person_ids:
            changed |= member_id != command.member_id and held[member_id].apply(taking)
    return changed


async def _write(changes: Changes, held: dict[UUID, HeldTags]) -> None:
    await repository.remove_tags(
        changes.session,
        [(member_id, tag, source) for member_id, tags in held.items() for tag, source in tags.removed],
    )
    expiries = await repository.add_tags(
        changes.session,
        [
            (member_id, tag, source, change.expires_in_seconds)
            for member_id, tags in held.items()
            for (tag, source), change in tags.added.items()
        ],
    )
    said: dict[tuple[UUID, str, datetime | None], list[str]] = defaultdict(list)
    for member_id, tags in held.items():
        for tag in tags.gained:
            # Of several that give it at once, the one that holds it longest.
            until = {source: expiries[member_id, tag, source] for source in tags.givers(tag)}
            source = max(until, key=lambda giver: until[giver] or FOR_EVER)
            changes.members[member_id].has_new_profile = True
            said[member_id, source, until[source]].append(tag)
    now = utc_now()
    changes.events += [
        MemberTagged(member_id=member_id, tags=sorted(tags), tag_source=source, expires_at=expires_at, at=now)
        for (member_id, source, expires_at), tags in said.items()
    ]
    lost = [(member_id, tag, actor) for member_id, tags in held.items() for tag, actor in tags.lost.items()]
    _say_lost(changes, lost)


def _say_lost(changes: Changes, lost: Iterable[tuple[UUID, str, str]]) -> None:
    said: dict[tuple[UUID, str], list[str]] = defaultdict(list)
    for member_id, tag, actor in lost:
        changes.members[member_id].has_new_profile = True
        said[member_id, actor].append(tag)
    now = utc_now()
    changes.events += [
        MemberUntagged(member_id=member_id, tags=sorted(tags), tag_source=actor, at=now)
        for (member_id, actor), tags in said.items()
    ]


async def drop_expired_tags(session: AsyncSession, *, limit: int) -> int:
    """Take away what is over of the members of up to `limit` such tags; return how many rows that were."""
    due = await repository.members_with_expired_tags(session, limit=limit)
    if not due:
        return 0
    changes = await Changes.begin(session)
    await changes.lock(due)
    # Judged again under the lock: somebody may have given a tag anew meanwhile.
    count, lost = await repository.drop_expired_tags(session, changes.members)
    _say_lost(changes, [(member_id, tag, "expiry") for member_id, tag in lost])
    await changes.save()
    return count
