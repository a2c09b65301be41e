"""The rules of the program, whom they are for, and the figures of the summary."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache
from uuid import UUID

import msgspec
from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncSession

from services.members.domain import Ladder, Level, LifecycleRules, Member, Policy
from shared.clock import zone
from shared.writing import Append, append

__all__ = [
    "RULES",
    "Rules",
    "add_tallies",
    "count_members_to_judge",
    "figures",
    "fold_tallies",
    "insert_lifecycle",
    "insert_tiers",
    "lock_tiers",
    "members_to_judge",
    "persons_page",
    "rules",
    "rules_of",
]

CURRENT = "(SELECT max(version) FROM tiers)"

# Everything that a batch is judged by, as one row that other statements can join.
RULES = f"""
    SELECT (SELECT CAST(json_agg(json_build_array(t.version, t.name, t.rank, t.min_spend_minor, t.benefits,
                                                  t.min_orders, t.min_points) ORDER BY t.rank) AS text)
            FROM tiers AS t WHERE t.version = p.version) AS levels,
        CAST(p.policy AS text) AS policy, l.version AS lifecycle_version, CAST(l.rules AS text) AS lifecycle,
        clock_timestamp() AS now
    FROM tier_policies AS p
    CROSS JOIN (SELECT version, rules FROM lifecycles ORDER BY version DESC LIMIT 1) AS l
    WHERE p.version = {CURRENT}
"""  # noqa: S608 - constant

# And what hardly ever is the case, so that a batch need not ask for each of its orders or customers.
RULES_NOW = text(
    f"""
    SELECT rules.*, EXISTS (SELECT FROM erased_identities) AS anybody_erased,
        EXISTS (SELECT FROM refunds WHERE state = 'parked')
        OR EXISTS (SELECT FROM cancellations WHERE state = 'parked')
        OR EXISTS (SELECT FROM deliveries WHERE state = 'parked') AS anything_parked
    FROM ({RULES}) AS rules
    """  # noqa: S608 - constants
)

INSERT_TIERS = text(
    """
    INSERT INTO tiers (version, name, rank, min_spend_minor, min_orders, min_points, benefits)
    SELECT :version, * FROM unnest(CAST(:names AS text[]), CAST(:ranks AS integer[]),
                                   CAST(:spends AS bigint[]), CAST(:orders AS bigint[]),
                                   CAST(:points AS bigint[]), CAST(:benefits AS jsonb[]))
    """
)

INSERT_POLICY = text(
    "INSERT INTO tier_policies (version, policy, actor) VALUES (:version, CAST(:policy AS jsonb), :actor)"
)

INSERT_LIFECYCLE = text(
    "INSERT INTO lifecycles (version, rules, actor) VALUES (:version, CAST(:rules AS jsonb), :actor)"
)

# Persons, each with the figures of everybody merged into it.
PERSONS = text(
    """
    SELECT m.id, m.tier, m.tier_rank, m.tier_changed_at, m.tier_version, m.has_tier_terms,
        m.spend_minor + coalesce(a.spend_minor, 0) AS spend_minor,
        m.purchases_count + coalesce(a.purchases_count, 0) AS purchases_count,
        coalesce(a.ids, '{}') AS alias_ids
    FROM (SELECT * FROM members
          WHERE (CAST(:after AS uuid) IS NULL OR id > CAST(:after AS uuid))
            AND NOT EXISTS (SELECT FROM aliases WHERE aliases.merged_id = members.id)
          ORDER BY id LIMIT :limit) AS m
    LEFT JOIN LATERAL (
        SELECT CAST(sum(o.spend_minor) AS bigint) AS spend_minor,
            CAST(sum(o.purchases_count) AS integer) AS purchases_count, array_agg(o.id) AS ids
        FROM aliases JOIN members AS o ON o.id = aliases.merged_id
        WHERE aliases.person_id = m.id HAVING count(*) > 0) AS a ON true
    ORDER BY m.id
    """
)

# An alias keeps the tier that it had, and is judged when it stands for itself again.
OVERDUE = f"""
    FROM members WHERE tier_version < {CURRENT}
    AND NOT EXISTS (SELECT FROM aliases WHERE aliases.merged_id = members.id)
