"""Pairs of members that look like one person, and what was decided about them."""

from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncSession

__all__ = ["Pair", "decide", "page", "states", "suggest"]

Pair = tuple[UUID, UUID]
"""Two members, the lower id first."""

SUGGEST = text(
    """
    INSERT INTO merge_suggestions (one_id, other_id, channel)
    SELECT DISTINCT ON (1, 2) least(m.person_id, t.person_id), greatest(m.person_id, t.person_id), t.channel
    FROM (SELECT n.proof, coalesce(a.person_id, n.member_id) AS person_id
          FROM unnest(CAST(:member_ids AS uuid[]), CAST(:proofs AS text[])) AS n(member_id, proof)
          LEFT JOIN aliases AS a ON a.merged_id = n.member_id) AS m
    JOIN (SELECT c.proof, c.channel, coalesce(a.person_id, c.member_id) AS person_id
          FROM contact_points AS c LEFT JOIN aliases AS a ON a.merged_id = c.member_id
          WHERE c.proof = ANY(CAST(:proofs AS text[]))) AS t USING (proof)
    WHERE m.person_id <> t.person_id
    ORDER BY 1, 2, 3
    ON CONFLICT (one_id, other_id) DO NOTHING
    """
)

DECIDE = text(
    """
    UPDATE merge_suggestions AS s SET state = :state, decided_at = clock_timestamp(), decided_by = n.actor
    FROM unnest(CAST(:one_ids AS uuid[]), CAST(:other_ids AS uuid[]), CAST(:actors AS text[]))
        AS n(one_id, other_id, actor)
    WHERE (s.one_id, s.other_id) = (n.one_id, n.other_id) AND s.state = ANY(CAST(:from_states AS text[]))
    RETURNING s.one_id, s.other_id
    """
)

PAIRS = text(
    """
    SELECT s.one_id, s.other_id, s.state FROM merge_suggestions AS s
    JOIN unnest(CAST(:one_ids AS uuid[]), CAST(:other_ids AS uuid[])) AS n(one_id, other_id)
        USING (one_id, other_id)
    """
)

# What is decided by a merge in another way, or is about somebody who was erased, is nothing to decide.
PAGE = text(
    """
    SELECT s.one_id, s.other_id, s.channel, s.suggested_at
    FROM merge_suggestions AS s
    LEFT JOIN aliases AS a ON a.merged_id = s.one_id LEFT JOIN aliases AS b ON b.merged_id = s.other_id
    JOIN members AS one ON one.id = s.one_id JOIN members AS other ON other.id = s.other_id
    WHERE s.state = 'open' AND one.erased_at IS NULL AND other.erased_at IS NULL
      AND coalesce(a.person_id, s.one_id) <> coalesce(b.person_id, s.other_id)
      AND (CAST(:suggested_at AS timestamptz) IS NULL
           OR (s.suggested_at, s.one_id, s.other_id)
              > (CAST(:suggested_at AS timestamptz), CAST(:one_id AS uuid), CAST(:other_id AS uuid)))
    ORDER BY s.suggested_at, s.one_id, s.other_id LIMIT :limit
    """
)


async def suggest(session: AsyncSession, proven: Collection[tuple[UUID, str]]) -> None:
    """Suggest to merge members who just proved an address, (member, proof), with others who have it too."""
    if proven:
        ordered = sorted(proven)
        await session.execute(
            SUGGEST,
            {
                "member_ids": [member_id for member_id, _ in ordered],
                "proofs": [proof for _, proof in ordered],
            },
        )


async def decide(
    session: AsyncSession, decided: Sequence[tuple[Pair, str]], *, state: str, from_states: Sequence[str]
) -> set[Pair]:
    """Decide about pairs, (pair, by whom), that are in one of `from_states`; return which were."""
    if not decided:
        return set()
    rows = await session.execute(
        DECIDE,
        {
            "one_ids": [one_id for (one_id, _), _ in decided],
            "other_ids": [other_id for (_, other_id), _ in decided],
            "actors": [actor for _, actor in decided],
            "state": state,
            "from_states": list(from_states),
        },
    )
    return {(row.one_id, row.other_id) for row in rows}


async def states(session: AsyncSession, pairs: Collection[Pair]) -> dict[Pair, str]:
    """Return what was suggested about pairs, and where it stands."""
    rows = await session.execute(
        PAIRS,
        {"one_ids": [one_id for one_id, _ in pairs], "other_ids": [other_id for _, other_id in pairs]},
    )
    return {(row.one_id, row.other_id): row.state for row in rows}


async def page(
    session: AsyncSession, *, after: tuple[datetime, UUID, UUID] | None, limit: int
) -> Sequence[RowMapping]:
    """Return suggestions that nobody has decided, the longest known first."""
    suggested_at, one_id, other_id = after or (None, None, None)
    rows = await session.execute(
        PAGE, {"suggested_at": suggested_at, "one_id": one_id, "other_id": other_id, "limit": limit}
    )
    return rows.mappings().all()
