"""The tier table, and the figures of the summary."""

from collections.abc import Mapping, Sequence
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession

from services.members.domain import Ladder, Level

__all__ = [
    "add_tallies",
    "count_members_to_judge",
    "figures",
    "fold_tallies",
    "insert_tiers",
    "ladder",
    "lock_tiers",
    "members_to_judge",
    "would_move",
]

CURRENT = "(SELECT max(version) FROM tiers)"

LADDER = text(
    f"SELECT version, name, rank, min_spend_minor, benefits FROM tiers WHERE version = {CURRENT}"  # noqa: S608 - constant
).columns(benefits=JSONB)

INSERT_TIERS = text(
    """
    INSERT INTO tiers (version, name, rank, min_spend_minor, benefits)
    SELECT :version, * FROM unnest(CAST(:names AS text[]), CAST(:ranks AS integer[]),
                                   CAST(:spends AS bigint[]), CAST(:benefits AS jsonb[]))
    """
)

WOULD_MOVE = text(
    """
    SELECT count(*) FILTER (WHERE earned > tier_rank) AS up,
           count(*) FILTER (WHERE earned < tier_rank) AS down
    FROM (
        SELECT tier_rank, coalesce((
            SELECT max(n.rank) FROM unnest(CAST(:ranks AS integer[]), CAST(:spends AS bigint[]))
                AS n(rank, spend)
            WHERE n.spend <= members.spend_minor + coalesce((
                SELECT sum(m.spend_minor) FROM aliases AS a JOIN members AS m ON m.id = a.merged_id
                WHERE a.person_id = members.id), 0)), -1) AS earned
        FROM members
        WHERE NOT EXISTS (SELECT FROM aliases WHERE aliases.merged_id = members.id)) AS judged
    """
)

# An alias keeps the tier that it had, and is judged when it stands for itself again.
OVERDUE = f"""
    FROM members WHERE tier_version < {CURRENT}
    AND NOT EXISTS (SELECT FROM aliases WHERE aliases.merged_id = members.id)
"""

TO_JUDGE = text(f"SELECT id {OVERDUE} ORDER BY id LIMIT :limit")

COUNT_TO_JUDGE = text(f"SELECT count(*) {OVERDUE}")

ADD_TALLIES = text(
    """
    INSERT INTO tallies (figure, value)
    SELECT * FROM unnest(CAST(:figures AS text[]), CAST(:values AS numeric[]))
    """
)

FIGURES = text("SELECT figure, sum(value) AS value FROM tallies GROUP BY figure")

# Two replicas never fold the same rows, and a reader sees either the rows or their sum.
FOLD = text(
    """
    WITH folded AS (
        DELETE FROM tallies WHERE id IN (
            SELECT id FROM tallies ORDER BY id LIMIT :limit FOR UPDATE SKIP LOCKED)
        RETURNING figure, value
    ), sums AS (
        INSERT INTO tallies (figure, value) SELECT figure, sum(value) FROM folded GROUP BY figure
        RETURNING 1
    )
    SELECT (SELECT count(*) FROM folded) - (SELECT count(*) FROM sums)
    """
)


async def ladder(session: AsyncSession) -> Ladder:
    """Return the tier table that holds now."""
    rows = (await session.execute(LADDER)).all()
    levels = [Level(row.name, row.rank, row.min_spend_minor, row.benefits) for row in rows]
    return Ladder(rows[0].version, levels)


async def lock_tiers(session: AsyncSession) -> None:
    """Let only one change of the tier table happen at a time; readers are not kept waiting."""
    await session.execute(text("LOCK TABLE tiers IN SHARE ROW EXCLUSIVE MODE"))


async def insert_tiers(session: AsyncSession, version: int, levels: Sequence[Level]) -> None:
    """Write a new version of the tier table."""
    await session.execute(
        INSERT_TIERS,
        {
            "version": version,
            "names": [level.name for level in levels],
            "ranks": [level.rank for level in levels],
            "spends": [level.min_spend_minor for level in levels],
            "benefits": [msgspec.json.encode(level.benefits).decode() for level in levels],
        },
    )


async def would_move(session: AsyncSession, levels: Sequence[Level]) -> tuple[int, int]:
    """Return how many members a tier table would move up and down."""
    parameters = {
        "ranks": [level.rank for level in levels],
        "spends": [level.min_spend_minor for level in levels],
    }
    row = (await session.execute(WOULD_MOVE, parameters)).one()
    return row.up, row.down


async def members_to_judge(session: AsyncSession, *, limit: int) -> list[UUID]:
    """Return members who were last judged by an older tier table."""
    return list((await session.scalars(TO_JUDGE, {"limit": limit})).all())


async def count_members_to_judge(session: AsyncSession) -> int:
    """Return how many members were last judged by an older tier table."""
    return int((await session.scalars(COUNT_TO_JUDGE)).one())


async def add_tallies(session: AsyncSession, changes: Mapping[str, int]) -> None:
    """Add to the figures of the summary."""
    changes = {figure: value for figure, value in changes.items() if value}
    if changes:
        await session.execute(
            ADD_TALLIES, {"figures": list(changes), "values": [int(value) for value in changes.values()]}
        )


async def figures(session: AsyncSession) -> dict[str, int]:
    """Return every figure that anything was ever added to."""
    return {row.figure: int(row.value) for row in await session.execute(FIGURES)}


async def fold_tallies(session: AsyncSession, *, limit: int) -> int:
    """Replace up to `limit` rows by one per figure; return how many rows fewer there are."""
    return int((await session.scalars(FOLD, {"limit": limit})).one())
