"""The lifecycle stages of the members that a batch has locked, judged once at its end.

An order that is news is judged with the batch that brings it. One that is history, because it is older than
a day, leaves the member to the job, which looks once the rest of that history has had time to come: so an
import of years says one stage per member and not one per order.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from services.members.domain import LifecycleRules, Member, Rhythm
from services.members.domain.lifecycle import (
    DAY,
    IDENTIFICATION,
    advance,
    expected_interval,
    fold,
    next_change,
    purchased,
)
from services.members.repository import stages as repository
from services.members.repository.stages import StageChange
from services.members.settings import settings
from shared.events import Event, MemberStageChanged

__all__ = ["Rhythms", "rhythm_of"]


def rhythm_of(member: Member) -> Rhythm | None:
    """The rhythm of a person as its rows say it, as of its last judgement; None without any purchase."""
    rows = [row for row in (member, *member.merged) if row.purchases_count]
    firsts = [row.first_purchase_at for row in rows if row.first_purchase_at is not None]
    lasts = [row.last_purchase_at for row in rows if row.last_purchase_at is not None]
    if not firsts or not lasts:
        return None
    first = min(firsts)
    return Rhythm(member.person_purchases, first, max(lasts), member.stage, member.stage_since or first)


class Rhythms:
    """Judges members by one set of rules as of one instant, and keeps what was said until it is written."""

    def __init__(self, session: AsyncSession, rules: LifecycleRules, now: datetime) -> None:
        self.session = session
        self.rules = rules
        self.now = now
        self._bought: dict[UUID, list[datetime]] = defaultdict(list)
        self._past: list[StageChange] = []

    def bought(self, member: Member, at: datetime) -> None:
        """A member bought: the row's figures follow at once, the stage at the end of the batch."""
        member.purchases_count += 1
        member.is_changed = True
        self._bought[member.id].append(at)

    def unbought(self, member: Member, person: Member) -> None:
        """A purchase was called off or refunded whole: only all the others can say what that makes of it."""
        member.purchases_count -= 1
        member.is_changed = True
        self._leave_to_job(person, self.now)

    def relinked(self, *members: Member) -> None:
        """Who these members are has changed, and so which purchases are theirs."""
        for member in members:
            self._leave_to_job(member, self.now)

    async def settle(self, members: Mapping[UUID, Member]) -> None:
        """Judge whoever bought in this batch, now that its orders are written."""
        if not self._bought:
            return
        news_from = self.now - timedelta(hours=settings().stage_history_hours)
        later = self.now + timedelta(seconds=settings().stage_settle_seconds)
        stale: dict[UUID, Member] = {}
        for member_id, instants in self._bought.items():
            member = members[member_id]
            person = members[member.person_id]
            first, last = min(instants), max(instants)
            before = None
            if last >= news_from and not person.merged and not person.stage_is_stale:
                before = _before(person, len(instants))
            member.first_purchase_at = min(member.first_purchase_at or first, first)
            member.last_purchase_at = max(member.last_purchase_at or last, last)
            if person.erased_at is not None:
                # The books count what comes late; nobody acts on the stage of somebody who is gone.
                continue
            if last < news_from:
                self._leave_to_job(person, later)
            elif person.stage_is_stale or person.merged or not _follows(before, first):
                stale[person.id] = person
            else:
                rhythm = before
                for at in sorted(instants):
                    rhythm = purchased(rhythm, at, self.rules)
                assert rhythm is not None
                self._hold(person, advance(rhythm, self.rules, self.now), "purchase")
        await self.judge(stale.values(), "purchase")
        self._bought.clear()

    async def judge(self, members: Collection[Member], reason: str) -> None:
        """Judge members anew from all their purchases."""
        if not members:
            return
        found = await repository.purchases(self.session, [(each.id, each.person_ids) for each in members])
        for member in members:
            instants = found.get(member.id, [])
            if len(member.person_ids) == 1 and instants:
                member.first_purchase_at, member.last_purchase_at = instants[0], instants[-1]
            self._hold(member, fold(instants, self.rules, self.now), reason)
            if member.stage_is_stale:
                member.stage_is_stale, member.is_changed = False, True

    def carry_on(self, members: Iterable[Member]) -> None:
        """Carry members on to now whose purchases have not changed."""
        for member in members:
            rhythm = rhythm_of(member)
            self._hold(member, None if rhythm is None else advance(rhythm, self.rules, self.now), "recency")

    def _leave_to_job(self, member: Member, look_at: datetime) -> None:
        member.stage_is_stale = member.is_changed = True
        if member.stage_look_at is None or member.stage_look_at > look_at:
            member.stage_look_at = look_at

    def _hold(self, member: Member, rhythm: Rhythm | None, reason: str) -> None:
        """Make a rhythm the member's, and note the change of stage if it is one."""
        stage, since = (IDENTIFICATION, None) if rhythm is None else (rhythm.stage, rhythm.since)
        if stage != member.stage:
            self._past.append(self._change(member, rhythm, stage, reason))
        if (stage, since) != (member.stage, member.stage_since):
            member.stage, member.stage_since, member.is_changed = stage, since, True
        coming = None if rhythm is None else next_change(rhythm, self.rules)
        look_at = member.stage_look_at
        # A look that comes too early costs one row of a job; moving it with every order would cost more.
        if look_at is None or look_at <= self.now or (coming is not None and coming[0] < look_at):
            look_at = None if coming is None else coming[0]
        if look_at != member.stage_look_at:
            member.stage_look_at, member.is_changed = look_at, True

    def _change(self, member: Member, rhythm: Rhythm | None, stage: str, reason: str) -> StageChange:
        recency = expected = timedelta()
        if rhythm is not None:
            recency, expected = self.now - rhythm.last, expected_interval(rhythm, self.rules)
        return StageChange(
            member.id,
            member.stage,
            stage,
            self.now if rhythm is None else rhythm.since,
            reason,
            0 if rhythm is None else rhythm.purchases,
            max(0, recency // DAY),
            round(expected / DAY),
            self.rules.strategies.get(stage),
            self.rules.version,
        )

    @property
    def events(self) -> list[Event]:
        """What there is to say of the changes of this batch."""
        return [
            MemberStageChanged(
                member_id=change.member_id,
                from_stage=change.from_stage,
                to_stage=change.to_stage,
                changed_at=change.at,
                judged_at=self.now,
                reason=change.reason,
                purchases=change.purchases,
                recency_days=change.recency_days,
                expected_interval_days=change.expected_interval_days,
                strategy=change.strategy,
            )
            for change in self._past
        ]

    async def save(self) -> None:
        """Write the history."""
        await repository.insert_history(self.session, self._past)


def _before(member: Member, fresh: int) -> Rhythm | None:
    """The rhythm as it was before this batch, whose `fresh` purchases the row counts already."""
    if member.purchases_count <= fresh:
        return None
    rhythm = rhythm_of(member)
    return None if rhythm is None else rhythm._replace(purchases=rhythm.purchases - fresh)


def _follows(rhythm: Rhythm | None, at: datetime) -> bool:
    """Say whether a purchase comes after all that the rhythm knows, so that it need not be judged anew."""
    return rhythm is None or (at >= rhythm.last and at >= rhythm.since)
