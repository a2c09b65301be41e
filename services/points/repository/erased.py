"""Members who were erased."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from services.points.domain import Account

__all__ = ["erased", "erased_accounts", "forget", "forget_usage", "remember", "with_points"]

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
        "member_choices WHERE member_id = ANY(CAST(:member_ids AS uuid[]))",
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


async def erased_accounts(session: AsyncSession, accounts: Mapping[UUID, Account]) -> set[UUID]:
    """Return the ids among those of `accounts` whose account is that of a member who was erased.

    What is given to one of them would be forfeited, and whoever gives it would not know.
    """
    gone = await erased(session, {account.member_id for account in accounts.values()})
    return {member_id for member_id, account in accounts.items() if account.member_id in gone}


async def forget(session: AsyncSession, member_ids: Collection[UUID]) -> None:
    """Forget what is kept of members beside the books, and referrals that came to nothing."""
    for statement in FORGET:
        await session.execute(statement, {"member_ids": list(member_ids)})


async def forget_usage(session: AsyncSession, member_ids: Collection[UUID]) -> None:
    """Forget what members used of caps; their accounts are locked."""
    await session.execute(FORGET_USAGE, {"member_ids": list(member_ids)})


async def with_points(session: AsyncSession, *, limit: int) -> list[UUID]:
    """Return erased members to whom points came, or became free, or who owe some, since."""
    return list((await session.scalars(WITH_POINTS, {"limit": limit})).all())
