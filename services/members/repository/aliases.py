"""Who is whose alias, and every merge that ever was."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession

from services.members.domain import Link

__all__ = [
    "MergeRow",
    "delete_links",
    "end_merges",
    "hold_still",
    "ids_of_person",
    "insert_merges",
    "last_merges",
    "rewrite_tiers_before",
    "save_links",
]

LAST_MERGES = text(
    """
    SELECT DISTINCT ON (merged_id) merged_id, revision, surviving_id, merged_at, merged_by, reason,
        tier_before, unmerged_at
    FROM merges WHERE merged_id = ANY(CAST(:ids AS uuid[]))
    ORDER BY merged_id, revision DESC
    """
).columns(tier_before=JSONB)

INSERT_MERGES = text(
    """
    INSERT INTO merges (merged_id, revision, surviving_id, merged_at, merged_by, reason, tier_before)
    SELECT * FROM unnest(
        CAST(:merged_ids AS uuid[]), CAST(:revisions AS bigint[]), CAST(:surviving_ids AS uuid[]),
        CAST(:merged AS timestamptz[]), CAST(:actors AS text[]), CAST(:reasons AS text[]),
        CAST(:tiers AS jsonb[]))
    """
)

END_MERGES = text(
    """
    UPDATE merges SET unmerged_at = n.unmerged_at, unmerged_by = n.unmerged_by
    FROM unnest(CAST(:merged_ids AS uuid[]), CAST(:revisions AS bigint[]), CAST(:at AS timestamptz[]),
                CAST(:actors AS text[])) AS n(merged_id, revision, unmerged_at, unmerged_by)
    WHERE (merges.merged_id, merges.revision) = (n.merged_id, n.revision)
    """
)

REWRITE_TIERS_BEFORE = text(
    """
    UPDATE merges SET tier_before = n.tier_before
    FROM unnest(CAST(:merged_ids AS uuid[]), CAST(:revisions AS bigint[]), CAST(:tiers AS jsonb[]))
        AS n(merged_id, revision, tier_before)
    WHERE (merges.merged_id, merges.revision) = (n.merged_id, n.revision)
    """
)

SAVE_LINKS = text(
    """
    INSERT INTO aliases (merged_id, surviving_id, person_id, merged_at, revision)
    SELECT * FROM unnest(
        CAST(:merged_ids AS uuid[]), CAST(:surviving_ids AS uuid[]), CAST(:person_ids AS uuid[]),
        CAST(:merged AS timestamptz[]), CAST(:revisions AS bigint[]))
    ON CONFLICT (merged_id) DO UPDATE SET
        surviving_id = excluded.surviving_id, person_id = excluded.person_id,
        merged_at = excluded.merged_at, revision = excluded.revision
    """
)

DELETE_LINKS = text("DELETE FROM aliases WHERE merged_id = ANY(CAST(:ids AS uuid[]))")

IDS_OF_PERSON = text(
    """
    WITH person AS (
        SELECT m.id AS named_id, coalesce(a.person_id, m.id) AS id
        FROM members AS m LEFT JOIN aliases AS a ON a.merged_id = m.id WHERE m.id = :id
    )
    SELECT id FROM person UNION SELECT a.merged_id FROM person JOIN aliases AS a ON a.person_id = person.id
    """
)


@dataclass(frozen=True, slots=True)
class MergeRow:
    """A merge as history keeps it; `tier_before` is the survivor's tier state without the other one."""

    merged_id: UUID
    revision: int
    surviving_id: UUID
    merged_at: datetime
    actor: str
    reason: str | None
    tier_before: Mapping[str, Any] | None
    unmerged_at: datetime | None = None

    @property
    def last_revision(self) -> int:
        """The latest revision that anybody was told."""
        return self.revision + (self.unmerged_at is not None)


async def hold_still(session: AsyncSession) -> None:
    """Let nobody else change who is who, and wait for everybody who has locked members.

    Call it before anything else is locked. Whoever only reads is not kept waiting.
    """
    await session.execute(text("LOCK TABLE aliases IN EXCLUSIVE MODE"))


async def last_merges(session: AsyncSession, ids: Collection[UUID]) -> dict[UUID, MergeRow]:
    """Return the last merge of each member that ever was merged, whether it still holds or not."""
    rows = await session.execute(LAST_MERGES, {"ids": list(ids)})
    return {row.merged_id: MergeRow(*row) for row in rows}


async def insert_merges(session: AsyncSession, merges: Sequence[MergeRow]) -> None:
    """Add merges to the history."""
    if merges:
        await session.execute(
            INSERT_MERGES,
            {
                "merged_ids": [merge.merged_id for merge in merges],
                "revisions": [merge.revision for merge in merges],
                "surviving_ids": [merge.surviving_id for merge in merges],
                "merged": [merge.merged_at for merge in merges],
                "actors": [merge.actor for merge in merges],
                "reasons": [merge.reason for merge in merges],
                "tiers": [_tier_json(merge) for merge in merges],
            },
        )


async def end_merges(session: AsyncSession, ended: Sequence[tuple[MergeRow, datetime, str]]) -> None:
    """Write into the history that merges were undone: (merge, when, by whom)."""
    if ended:
        await session.execute(
            END_MERGES,
            {
                "merged_ids": [merge.merged_id for merge, _, _ in ended],
                "revisions": [merge.revision for merge, _, _ in ended],
                "at": [at for _, at, _ in ended],
                "actors": [actor for _, _, actor in ended],
            },
        )


async def rewrite_tiers_before(session: AsyncSession, merges: Collection[MergeRow]) -> None:
    """Store other tiers that survivors held before these merges: who was in them has left meanwhile."""
    if merges:
        await session.execute(
            REWRITE_TIERS_BEFORE,
            {
                "merged_ids": [merge.merged_id for merge in merges],
                "revisions": [merge.revision for merge in merges],
                "tiers": [_tier_json(merge) for merge in merges],
            },
        )


async def save_links(session: AsyncSession, links: Mapping[UUID, Link]) -> None:
    """Make members aliases, or change whose they are."""
    if links:
        await session.execute(
            SAVE_LINKS,
            {
                "merged_ids": list(links),
                "surviving_ids": [link.surviving_id for link in links.values()],
                "person_ids": [link.person_id for link in links.values()],
                "merged": [link.merged_at for link in links.values()],
                "revisions": [link.revision for link in links.values()],
            },
        )


async def delete_links(session: AsyncSession, ids: Collection[UUID]) -> None:
    """Let members stand for themselves again."""
    if ids:
        await session.execute(DELETE_LINKS, {"ids": list(ids)})


async def ids_of_person(session: AsyncSession, member_id: UUID) -> list[UUID]:
    """Return all ids of the person behind a member; none if there is no such member."""
    return list((await session.scalars(IDS_OF_PERSON, {"id": member_id})).all())


def _tier_json(merge: MergeRow) -> str | None:
    return None if merge.tier_before is None else msgspec.json.encode(merge.tier_before).decode()
