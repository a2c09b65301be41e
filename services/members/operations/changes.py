"""What one batch changes: collected while it is decided, written and said at its end."""

from collections import Counter
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from services.members.domain import KnownOrder, Ladder, Member, Move, judge, restore_tier, state_of
from services.members.errors import MemberErased, MemberNotFound
from services.members.operations.birthday_schedules import reschedule
from services.members.operations.snapshots import profiles
from services.members.repository import people, program
from shared.events import (
    Event,
    MemberTierDowngraded,
    MemberTierUpgraded,
)
from shared.outbox import emit
from shared.problems import Refusal

__all__ = ["Changes"]

NO_TIER = "none"


class Changes:
    """The members a batch has locked, and the events and figures that follow from what it does to them."""

    def __init__(self, session: AsyncSession, ladder: Ladder, currency: str, actor: str) -> None:
        self.session = session
        self.actor = actor
        self.ladder = ladder
        self.currency = currency
        self.members: dict[UUID, Member] = {}
        self.events: list[Event] = []
        self.figures: Counter[str] = Counter()

    @classmethod
    async def begin(cls, session: AsyncSession, currency: str, *, actor: str = "members") -> "Changes":
        """Begin a batch; `currency` is the one that spend is counted in, `actor` who is on record for it."""
        return cls(session, await program.ladder(session), currency, actor)

    async def lock(self, member_ids: Collection[UUID]) -> None:
        """Lock members that are not locked yet, and with them everybody who is the same person.

        Call it once per batch, before anything else is locked.
        """
        self.members |= await people.lock_members(self.session, set(member_ids) - self.members.keys())

    def person(self, member_id: UUID) -> Member:
        """Return the person behind a locked member: who holds the tier and the consents, and is told of.

        What came under a member's own id stays in `members`; what is judged of both together is here.
        """
        return self.members[self.members[member_id].person_id]

    def refusal_of(self, member_id: UUID) -> Refusal | None:
        """Say why nothing can be said about a member: it is unknown, or erased."""
        member = self.members.get(member_id)
        if member is None:
            return MemberNotFound()
        return None if member.erased_at is None else MemberErased()

    def join(self, member_id: UUID) -> Member:
        """Take in a new member, in the tier that everybody starts in."""
        level = self.ladder.earned(0)
        member = Member(member_id, tier_version=self.ladder.version, is_new=True, has_new_profile=True)
        if level is not None:
            member.tier, member.tier_rank = level.name, level.rank
        self.members[member_id] = member
        self.count_person(member, +1)
        return member

    def order_came(self, order: KnownOrder) -> None:
        """Count an order that is new, as it is now."""
        self.figures["orders"] += 1
        self.figures[f"orders:{state_of(order)}"] += 1

    def order_moved(
        self, order: KnownOrder, state_before: str, spend_before_minor: int, at: datetime
    ) -> None:
        """Carry an order's new state into the figures, and its new spend into the member's tier."""
        self.figures[f"orders:{state_before}"] -= 1
        self.figures[f"orders:{state_of(order)}"] += 1
        self.spend(order, order.spend_minor - spend_before_minor, at, "refund")

    def spend(self, order: KnownOrder, change_minor: int, at: datetime, reason_down: str) -> None:
        """Add to a member's spend and judge the tier; orders in other currencies count nothing."""
        if order.currency != self.currency or not change_minor:
            return
        member = self.members[order.member_id]
        member.spend_minor += change_minor
        member.is_changed = True
        self.judge(self.person(member.id), at, "spend" if change_minor > 0 else reason_down)

    def judge(self, member: Member, at: datetime, reason: str) -> None:
        """Put a person into the tier that the spend earns, and say so; `member` is no alias."""
        before = member.tier
        self._move(member, before, judge(member, self.ladder, at), reason)

    def restore_tier(self, member: Member, state: Mapping[str, Any], at: datetime, reason: str) -> None:
        """Give a member the tier state back that it had before a merge, and say so if it is a person."""
        before = member.tier
        move = restore_tier(member, state, at)
        if member.link is None:
            self._move(member, before, move, reason)

    def count_person(self, member: Member, change: int) -> None:
        """Count a person in the figures, or no longer (`change` -1)."""
        self.figures["members"] += change
        self.figures[f"tier:{member.tier or NO_TIER}"] += change

    def _move(self, member: Member, before: str | None, move: Move | None, reason: str) -> None:
        if member.tier != before:
            self.figures[f"tier:{before or NO_TIER}"] -= 1
            self.figures[f"tier:{member.tier or NO_TIER}"] += 1
        if move is not None:
            self.figures["tier_upgrades" if move.is_upgrade else "tier_downgrades"] += 1
            self.events.append(_moved(move, reason))

    async def save(self) -> None:
        """Write the members, the figures and the events of the batch."""
        for member in self.members.values():
            if member.has_new_profile:
                self.person(member.id).has_new_profile = True
        touched = sorted(self.members.values(), key=lambda member: member.id)
        # Whoever is erased has no profile, whatever a late order says about them.
        told = [m for m in touched if m.has_new_profile and m.link is None and m.erased_at is None]
        for member in told:
            member.revision += 1
        await people.insert_members(self.session, [member for member in touched if member.is_new])
        await people.update_members(
            self.session,
            [m for m in touched if not m.is_new and (m.is_changed or m.has_new_profile)],
        )
        await reschedule(
            self.session,
            [m for m in touched if m.has_new_birthday or (m.has_new_zone and m.birthday is not None)],
            self.actor,
        )
        await program.add_tallies(self.session, self.figures)
        self.events += await profiles(self.session, told)
        await emit(self.session, self.events)


def _moved(move: Move, reason: str) -> Event:
    if move.is_upgrade:
        assert move.to_tier is not None
        return MemberTierUpgraded(
            member_id=move.member_id,
            from_tier=move.from_tier,
            to_tier=move.to_tier,
            changed_at=move.changed_at,
            reason=reason,
            window_spend_minor=move.spend_minor,
        )
    return MemberTierDowngraded(
        member_id=move.member_id,
        from_tier=move.from_tier,
        to_tier=move.to_tier,
        changed_at=move.changed_at,
        reason=reason,
        window_spend_minor=move.spend_minor,
    )
