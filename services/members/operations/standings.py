"""The tiers of the members that a batch has locked: judged while it is decided, or once at its end."""

from collections import Counter
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from msgspec.structs import replace
from sqlalchemy.ext.asyncio import AsyncSession

from services.members.domain import Facts, Figures, Ladder, Member, Move, Terms, days_to_look_at, judge
from services.members.repository import standing as repository
from services.members.settings import settings
from shared.events import (
    Event,
    MemberTierAtRisk,
    MemberTierDowngraded,
    MemberTierProlonged,
    MemberTierRedefined,
    MemberTierRetained,
    MemberTierUpgraded,
)

__all__ = ["NO_TIER", "Standings", "facts_of", "tier_event"]

NO_TIER = "none"


async def facts_of(
    session: AsyncSession, members: Collection[Member], ladder: Ladder, now: datetime
) -> dict[UUID, Facts]:
    """Return what a judgement of these persons as of `now` has to know of their past."""
    asked = [(member, days_to_look_at(ladder, member.terms, now)) for member in members]
    return await repository.facts(
        session,
        asked,
        ladder,
        zone_name=settings().program_time_zone,
        currency=settings().program_currency,
    )


class Standings:
    """Judges members by one ladder as of one instant, and keeps what befell them until it is written."""

    def __init__(
        self, session: AsyncSession, ladder: Ladder, now: datetime, events: list[Event], figures: Counter[str]
    ) -> None:
        self.session = session
        self.ladder = ladder
        self.now = now
        self.events = events
        self.figures = figures
        self._before: dict[UUID, Terms] = {}
        self._points: dict[UUID, int] = {}
        self._asked: dict[UUID, tuple[Member, str]] = {}
        self._past: list[repository.Past] = []

    async def load(self, members: Collection[Member]) -> None:
        """Read the terms of members that were just locked, and their points if a tier asks for points."""
        held = await repository.terms(self.session, [each.id for each in members if each.has_tier_terms])
        for member in members:
            if member.id in held:
                self._before[member.id] = held[member.id]
                member.terms = held[member.id].copy()
        if self.ladder.counts_points and self.ladder.counts_everything:
            self._points |= await repository.points_totals(self.session, [member.id for member in members])

    def judge(self, member: Member, at: datetime, reason: str) -> None:
        """Put a person into the tier that is due, and say so: now, or when the batch is decided.

        If all that members ever did counts, the running figures say it, and every payment is judged by
        itself in the order of its time. A window needs the days, which are read once for the batch.
        """
        if not self.ladder.counts_everything or member.terms.counts_from is not None:
            if self._asked.get(member.id, (member, ""))[1] != "refund":
                self._asked[member.id] = (member, reason)
            return
        points = sum(self._points.get(member_id, 0) for member_id in member.person_ids) if self._points else 0
        figures = Figures(member.person_spend_minor, member.person_purchases, points)
        if self._is_held(member, figures):
            return
        facts = Facts(figures)
        before = member.tier
        self.tell(member, before, judge(member, self.ladder, facts, now=self.now, at=at, reason=reason), None)

    def _is_held(self, member: Member, figures: Figures) -> bool:
        """Say whether a member holds for ever what the figures earn: so it is after most payments."""
        level = self.ladder.earned(figures)
        return (
            level is not None
            and level.rank == member.tier_rank
            and level.name == member.tier
            and member.tier_version == self.ladder.version
            and member.terms.is_plain
            and not any(alias.terms.is_given for alias in member.merged)
        )

    async def settle(self) -> None:
        """Judge whoever is judged by days, now that the batch is decided and its orders are written."""
        if not self._asked:
            return
        asked, self._asked = self._asked, {}
        facts = await facts_of(self.session, [member for member, _ in asked.values()], self.ladder, self.now)
        for member, reason in asked.values():
            before = member.tier
            moves = judge(member, self.ladder, facts[member.id], now=self.now, at=self.now, reason=reason)
            self.tell(member, before, moves)

    def tell(
        self,
        member: Member,
        tier_before: str | None,
        moves: list[Move],
        actor: str | None = None,
        *,
        redemption_id: UUID | None = None,
    ) -> None:
        """Say what befell a member's tier and count it.

        `actor` is the person who had it so, `redemption_id` what paid for it if it was bought with points.
        """
        if member.tier != tier_before:
            self.figures[f"tier:{tier_before or NO_TIER}"] -= 1
            self.figures[f"tier:{member.tier or NO_TIER}"] += 1
        for move in moves:
            if move.kind in ("upgraded", "downgraded"):
                self.figures["tier_upgrades" if move.kind == "upgraded" else "tier_downgrades"] += 1
            event = tier_event(move, self.ladder)
            if redemption_id is not None and isinstance(event, MemberTierUpgraded):
                event = replace(event, redemption_id=redemption_id)
            self.events.append(event)
            self._past.append((move, actor))

    def note(self, move: Move, actor: str) -> None:
        """Write down what somebody did to a tier and what is no event."""
        self._past.append((move, actor))

    def changed_terms(self, members: Mapping[UUID, Member]) -> dict[UUID, Terms]:
        """Return the terms that differ from what is stored, and mark their members as having some."""
        changed = {}
        for member in members.values():
            if member.terms.is_plain and not member.has_tier_terms:
                continue
            if member.terms != self._before.get(member.id, PLAIN):
                changed[member.id] = member.terms
                if not member.has_tier_terms:
                    member.has_tier_terms = member.is_changed = True
        return changed

    async def save(self, changed: Mapping[UUID, Terms]) -> None:
        """Write the terms and the history."""
        await repository.save_terms(self.session, changed)
        await repository.insert_history(self.session, self._past, version=self.ladder.version)
        self._past = []


PLAIN = Terms()


def tier_event(move: Move, ladder: Ladder) -> Event:
    """Return the event that tells what befell a tier."""
    member_id, at = move.member_id, move.at
    if move.kind == "upgraded":
        return MemberTierUpgraded(**_changed(move, ladder))
    if move.kind == "downgraded":
        return MemberTierDowngraded(**_changed(move, ladder))
    assert move.from_tier is not None
    if move.kind == "prolonged":
        return MemberTierProlonged(
            member_id=member_id, tier=move.from_tier, prolonged_at=at, until=move.until, reason=move.reason
        )
    if move.kind == "at_risk":
        assert move.until is not None
        return MemberTierAtRisk(
            member_id=member_id,
            tier=move.from_tier,
            to_tier=move.to_tier,
            falls_at=move.until,
            reason=move.reason,
            announced_at=at,
        )
    if move.kind == "redefined":
        assert move.to_tier is not None
        return MemberTierRedefined(
            member_id=member_id,
            tier=move.to_tier,
            redefined_at=at,
            points_multiplier_percent=ladder.multiplier_percent(move.to_tier),
        )
    return MemberTierRetained(member_id=member_id, tier=move.from_tier, retained_at=at, until=move.until)


def _changed(move: Move, ladder: Ladder) -> dict[str, Any]:
    return {
        "member_id": move.member_id,
        "from_tier": move.from_tier,
        "to_tier": move.to_tier,
        "changed_at": move.at,
        "reason": move.reason,
        "window_spend_minor": move.figures.spend_minor,
        "until": move.until,
        "points_multiplier_percent": ladder.multiplier_percent(move.to_tier),
    }
