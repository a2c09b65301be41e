"""Statements on redemptions. All who change one hold the lock of its member's account."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from shared.writing import Write, columns, write

COLUMNS = (
    "id, member_id, reward_id, order_id, points, status, actor, redeemed_at, fulfilment, draw_id, tracking,"
    " reason, changed_at"
)


class RedemptionRow(NamedTuple):
    """A row of `redemptions`; up to `draw_id` in the order of ADD_REDEMPTIONS."""

    id: UUID
    member_id: UUID
    reward_id: UUID
    order_id: UUID | None
    points: int
    status: str
    actor: str
    redeemed_at: datetime
    fulfilment: str | None = None
    draw_id: UUID | None = None
    tracking: str | None = None
    reason: str | None = None
    changed_at: datetime | None = None


ADDED_COLUMNS = 10


class Asked(NamedTuple):
    """Whose redemptions of what to count: since the period began, and before that if `whole`."""

    member_id: UUID
    reward_id: UUID
    since: datetime | None
    whole: bool


class Counted(NamedTuple):
    """How often a member has redeemed a reward."""

    ever: int
    in_period: int


# A person's redemptions are those of the account and of all that were merged into it. Prizes of draws are no
# purchases, and what came back counts for nothing.
COUNT_REDEMPTIONS = text(
    """
    SELECT asked.member_id, asked.reward_id, count(*) AS ever,
           count(*) FILTER (WHERE redemptions.redeemed_at >= asked.since) AS in_period
    FROM unnest(CAST(:p0 AS uuid[]), CAST(:p1 AS uuid[]), CAST(:p2 AS timestamptz[]),
                CAST(:p3 AS boolean[])) AS asked(member_id, reward_id, since, whole)
         CROSS JOIN LATERAL (
             SELECT asked.member_id AS id
             UNION ALL SELECT accounts.member_id FROM accounts WHERE accounts.merged_into = asked.member_id
         ) AS person
         JOIN redemptions ON redemptions.member_id = person.id
              AND redemptions.reward_id = asked.reward_id
              AND redemptions.redeemed_at >= CASE WHEN asked.whole THEN '-infinity' ELSE asked.since END
    WHERE redemptions.status IN ('pending', 'granted') AND redemptions.draw_id IS NULL
    GROUP BY asked.member_id, asked.reward_id
    """
)

ADD_REDEMPTIONS = Write(
    """
    INSERT INTO redemptions (id, member_id, reward_id, order_id, points, status, actor, redeemed_at,
                             fulfilment, draw_id)
    SELECT * FROM unnest(CAST(:p0 AS uuid[]), CAST(:p1 AS uuid[]), CAST(:p2 AS uuid[]), CAST(:p3 AS uuid[]),
                         CAST(:p4 AS bigint[]), CAST(:p5 AS text[]), CAST(:p6 AS text[]),
                         CAST(:p7 AS timestamptz[]), CAST(:p8 AS text[]), CAST(:p9 AS uuid[]))
    """
)

REDEMPTIONS = text(
    f"""
    SELECT {COLUMNS} FROM redemptions
    WHERE member_id = ANY(ARRAY(
              SELECT CAST(:member_id AS uuid)
              UNION ALL SELECT accounts.member_id FROM accounts WHERE merged_into = CAST(:member_id AS uuid)))
          AND (CAST(:before AS uuid) IS NULL OR id < CAST(:before AS uuid))
    ORDER BY id DESC LIMIT :limit
    """  # noqa: S608 - constant names
)

REDEMPTIONS_BY_ID = text(
    f"SELECT {COLUMNS} FROM redemptions WHERE id = ANY(CAST(:ids AS uuid[]))"  # noqa: S608 - constant names
)

REDEMPTIONS_OF_ORDER = text(
    f"SELECT {COLUMNS} FROM redemptions WHERE order_id = :order_id ORDER BY id"  # noqa: S608 - constant names
)

TO_FULFIL = text(
    f"""
    SELECT {COLUMNS} FROM redemptions
    WHERE fulfilment = :step AND fulfilment IN ('requested', 'packed', 'shipped')
          AND (CAST(:after AS uuid) IS NULL OR id > CAST(:after AS uuid))
    ORDER BY id LIMIT :limit
    """  # noqa: S608 - constant names
)

CONFIRM = text(
    """
    UPDATE redemptions SET status = 'granted', changed_at = clock_timestamp()
    WHERE id = ANY(CAST(:ids AS uuid[])) AND status = 'pending'
    """
)

SAVE_REDEMPTIONS = text(
    """
    UPDATE redemptions SET status = new.status, fulfilment = new.fulfilment, tracking = new.tracking,
           reason = new.reason, changed_at = new.changed_at
    FROM unnest(CAST(:p0 AS uuid[]), CAST(:p1 AS text[]), CAST(:p2 AS text[]), CAST(:p3 AS text[]),
                CAST(:p4 AS text[]), CAST(:p5 AS timestamptz[]))
         AS new(id, status, fulfilment, tracking, reason, changed_at)
    WHERE redemptions.id = new.id
    """
)

PENDING = text("SELECT count(*) FROM redemptions WHERE status = 'pending'")


async def count_redemptions(
    session: AsyncSession, asked: Sequence[Asked]
) -> dict[tuple[UUID, UUID], Counted]:
    """Count how often each (member, reward) was redeemed; the members' accounts are locked."""
    if not asked:
        return {}
    rows = await session.execute(COUNT_REDEMPTIONS, columns(asked))
    return {(row.member_id, row.reward_id): Counted(row.ever, row.in_period) for row in rows}


