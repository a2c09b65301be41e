"""Tags: each source holds its own, and a member has a tag while any source holds it."""

from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from services.members.domain import HeldTags

__all__ = ["TagRow", "add_tags", "drop_expired_tags", "members_with_expired_tags", "remove_tags", "tags_held"]

TagRow = tuple[UUID, str, str]
"""(member, tag, source)."""

TAGS_HELD = text(
    """
    SELECT member_id, tag, source, expires_at,
           expires_at IS NULL OR expires_at > clock_timestamp() AS is_live
    FROM tags WHERE member_id = ANY(CAST(:ids AS uuid[]))
    """
)

ADD_TAGS = text(
    """
    INSERT INTO tags (member_id, tag, source, expires_at)
    SELECT member_id, tag, source, clock_timestamp() + make_interval(secs => seconds)
    FROM unnest(CAST(:member_ids AS uuid[]), CAST(:tags AS text[]), CAST(:sources AS text[]),
                CAST(:seconds AS double precision[])) AS n(member_id, tag, source, seconds)
    ON CONFLICT (member_id, tag, source) DO UPDATE SET
        given_at = excluded.given_at, expires_at = excluded.expires_at
    RETURNING member_id, tag, source, expires_at
    """
)

REMOVE_TAGS = text(
    """
    DELETE FROM tags USING unnest(CAST(:member_ids AS uuid[]), CAST(:tags AS text[]),
                                  CAST(:sources AS text[])) AS n(member_id, tag, source)
    WHERE (tags.member_id, tags.tag, tags.source) = (n.member_id, n.tag, n.source)
    """
)

STILL_HELD = text("SELECT DISTINCT member_id, tag FROM tags WHERE member_id = ANY(CAST(:ids AS uuid[]))")

EXPIRED = text(
    """
    SELECT DISTINCT member_id FROM (
        SELECT member_id FROM tags WHERE expires_at <= (SELECT clock_timestamp())
        ORDER BY expires_at LIMIT :limit
    ) AS due
    """
)

DROP_EXPIRED = text(
    """
    DELETE FROM tags WHERE member_id = ANY(CAST(:ids AS uuid[])) AND expires_at <= clock_timestamp()
    RETURNING member_id, tag
    """
)


async def tags_held(session: AsyncSession, ids: Collection[UUID]) -> dict[UUID, HeldTags]:
    """Return what members hold, with what is over and not dropped yet told apart."""
    found = {member_id: HeldTags() for member_id in ids}
    for row in await session.execute(TAGS_HELD, {"ids": list(ids)}):
        found[row.member_id].holds(row.tag, row.source, row.expires_at, is_live=row.is_live)
    return found


async def add_tags(
    session: AsyncSession, tags: Sequence[tuple[UUID, str, str, float | None]]
) -> dict[TagRow, datetime | None]:
    """Give tags: (member, tag, source, seconds until it falls off); return when each falls off."""
    if not tags:
        return {}
    parameters = {
        **_keys([(member_id, tag, source) for member_id, tag, source, _ in tags]),
        "seconds": [seconds for _, _, _, seconds in tags],
    }
    rows = await session.execute(ADD_TAGS, parameters)
    return {(row.member_id, row.tag, row.source): row.expires_at for row in rows}


async def remove_tags(session: AsyncSession, tags: Sequence[TagRow]) -> None:
    """Take tags from the sources that held them."""
    if tags:
        await session.execute(REMOVE_TAGS, _keys(tags))


async def members_with_expired_tags(session: AsyncSession, *, limit: int) -> list[UUID]:
    """Return the members of up to `limit` tags whose time is over."""
    return list((await session.scalars(EXPIRED, {"limit": limit})).all())


async def drop_expired_tags(
    session: AsyncSession, ids: Collection[UUID]
) -> tuple[int, set[tuple[UUID, str]]]:
    """Drop what is over of members; return how many rows, and the tags that nobody holds any more."""
    dropped = [(row.member_id, row.tag) for row in await session.execute(DROP_EXPIRED, {"ids": list(ids)})]
    return len(dropped), await _lost(session, set(dropped))


async def _lost(session: AsyncSession, pairs: set[tuple[UUID, str]]) -> set[tuple[UUID, str]]:
    if not pairs:
        return set()
    held = await session.execute(STILL_HELD, {"ids": sorted({member_id for member_id, _ in pairs})})
    return pairs - {(row.member_id, row.tag) for row in held}


def _keys(tags: Sequence[TagRow]) -> dict[str, list[object]]:
    return {
        "member_ids": [member_id for member_id, _, _ in tags],
        "tags": [tag for _, tag, _ in tags],
        "sources": [source for _, _, source in tags],
    }
