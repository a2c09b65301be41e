"""What time alone brings about: holds that lapse, groups that fail, activities that end."""

from sqlalchemy.ext.asyncio import AsyncSession

from services.campaigns.operations.books import Books
from services.campaigns.repository import activities as activity_rows
from services.campaigns.repository import groups as group_rows
from shared.events import ActivityEnded
from shared.outbox import emit


async def lapse_holds(session: AsyncSession, limit: int) -> int:
    """Give back seats whose hold is over; return how many."""
    groups = await group_rows.claim_groups_with_due_seats(session, limit)
    if not groups:
        return 0
    await group_rows.load_seats(session, groups)
    books = Books(groups)
    now = await activity_rows.now(session)
    lapsed = books.lapse_due(now)
    await books.save(session, now)
    return lapsed


async def decide_due_groups(session: AsyncSession, limit: int) -> int:
    """Fail groups that are not full at their deadline; return how many were looked at.

    A group with holds that may still turn out to be paid in time is closing first: nobody gets in, and
    the decision waits, for no longer than those holds and the time it takes to hear of a payment.
    """
    groups = await group_rows.claim_due_groups(session, limit)
    if not groups:
        return 0
    await group_rows.load_seats(session, groups)
    books = Books(groups)
    now = await activity_rows.now(session)
    books.lapse_due(now)
    for group in groups.values():
        if any(seat.state == "held" for seat in group.live()):
            group.state = "closing"
        else:
            reason = "activity_ended" if group.deadline_at == group.ends_at else "deadline"
            books.fail(group, reason, now)
    await books.save(session, now)
    return len(groups)


async def end_activities(session: AsyncSession, limit: int) -> int:
    """Say once of each activity that it has ended, and unlock its SKUs; return how many ended."""
    rows = await activity_rows.end_activities(session, limit)
    await activity_rows.release_skus(session, [row.activity_id for row in rows])
    await emit(
        session,
        [
            ActivityEnded(activity_id=row.activity_id, shop_id=row.shop_id, ended_at=row.ends_at)
            for row in rows
        ],
    )
    return len(rows)
