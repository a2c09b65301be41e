"""One member as a person would want to see it: one statement, and a few more for who is several ids."""

from dataclasses import asdict
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from services.members.domain import Progress
from services.members.errors import MemberNotFound
from services.members.operations.progress import standing_of
from services.members.operations.reading import judged
from services.members.repository import pages, people, program
from services.members.settings import settings

__all__ = ["read_member_page"]


async def read_member_page(session: AsyncSession, member_id: UUID, *, orders_shown: int) -> dict[str, Any]:
    """Return what `read_member` does, the way to the next tier, the stage, and the person's latest orders.

    Tier and stage are judged as of now, whatever a job has got round to. Raises MemberNotFound.
    """
    row = await pages.member_page(session, member_id, orders_shown=orders_shown)
    if row is None:
        raise MemberNotFound
    rules = program.rules_of(row, settings().program_time_zone)
    (person,) = await judged(session, [row])
    alone = people.person_of(person)
    if alone is None:
        known = await people.persons(session, [person["member_id"]])
        alone = known[known[person["member_id"]].person_id]
    place = await standing_of(session, alone, rules)
    standing = _standing(place.tier)
    return {
        **person,
        "tier": standing["tier"],
        "tier_changed_at": standing["since"],
        "stage": place.stage.stage,
        "stage_since": place.stage.since,
        "lifecycle": place.stage,
        "standing": standing,
    }


def _standing(progress: Progress) -> dict[str, Any]:
    missing, lock = progress.missing, progress.lock
    return {
        "tier": progress.tier.name if progress.tier else None,
        "since": progress.since,
        "ends_at": progress.ends_at,
        "falls_at": progress.falls_at,
        "falls_reason": progress.falls_reason,
        "is_given": progress.is_given,
        "is_locked": lock is not None,
        "locked_until": lock.until if lock else None,
        "counted": progress.figures._asdict(),
        "counts_until": progress.missing_by,
        "next_tier": progress.next_tier.name if progress.next_tier else None,
        "missing_spend_minor": missing.spend_minor if missing else None,
        "missing_orders": missing.orders if missing else None,
        "missing_points": missing.points if missing else None,
        "prolonged_if": asdict(progress.prolonged_if) if progress.prolonged_if else None,
    }
