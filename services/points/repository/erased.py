"""Members who were erased."""

from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

__all__ = ["erased", "forget_birthdays", "remember", "with_points"]

REMEMBER = text(
    """
    INSERT INTO erased_members (member_id, erased_at)
    SELECT member_id, min(at) FROM unnest(CAST(:member_ids AS uuid[]), CAST(:at AS timestamptz[]))
        AS e(member_id, at) GROUP BY member_id ORDER BY member_id
    ON CONFLICT (member_id) DO NOTHING
    """
)

ERASED = text("SELECT member_id FROM erased_members WHERE member_id = ANY(CAST(:member_ids AS uuid[]))")

FORGET_BIRTHDAYS = text("DELETE FROM member_birthdays WHERE member_id = ANY(CAST(:member_ids AS uuid[]))")

# Accounts of merged members have nothing of their own; the surviving one is erased along.
WITH_POINTS = text(
    """
    SELECT accounts.member_id FROM erased_members JOIN accounts USING (member_id)
    WHERE accounts.open_points > accounts.held_points OR accounts.pending_points > 0
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


async def forget_birthdays(session: AsyncSession, member_ids: Collection[UUID]) -> None:
    """Forget when the birthdays of members are."""
    await session.execute(FORGET_BIRTHDAYS, {"member_ids": list(member_ids)})


async def with_points(session: AsyncSession, *, limit: int) -> list[UUID]:
    """Return erased members to whom points came, or became free, since."""
    return list((await session.scalars(WITH_POINTS, {"limit": limit})).all())