async def add_redemptions(session: AsyncSession, rows: Sequence[RedemptionRow]) -> None:
    """Record redemptions."""
    if rows:
        await write(session, ADD_REDEMPTIONS, columns(row[:ADDED_COLUMNS] for row in rows))


async def redemptions_of(
    session: AsyncSession, member_id: UUID, *, before: UUID | None, limit: int
) -> list[RedemptionRow]:
    """Return up to `limit` redemptions of a member and of who was merged into them, the newest first."""
    rows = await session.execute(REDEMPTIONS, {"member_id": member_id, "before": before, "limit": limit})
    return [RedemptionRow(*row) for row in rows]


async def redemptions_by_id(session: AsyncSession, ids: Iterable[UUID]) -> dict[UUID, RedemptionRow]:
    """Return those of the redemptions that exist."""
    rows = await session.execute(REDEMPTIONS_BY_ID, {"ids": list(ids)})
    return {row.id: RedemptionRow(*row) for row in rows}


async def redemptions_of_order(session: AsyncSession, order_id: UUID) -> list[RedemptionRow]:
    """Return what was redeemed for an order."""
    rows = await session.execute(REDEMPTIONS_OF_ORDER, {"order_id": order_id})
    return [RedemptionRow(*row) for row in rows]


async def to_fulfil(
    session: AsyncSession, step: str, *, after: UUID | None, limit: int
) -> list[RedemptionRow]:
    """Return up to `limit` redemptions at a step of their way, the oldest first."""
    rows = await session.execute(TO_FULFIL, {"step": step, "after": after, "limit": limit})
    return [RedemptionRow(*row) for row in rows]


async def confirm(session: AsyncSession, ids: Iterable[UUID]) -> None:
    """Mark redemptions as granted that waited for their delivery; others stay as they are."""
    await session.execute(CONFIRM, {"ids": sorted(ids)})


async def save_redemptions(session: AsyncSession, rows: Sequence[RedemptionRow]) -> None:
    """Write back what can change of redemptions."""
    if rows:
        changed = [
            (row.id, row.status, row.fulfilment, row.tracking, row.reason, row.changed_at) for row in rows
        ]
        await session.execute(SAVE_REDEMPTIONS, columns(changed))


async def pending_redemptions(session: AsyncSession) -> int:
    """Count redemptions that wait for the word of the service that delivers them."""
    return int((await session.execute(PENDING)).scalar_one())