"""

TO_JUDGE = text(f"SELECT id {OVERDUE} ORDER BY id LIMIT :limit")

# Asked every few seconds: no more are counted than it takes to see that the job is behind.
COUNT_TO_JUDGE = text(f"SELECT count(*) FROM (SELECT {OVERDUE} LIMIT :limit) AS waiting")  # noqa: S608 - constant

TALLIES = Append("tallies", figure="text", value="numeric")

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


@dataclass(frozen=True, slots=True)
class Rules:
    """What a batch is judged by, and when by the database's clock it began.

    `anybody_erased` says whether a member ever was, `anything_parked` whether a statement waits for an order.
    """

    ladder: Ladder
    lifecycle: LifecycleRules
    now: datetime
    anybody_erased: bool = True
    anything_parked: bool = True


async def rules(session: AsyncSession, zone_name: str) -> Rules:
    """Return the tier table and the lifecycle that hold now; days are those of the zone."""
    row = (await session.execute(RULES_NOW)).mappings().one()
    return replace(
        rules_of(row, zone_name),
        anybody_erased=row["anybody_erased"],
        anything_parked=row["anything_parked"],
    )


def rules_of(row: RowMapping, zone_name: str) -> Rules:
    """Return the rules of a row that has the columns of `RULES`."""
    return Rules(
        _ladder(row["levels"], row["policy"], zone_name),
        _lifecycle(row["lifecycle_version"], row["lifecycle"]),
        row["now"],
    )


@lru_cache(maxsize=16)
def _ladder(levels: str, policy: str, zone_name: str) -> Ladder:
    # Parsed once and not for every batch; the key is the content, because a version may be rolled back.
    rows = msgspec.json.decode(levels)
    return Ladder(
        rows[0][0],
        [
            Level(name, rank, spend, benefits, orders, points)
            for _, name, rank, spend, benefits, orders, points in rows
        ],
        msgspec.json.decode(policy, type=Policy),
        zone(zone_name),
    )


@lru_cache(maxsize=16)
def _lifecycle(version: int, rules: str) -> LifecycleRules:
    return replace(msgspec.json.decode(rules, type=LifecycleRules), version=version)


async def lock_tiers(session: AsyncSession) -> None:
    """Let only one change of the program happen at a time; readers are not kept waiting."""
    await session.execute(text("LOCK TABLE tiers IN SHARE ROW EXCLUSIVE MODE"))


async def insert_tiers(session: AsyncSession, ladder: Ladder, *, actor: str) -> None:
    """Write a new version of the tier table."""
    levels = ladder.levels
    await session.execute(
        INSERT_TIERS,
        {
            "version": ladder.version,
            "names": [level.name for level in levels],
            "ranks": [level.rank for level in levels],
            "spends": [level.min_spend_minor for level in levels],
            "orders": [level.min_orders for level in levels],
            "points": [level.min_points for level in levels],
            "benefits": [msgspec.json.encode(level.benefits).decode() for level in levels],
        },
    )
    policy = msgspec.json.encode(ladder.policy).decode()
    await session.execute(INSERT_POLICY, {"version": ladder.version, "policy": policy, "actor": actor})


async def insert_lifecycle(session: AsyncSession, rules: LifecycleRules, *, actor: str) -> None:
    """Write a new version of the lifecycle; a job carries it to the members there are."""
    document = msgspec.json.encode(rules).decode()
    await session.execute(INSERT_LIFECYCLE, {"version": rules.version, "rules": document, "actor": actor})


async def persons_page(session: AsyncSession, *, after: UUID | None, limit: int) -> list[Member]:
    """Return persons in the order of their ids, as far as a judgement of their tier needs them."""
    rows = await session.execute(PERSONS, {"after": after, "limit": limit})
    return [
        Member(
            row.id,
            tier=row.tier,
            tier_rank=row.tier_rank,
            tier_changed_at=row.tier_changed_at,
            tier_version=row.tier_version,
            has_tier_terms=row.has_tier_terms,
            spend_minor=row.spend_minor,
            purchases_count=row.purchases_count,
            merged=[Member(alias_id) for alias_id in row.alias_ids],
        )
        for row in rows
    ]


async def members_to_judge(session: AsyncSession, *, limit: int) -> list[UUID]:
    """Return members who were last judged by an older tier table."""
    return list((await session.scalars(TO_JUDGE, {"limit": limit})).all())


async def count_members_to_judge(session: AsyncSession, *, limit: int) -> int:
    """Return how many members, up to `limit`, were last judged by an older tier table."""
    return int((await session.scalars(COUNT_TO_JUDGE, {"limit": limit})).one())


async def add_tallies(session: AsyncSession, changes: Mapping[str, int]) -> None:
    """Add to the figures of the summary."""
    await append(session, TALLIES, [(figure, int(value)) for figure, value in changes.items() if value])


async def figures(session: AsyncSession) -> dict[str, int]:
    """Return every figure that anything was ever added to."""
    return {row.figure: int(row.value) for row in await session.execute(FIGURES)}


async def fold_tallies(session: AsyncSession, *, limit: int) -> int:
    """Replace up to `limit` rows by one per figure; return how many rows fewer there are."""
    return int((await session.scalars(FOLD, {"limit": limit})).one())
