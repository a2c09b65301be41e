"""What else moves a tier than orders and time: locks, tiers bought with points, and points earned."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from services.members.domain import Facts, Lock, Member, Move, buy, judge, lock, unlock
from services.members.errors import LockEnded, UnknownTier
from services.members.operations.changes import Changes
from services.members.operations.standings import facts_of
from services.members.repository import orders, standing
from shared.events import MemberTierPurchaseDeclined
from shared.problems import Refusal

__all__ = [
    "PointsChange",
    "TierLock",
    "TierPurchase",
    "hear_points",
    "lock_tiers",
    "take_tier_purchases",
    "unlock_tiers",
]


@dataclass(frozen=True, slots=True)
class TierLock:
    """Hold a member in a tier until an instant (None: until it is unlocked), or end that."""

    member_id: UUID
    tier: str | None
    until: datetime | None
    actor: str
    reason: str


@dataclass(frozen=True, slots=True)
class TierPurchase:
    """A tier that was paid for in points."""

    redemption_id: UUID
    member_id: UUID
    tier: str | None


@dataclass(frozen=True, slots=True)
class PointsChange:
    """Points earned at an instant, or clawed back from an order (then they are negative)."""

    member_id: UUID
    points: int
    at: datetime
    clawed_from: UUID | None = None


async def lock_tiers(session: AsyncSession, commands: Sequence[TierLock]) -> list[Refusal | None]:
    """Hold members in tiers, whatever else happens. One result per command, in their order."""
    return await _each(session, commands, _lock)


def _lock(changes: Changes, member: Member, facts: Facts, command: TierLock) -> Refusal | None:
    if command.tier is None or changes.ladder.named(command.tier) is None:
        return UnknownTier()
    if command.until is not None and command.until <= changes.now:
        return LockEnded()
    before = member.tier
    held = Lock(command.tier, command.until, command.actor, command.reason, changes.now)
    noted = Move(
        member.id, "locked", before, command.tier, changes.now, command.reason, facts.total, command.until
    )
    changes.standings.note(noted, command.actor)
    moves = lock(member, changes.ladder, facts, now=changes.now, lock=held)
    changes.standings.tell(member, before, moves, command.actor)
    return None


async def unlock_tiers(session: AsyncSession, commands: Sequence[TierLock]) -> list[Refusal | None]:
    """End locks; the tiers go to what is earned now. A member without a lock stays as it is."""
    return await _each(session, commands, _unlock)


def _unlock(changes: Changes, member: Member, facts: Facts, command: TierLock) -> None:
    if member.terms.lock is None:
        return
    before = member.tier
    moves = unlock(member, changes.ladder, facts, now=changes.now)
    noted = Move(member.id, "unlocked", before, member.tier, changes.now, command.reason, facts.total)
    changes.standings.note(noted, command.actor)
    changes.standings.tell(member, before, moves, command.actor)


async def _each(
    session: AsyncSession,
    commands: Sequence[TierLock],
    change: Callable[[Changes, Member, Facts, TierLock], Refusal | None],
) -> list[Refusal | None]:
    """Apply a change to the person of each command, or say why not, in their order."""
    changes, facts = await _begin(session, {command.member_id for command in commands})
    results: list[Refusal | None] = []
    for command in commands:
        refusal = changes.refusal_of(command.member_id)
        if refusal is None:
            member = changes.person(command.member_id)
            refusal = change(changes, member, facts[member.id], command)
        results.append(refusal)
    await changes.save()
    return results


async def _begin(session: AsyncSession, member_ids: set[UUID]) -> tuple[Changes, Mapping[UUID, Facts]]:
    """Lock members, and read what the tiers of the persons among them are judged by."""
    changes = await Changes.begin(session)
    await changes.lock(member_ids)
    persons = [member for member in changes.members.values() if member.link is None]
    return changes, await facts_of(session, persons, changes.ladder, changes.now)


async def take_tier_purchases(session: AsyncSession, commands: Sequence[TierPurchase]) -> list[str | None]:
    """Give tiers that were paid for in points, or say that they cannot be given; why, or None, for each.

    The points are spent already, so nothing is refused: what makes no sense is put on record and announced,
    and whoever took the points gives them back.
    """
    changes, facts = await _begin(session, {command.member_id for command in commands})
    declined: list[str | None] = []
    record: list[standing.Purchase] = []
    for command in commands:
        until = reason = None
        if changes.refusal_of(command.member_id) is not None:
            reason = "unknown_member"
        else:
            member = changes.person(command.member_id)
            reason = _buy(changes, member, facts[member.id], command)
            until = member.terms.ends_at if reason is None else None
        declined.append(reason)
        record.append((command.redemption_id, command.member_id, command.tier, reason, until, changes.now))
    changes.events += [
        MemberTierPurchaseDeclined(
            member_id=command.member_id,
            redemption_id=command.redemption_id,
            tier=command.tier,
            reason=reason,
            declined_at=changes.now,
        )
        for command, reason in zip(commands, declined, strict=True)
        if reason is not None
    ]
    await standing.insert_purchases(session, record)
    await changes.save()
    return declined


def _buy(changes: Changes, member: Member, facts: Facts, command: TierPurchase) -> str | None:
    """Judge a member as of now, and then give the tier; why it cannot be given, or None."""
    before = member.tier
    moves = judge(member, changes.ladder, facts, now=changes.now, at=changes.now, reason="spend")
    changes.standings.tell(member, before, moves)
    before = member.tier
    bought = buy(member, changes.ladder, facts, now=changes.now, level_name=command.tier)
    if isinstance(bought, str):
        return bought
    changes.standings.tell(member, before, bought, redemption_id=command.redemption_id)
    return None


async def hear_points(session: AsyncSession, heard: Sequence[PointsChange]) -> None:
    """Add points to the days on which members earned them, and judge tiers that ask for points.

    What is clawed back counts on the day of the order that had earned it, like a refund does: points of a
    refunded order were never earned.
    """
    changes = await Changes.begin(session)
    clawed = {change.clawed_from for change in heard if change.clawed_from is not None}
    paid_at = await orders.payment_times(session, clawed)
    by_day: dict[tuple[UUID, date], int] = defaultdict(int)
    for change in heard:
        at = change.at if change.clawed_from is None else paid_at.get(change.clawed_from, change.at)
        by_day[change.member_id, changes.ladder.day_of(at)] += change.points
    await standing.add_points(session, by_day)
    if not changes.ladder.counts_points:
        return
    await changes.lock({change.member_id for change in heard})
    for change in heard:
        if change.member_id in changes.members:
            reason = "points" if change.clawed_from is None else "refund"
            changes.judge(changes.person(change.member_id), change.at, reason)
    await changes.save()
