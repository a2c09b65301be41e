"""One member as a person would want to see it, in few statements however much there is."""

from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from services.members.domain import Member, progress
from services.members.domain.terms import PLAIN, Terms
from services.members.operations.reading import read_member
from services.members.operations.standings import facts_of
from services.members.repository import orders, people, program
from services.members.repository import standing as repository
from services.members.settings import settings

__all__ = ["read_member_page"]


async def read_member_page(session: AsyncSession, member_id: UUID, *, orders_shown: int) -> dict[str, Any]:
    """Return what `read_member` does, the way to the next tier, the stage, and the person's latest orders.

    Raises MemberNotFound.
    """
    person = await read_member(session, member_id)
    ids = [person["member_id"], *person["merged_ids"]]
    recent = await orders.orders_of_member(session, ids, after=None, limit=orders_shown)
    member = (await people.persons(session, ids))[person["member_id"]]
    return {
        **person,
        "stage": member.stage,
        "stage_since": member.stage_since,
        "standing": await _standing(session, member),
        "recent_orders": recent,
    }


async def _standing(session: AsyncSession, member: Member) -> dict[str, Any]:
    rules = await program.rules(session, settings().program_time_zone)
    held = await repository.terms(session, [member.id]) if member.has_tier_terms else {}
    terms: Terms = held.get(member.id, PLAIN)
    member.terms = terms
    facts = await facts_of(session, [member], rules.ladder, rules.now)
    way = progress(rules.ladder, member.tier_rank, facts[member.id], rules.now)
    return {
        "tier": member.tier,
        "since": member.tier_changed_at,
        "ends_at": terms.ends_at,
        "falls_at": terms.falls_at,
        "falls_reason": terms.falls_reason,
        "is_locked": terms.lock is not None and terms.lock.holds(rules.now),
        "locked_until": terms.lock.until if terms.lock else None,
        "counted": way.figures._asdict(),
        "counts_until": way.counts_until,
        "next_tier": way.level.name if way.level else None,
        "missing_spend_minor": way.missing_spend_minor,
        "missing_orders": way.missing_orders,
        "missing_points": way.missing_points,
    }
