"""What one batch changes: collected while it is decided, written and said at its end."""

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from services.members.domain import NOTHING, KnownOrder, Member, OrderKey, restore_tier, state_of
from services.members.errors import MemberErased, MemberNotFound
from services.members.operations.birthday_schedules import reschedule
from services.members.operations.rhythms import Rhythms
from services.members.operations.snapshots import profiles
from services.members.operations.standings import NO_TIER, Standings
from services.members.repository import orders, people, program
from services.members.repository.program import Rules
from services.members.settings import settings
from shared.events import Event
from shared.outbox import emit
from shared.problems import Refusal

__all__ = ["Changes"]


class Changes:
    """The members a batch has locked, and the events and figures that follow from what it does to them."""

    def __init__(self, session: AsyncSession, rules: Rules, actor: str) -> None:
        self.session = session
        self.actor = actor
        self.ladder = rules.ladder
        self.anybody_erased = rules.anybody_erased
        self.anything_parked = rules.anything_parked
        # The one that spend is counted in.
        self.currency = settings().program_currency
        # By the database's clock, when the batch began: what it judges, it judges as of this instant.
        self.now = rules.now
        self.members: dict[UUID, Member] = {}
        self.events: list[Event] = []
        self.figures: Counter[str] = Counter()
        self.standings = Standings(session, rules.ladder, rules.now, self.events, self.figures)
        self.rhythms = Rhythms(session, rules.lifecycle, rules.now)

    @classmethod
    async def begin(
        cls, session: AsyncSession, *, actor: str = "members", as_of: datetime | None = None
    ) -> "Changes":
        """Begin a batch; `actor` is who is on record for it.

        `as_of` judges as of another instant than now: a test's clock, or a job that makes up for lost time.
        """
        rules = await program.rules(session, settings().program_time_zone)
        return cls(session, rules if as_of is None else replace(rules, now=as_of), actor)

    async def lock(self, member_ids: Collection[UUID]) -> None:
        """Lock members that are not locked yet, and with them everybody who is the same person.

        Call it once per batch, before anything else is locked.
        """
        locked = await people.lock_members(self.session, set(member_ids) - self.members.keys())
        self.members |= locked
        await self.standings.load(locked.values())

    async def lock_orders(self, keys: Collection[OrderKey]) -> dict[OrderKey, KnownOrder]:
        """Lock the members whose orders these are, and return those that are known as they are then."""
        before = await orders.orders_by_key(self.session, keys)
        await self.lock({order.member_id for order in before.values()})
        return await orders.orders_by_key(self.session, before.keys())

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
        level = self.ladder.earned(NOTHING)
        member = Member(member_id, tier_version=self.ladder.version)
        member.is_new = member.is_bare = member.has_new_profile = True
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
        if state_before != "paid":
            return
        person = self.person(order.member_id)
        if state_of(order) != "paid":
            self.rhythms.unbought(self.members[order.member_id], person)
        self._spend(order, order.spend_minor - spend_before_minor)
        self.judge(person, at, "refund")

    def order_paid(self, order: KnownOrder) -> None:
        """Carry a payment into the member's rhythm and spend, and judge the tier by it."""
        assert order.paid_at is not None
        if state_of(order) == "paid":
            self.rhythms.bought(self.members[order.member_id], order.paid_at)
        self._spend(order, order.spend_minor)
        self.judge(self.person(order.member_id), order.paid_at, "spend")

    def _spend(self, order: KnownOrder, change_minor: int) -> None:
        """Add to a member's spend; orders in other currencies count nothing."""
        if order.currency == self.currency and change_minor:
            member = self.members[order.member_id]
            member.spend_minor += change_minor
            member.is_changed = True

    def judge(self, member: Member, at: datetime, reason: str) -> None:
        """Put a person into the tier that is due, and say so; `member` is no alias."""
        self.standings.judge(member, at, reason)

    def restore_tier(self, member: Member, state: Mapping[str, Any], at: datetime, reason: str) -> None:
        """Give a member the tier state back that it had before a merge, and say so if it is a person."""
        before = member.tier
        move = restore_tier(member, state, at, reason)
        if member.link is None:
            self.standings.tell(member, before, [] if move is None else [move])

    def count_person(self, member: Member, change: int) -> None:
        """Count a person in the figures, or no longer (`change` -1)."""
        self.figures["members"] += change
        self.figures[f"tier:{member.tier or NO_TIER}"] += change

    async def save(self) -> None:
        """Judge what could not be judged before, and write the members, the figures and the events."""
        await self.standings.settle()
        await self.rhythms.settle(self.members)
        terms = self.standings.changed_terms(self.members)
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
        await self.standings.save(terms)
        await self.rhythms.save()
        await program.add_tallies(self.session, self.figures)
        self.events += self.rhythms.events
        self.events += await profiles(self.session, told)
        await emit(self.session, self.events)
