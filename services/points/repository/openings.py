"""Statements on points that were brought along from elsewhere."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession


class KnownOpening(NamedTuple):
    """A row that was brought in: its entry, and (member, points, earned, expires) as it said."""

    entry_id: UUID
    said: tuple[UUID, int, datetime, datetime | None]


KNOWN = text(
    """
    SELECT about_id, id, coalesce(origin_id, member_id) AS member_id, points, occurred_at,
           CAST(detail ->> 'expires_at' AS timestamptz) AS expires_at
    FROM entries
    WHERE about_id = ANY(CAST(:opening_ids AS uuid[])) AND kind = 'opening' AND reference = ''
    """
)


async def known(session: AsyncSession, opening_ids: Sequence[UUID]) -> dict[UUID, KnownOpening]:
    """Return those of the rows that were brought in before."""
    rows = await session.execute(KNOWN, {"opening_ids": list(opening_ids)})
    return {
        row.about_id: KnownOpening(row.id, (row.member_id, row.points, row.occurred_at, row.expires_at))
        for row in rows
    }
