"""Statements on the tiers that members hold."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from shared.writing import columns


class HeldTier(NamedTuple):
    """The tier that a member holds, as members said."""

    member_id: UUID
    tier: str | None
    points_multiplier_percent: int | None
    changed_at: datetime


class TierRow(NamedTuple):
    """A row of `member_tiers`, in the order of SAVE_TIERS."""

    member_id: UUID
    tier: str | None
    points_multiplier_percent: int | None
    changed_at: datetime
    event_id: UUID


# What was said last holds, whatever was heard last and whatever date it bears.
SAVE_TIERS = text(
    """
    INSERT INTO member_tiers (member_id, tier, points_multiplier_percent, changed_at, event_id)
    SELECT * FROM unnest(CAST(:p0 AS uuid[]), CAST(:p1 AS text[]), CAST(:p2 AS int[]),
                         CAST(:p3 AS timestamptz[]), CAST(:p4 AS uuid[]))
    ON CONFLICT (member_id) DO UPDATE
    SET tier = excluded.tier, points_multiplier_percent = excluded.points_multiplier_percent,
        changed_at = excluded.changed_at, event_id = excluded.event_id
    WHERE member_tiers.event_id IS NULL OR member_tiers.event_id <= excluded.event_id
    """
)

TIERS = text(
    """
    SELECT member_id, tier, points_multiplier_percent, changed_at FROM member_tiers
    WHERE member_id = ANY(CAST(:member_ids AS uuid[]))
    """
)


async def save_tiers(session: AsyncSession, rows: Sequence[TierRow]) -> None:
    """Remember the tiers that members hold; at most one row for each member."""
    if rows:
        ordered = sorted(rows, key=lambda row: row.member_id)
        await session.execute(SAVE_TIERS, columns(ordered))


async def tiers_of(session: AsyncSession, member_ids: Iterable[UUID]) -> dict[UUID, HeldTier]:
    """Return the tiers of those of the members that have been heard of."""
    rows = await session.execute(TIERS, {"member_ids": list(member_ids)})
    return {row.member_id: HeldTier(*row) for row in rows}
