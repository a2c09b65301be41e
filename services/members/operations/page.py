"""One member as a person would want to see it, in few statements however much there is."""

from dataclasses import asdict
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from services.members.domain import Progress
from services.members.operations.progress import read_standing, standing_of
from services.members.operations.reading import read_member
from services.members.repository import orders, people

__all__ = ["read_member_page"]


async def read_member_page(session: AsyncSession, member_id: UUID, *, orders_shown: int) -> dict[str, Any]:
    """Return what `read_member` does, the way to the next tier, the stage, and the person's latest orders.

    Tier and stage are judged as of now, whatever a job has got round to. Raises MemberNotFound.
    """
    person = await read_member(session, member_id)
    ids = [person["member_id"], *person["merged_ids"]]
    recent = await orders.orders_of_member(session, ids, after=None, limit=orders_shown)
    alone = people.person_of(person)
    place = await (
        read_standing(session, person["member_id"]) if alone is None else standing_of(session, alone)
    )
    standing = _standing(place.tier)
    return {
        **person,
        "tier": standing["tier"],
        "tier_changed_at": standing["since"],
        "stage": place.stage.stage,
        "stage_since": place.stage.since,
        "lifecycle": place.stage,
        "standing": standing,
        "recent_orders": recent,
    }


def _standing(place: Progress) -> dict[str, Any]:
    missing, lock = place.missing, place.lock
    return {
        "tier": place.tier.name if place.tier else None,
        "since": place.since,
        "ends_at": place.ends_at,
        "falls_at": place.falls_at,
        "falls_reason": place.falls_reason,
        "is_locked": lock is not None,
        "locked_until": lock.until if lock else None,
        "counted": place.figures._asdict(),
        "counts_until": place.missing_by,
        "next_tier": place.next_tier.name if place.next_tier else None,
        "missing_spend_minor": missing.spend_minor if missing else None,
        "missing_orders": missing.orders if missing else None,
        "missing_points": missing.points if missing else None,
        "prolonged_if": asdict(place.prolonged_if) if place.prolonged_if else None,
    }
