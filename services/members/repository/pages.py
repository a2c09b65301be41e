"""A member's page: the person, their latest orders and the rules that hold, in one statement."""

from uuid import UUID

from sqlalchemy import RowMapping, text
from sqlalchemy.dialects.postgresql import JSON
from sqlalchemy.ext.asyncio import AsyncSession

from services.members.repository import orders, people, program

__all__ = ["member_page"]

# For one id and no array of them, so that PostgreSQL plans it once for a connection and not for every page.
PAGE = text(
    f"""
    SELECT w.*, r.*, coalesce(latest.orders, '[]') AS recent_orders
    FROM (SELECT coalesce((SELECT person_id FROM aliases WHERE merged_id = CAST(:member_id AS uuid)),
                          CAST(:member_id AS uuid)) AS id OFFSET 0) AS asked
    CROSS JOIN LATERAL ({people.WHOLE} WHERE m.id = asked.id) AS w
    CROSS JOIN LATERAL (
        SELECT json_agg(row_to_json(o)) AS orders FROM (
            SELECT each.* FROM unnest(array_prepend(w.member_id, w.merged_ids)) AS k(id)
            CROSS JOIN LATERAL ({orders.WHOLE} WHERE o.member_id = k.id
                                ORDER BY o.placed_at DESC, o.id DESC LIMIT :orders) AS each
            ORDER BY each.placed_at DESC, each.order_id DESC LIMIT :orders) AS o
    ) AS latest
    CROSS JOIN ({program.RULES}) AS r
    """  # noqa: S608 - constants
).columns(**people.WHOLE_COLUMNS, recent_orders=JSON)


async def member_page(session: AsyncSession, member_id: UUID, *, orders_shown: int) -> RowMapping | None:
    """Return the person behind a member as `whole_members` does, with `recent_orders` and the columns of
    `program.RULES`; None if there is no such member.
    """
    rows = await session.execute(PAGE, {"member_id": member_id, "orders": orders_shown})
    return rows.mappings().first()
