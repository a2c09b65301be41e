"""What the API shows: nothing here decides or changes anything."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import RowMapping
from sqlalchemy.ext.asyncio import AsyncSession

from services.members.domain import Ladder
from services.members.errors import MemberNotFound, OrderNotFound
from services.members.repository import orders, people, program, returns

__all__ = [
    "find_member",
    "read_member",
    "read_members",
    "read_order",
    "read_orders_of_member",
    "read_refunds",
    "read_tiers",
]


async def read_order(session: AsyncSession, order_id: UUID) -> RowMapping:
    """Return one order with its lines; raises OrderNotFound."""
    row = await orders.order(session, order_id)
    if row is None:
        raise OrderNotFound
    return row


async def read_orders_of_member(
    session: AsyncSession, member_id: UUID, *, after: tuple[datetime, UUID] | None, limit: int
) -> Sequence[RowMapping]:
    """Return a member's orders, the latest first; raises MemberNotFound."""
    rows = await orders.orders_of_member(session, member_id, after=after, limit=limit)
    if not rows:
        await read_member(session, member_id)
    return rows


async def read_refunds(
    session: AsyncSession, state: str, *, after: tuple[datetime, str] | None, limit: int
) -> Sequence[RowMapping]:
    """Return refunds that are parked or were refused late, the longest known first."""
    return await returns.refunds_page(session, state, after=after, limit=limit)


async def read_member(session: AsyncSession, member_id: UUID) -> RowMapping:
    """Return one member with everything that is known; raises MemberNotFound."""
    found = await people.whole_members(session, [member_id])
    if member_id not in found:
        raise MemberNotFound
    return found[member_id]


async def find_member(session: AsyncSession, source: str, external_id: str) -> list[RowMapping]:
    """Return the member whom a source knows by an id, or nobody."""
    ids = await people.member_ids(session, [(source, external_id)])
    return list((await people.whole_members(session, ids.values())).values())


async def read_members(session: AsyncSession, *, after: UUID | None, limit: int) -> Sequence[RowMapping]:
    """Return members in the order in which they joined."""
    return await people.members_page(session, after=after, limit=limit)


async def read_tiers(session: AsyncSession) -> Ladder:
    """Return the tier table that holds now."""
    return await program.ladder(session)
