"""Which member ids are one person, for services that keep members by id.

Nothing else is rewritten when members are merged: who asks follows the aliases. A service that uses this has
the table `aliases(merged_id uuid primary key, surviving_id uuid, revision bigint)`; a row without a survivor
is a merge that was undone, and stays, so that old news is known for what it is.
"""

from collections.abc import Collection, Sequence
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from shared.events import MemberMerged, MemberUnmerged

__all__ = ["PERSON", "ids_of_persons", "save_links"]

# Far longer than any chain of merges that somebody would make by hand; an end for circles that half-heard
# news could make for a moment.
STEPS = 32

# The last member of the chain that begins with `{start}`, as `person_id`; for a LATERAL join.
PERSON = f"""
    (WITH RECURSIVE chain AS (
        SELECT {{start}} AS person_id, 0 AS steps
        UNION ALL
        SELECT a.surviving_id, chain.steps + 1 FROM chain JOIN aliases AS a ON a.merged_id = chain.person_id
        WHERE a.surviving_id IS NOT NULL AND chain.steps < {STEPS})
     SELECT person_id FROM chain ORDER BY steps DESC LIMIT 1)
"""  # noqa: S608 - constants only

SAVE_LINKS = text(
    """
    INSERT INTO aliases AS known (merged_id, surviving_id, revision)
    SELECT DISTINCT ON (merged_id) merged_id, surviving_id, revision
    FROM unnest(CAST(:merged_ids AS uuid[]), CAST(:surviving_ids AS uuid[]), CAST(:revisions AS bigint[]))
        AS new(merged_id, surviving_id, revision)
    ORDER BY merged_id, revision DESC
    ON CONFLICT (merged_id) DO UPDATE SET surviving_id = excluded.surviving_id, revision = excluded.revision
    WHERE known.revision < excluded.revision
    """
)

IDS_OF_PERSONS = text(
    f"""
    WITH RECURSIVE named AS (
        SELECT n.id, p.person_id
        FROM unnest(CAST(:ids AS uuid[])) AS n(id) CROSS JOIN LATERAL {PERSON.format(start="n.id")} AS p
    ), everybody AS (
        SELECT person_id, person_id AS id FROM named
        UNION
        SELECT e.person_id, a.merged_id FROM everybody AS e JOIN aliases AS a ON a.surviving_id = e.id
    )
    SELECT named.id, array_agg(e.id ORDER BY e.id = e.person_id DESC, e.id) AS ids
    FROM named JOIN everybody AS e USING (person_id)
    GROUP BY named.id HAVING count(*) > 1
    """  # noqa: S608 - constants only
)


async def save_links(session: AsyncSession, news: Sequence[MemberMerged | MemberUnmerged]) -> None:
    """Keep the newest of what was said about each merged member, in whatever order it comes."""
    await session.execute(
        SAVE_LINKS,
        {
            "merged_ids": [said.merged_id for said in news],
            "surviving_ids": [said.surviving_id if isinstance(said, MemberMerged) else None for said in news],
            "revisions": [said.revision for said in news],
        },
    )


async def ids_of_persons(session: AsyncSession, ids: Collection[UUID]) -> dict[UUID, list[UUID]]:
    """Return, for each of these members that is not alone, all ids of its person, the surviving one first."""
    if not ids:
        return {}
    rows = await session.execute(IDS_OF_PERSONS, {"ids": list(ids)})
    return {row.id: list(row.ids) for row in rows}
