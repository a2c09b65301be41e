"""Members who were erased."""

from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

__all__ = ["erased", "forget", "forget_usage", "remember", "with_points"]

REMEMBER = text(
    """
    INSERT INTO erased_members (member_id, erased_at)
    SELECT member_id, min(at) FROM unnest(CAST(:member_ids AS uuid[]), CAST(:at AS timestamptz[]))
        AS e(member_id, at) GROUP BY member_id ORDER BY member_id
    ON CONFLICT (member_id) DO NOTHING
    """
)

ERASED = text("SELECT member_id FROM erased_members WHERE member_id = ANY(CAST(:member_ids AS uuid[]))")

# Referrals that were granted stay, as their entries do: a refund must find what it takes back, and who was
# brought once is not brought again.
FORGET = tuple(
    text(f"DELETE FROM {rows}")  # noqa: S608 - constants
    for rows in (
        "member_birthdays WHERE member_id = ANY(CAST(:member_ids AS uuid[]))",
        "member_labels WHERE member_id = ANY(CAST(:member_ids AS uuid[]))",
        "member_tiers WHERE member_id = ANY(CAST(:member_ids AS uuid[]))",
        "share_links WHERE sharer_id = ANY(CAST(:member_ids AS uuid[]))",
        """referrals WHERE status IN ('refused', 'taken_back')
            AND (referred_id = ANY(CAST(:member_ids AS uuid[]))
                 OR referrer_id = ANY(CAST(:member_ids AS uuid[])))""",
    )
)

FORGET_USAGE = text("DELETE FROM cap_usage WHERE subject_id = ANY(CAST(:member_ids AS uuid[]))")

# Accounts of merged members have nothing of their own; the surviving one is erased along.
WITH_POINTS = text(
    """
    SELECT accounts.member_id FROM erased_members JOIN accounts USING (member_id)
    WHERE accounts.open_points > accounts.held_points OR accounts.pending_points > 0
          OR accounts.debt_points > 0
    ORDER BY accounts.member_id LIMIT :limit
    """
)


async def remember(session: AsyncSession, members: Sequence[tuple[UUID, datetime]]) -> None:
    """Remember who was erased, and when first."""
    await session.execute(
        REMEMBER, {"member_ids": [member for member, _ in members], "at": [at for _, at in members]}
    )


async def erased(session: AsyncSession, member_ids: Collection[UUID]) -> set[UUID]:
    """Return who of these was erased."""
    return set((await session.scalars(ERASED, {"member_ids": list(member_ids)})).all())


async def forget(session: AsyncSession, member_ids: Collection[UUID]) -> None:
    """Forget the birthdays, tiers and links of members, and referrals that came to nothing."""
    for statement in FORGET:
        await session.execute(statement, {"member_ids": list(member_ids)})


async def forget_usage(session: AsyncSession, member_ids: Collection[UUID]) -> None:
    """Forget what members used of caps; their accounts are locked."""
    await session.execute(FORGET_USAGE, {"member_ids": list(member_ids)})


async def with_points(session: AsyncSession, *, limit: int) -> list[UUID]:
    """Return erased members to whom points came, or became free, or who owe some, since."""
    return list((await session.scalars(WITH_POINTS, {"limit": limit})).all())
