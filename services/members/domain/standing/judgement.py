"""One judgement of one member: what time, orders, refunds, gifts and locks make of the tier."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from uuid import UUID

from services.members.domain.people import Member
from services.members.domain.terms import Lock
from services.members.domain.tiers import Facts, Figures, Ladder, Level

__all__ = ["Judgement", "Move"]


@dataclass(frozen=True, slots=True)
class Move:
    """What befell a member's tier: upgraded, downgraded, prolonged, at_risk, retained or redefined."""

    member_id: UUID
    kind: str
    from_tier: str | None
    to_tier: str | None
    # When it befell by its own time; for a tier at risk, when it was found out.
    at: datetime
    reason: str
    figures: Figures
    # When the tier's period ends; for a tier at risk, when it is lost.
    until: datetime | None = None


class Judgement:
    """One judgement of one member, step by step."""

    def __init__(
        self, member: Member, ladder: Ladder, facts: Facts, now: datetime, at: datetime, reason: str
    ) -> None:
        self.member = member
        self.terms = member.terms
        self.ladder = ladder
        self.policy = ladder.policy
        self.facts = facts
        self.now = now
        self.at = at
        self.reason = reason
        self.moves: list[Move] = []

    def run(self) -> list[Move]:
        tier, version = self.member.tier, self.member.tier_version
        self._judge()
        self._redefine(tier, version)
        return self.moves

    def _redefine(self, tier: str | None, version: int) -> None:
        """Say so if another table has changed what the tier is, and no move to a tier has said what it is."""
        held = self.ladder.named(self.member.tier)
        if held is None or any(move.kind in ("upgraded", "downgraded") for move in self.moves):
            return
        if held.name != tier or self.policy.defined_in.get(held.name, 0) > version:
            self._say("redefined", tier, held.name, self.now, "tier_table", self.facts.total, None)

    def _judge(self) -> None:
        member, ladder, terms = self.member, self.ladder, self.terms
        is_new_table = member.tier_version != ladder.version
        if is_new_table:
            member.tier_version = ladder.version
            member.is_changed = True
        if terms.lock is not None:
            if terms.lock.holds(self.now):
                self._obey(terms.lock)
                return
            self._release(terms.lock)
        figures = self.facts.between(self._first_day(self.now))
        earned = ladder.earned(figures)
        self._accept(earned, figures)
        held = ladder.named(member.tier)
        if held is None:
            self._settle(self._floored(earned), figures)
        elif _rank(earned) > held.rank:
            self._settle(earned, figures)
        else:
            if held.rank != member.tier_rank:
                member.tier_rank, member.is_changed = held.rank, True
            if is_new_table:
                self._apply_new_table(held, earned, figures)
            self._justify()
            self._end_periods()
            if _rank(earned) > member.tier_rank:
                # What ended before anybody looked, and was earned anew since.
                self._settle(earned, figures)
        self._accept(earned, figures)
        if terms.falls_reason == "period_end" and (terms.ends_at is None or terms.ends_at > self.now):
            # A new table has moved the end that was announced.
            terms.falls_at = terms.falls_reason = None

    def give(self, level: Level) -> None:
        """Put the member into a level that is not earned."""
        figures = self.facts.between(self._first_day(self.now))
        self._renew(level, self.now)
        self.terms.is_given = True
        self._put(level, self.now, self.reason, figures)

    def _first_day(self, instant: datetime) -> date | None:
        window = self.policy.window
        return None if self.ladder.counts_everything else window.first_day(self.ladder.day_of(instant))

    def _obey(self, held: Lock) -> None:
        level = self.ladder.named(held.tier)
        self.terms.falls_at = self.terms.falls_reason = None
        if level is not None:
            self._put(level, held.locked_at, "lock", self.facts.total, until=held.until)

    def _release(self, held: Lock) -> None:
        """Forget a lock that has ended; nothing but what is earned now holds the tier any longer."""
        self.terms.lock = None
        self.at, self.reason = held.until or self.now, "lock_ended"
        figures = self.facts.between(self._first_day(self.now))
        self._settle(self._floored(self.ladder.earned(figures)), figures)

    def _gift(self, at: datetime) -> tuple[Level, datetime | None] | None:
        """Return the best level that the member paid for, or was given as one merged into it, and its end.

        Each stays with whom it was given to: looked up anew each time, it needs no undoing when they part.
        """
        merged = [gift for alias in self.member.merged for gift in alias.terms.gifts(alias.tier, at)]
        paid_for = [gift for gift in self.terms.bought if gift.holds(at)]
        gifts = [
            (level, gift.ends_at)
            for gift in (*merged, *paid_for)
            if (level := self.ladder.named(gift.tier)) is not None
        ]
        return max(gifts, key=lambda gift: (gift[0].rank, gift[1] is None, gift[1] or at), default=None)

    def _accept(self, earned: Level | None, figures: Figures) -> None:
        """Hold the best level that was given, while it lasts, unless one as good is held or earned."""
        gift = self._gift(self.now)
        if gift is None:
            return
        level, ends_at = gift
        if level.rank <= _rank(earned) or level.rank < self.member.tier_rank or self._holds(level):
            return
        at, reason = self.at, self.reason
        if self.moves and self.moves[-1].kind == "downgraded":
            # It has not fallen as far as that.
            fall = self.moves.pop()
            at, reason, self.member.tier = fall.at, fall.reason, fall.from_tier
            self.member.tier_rank = _rank(self.ladder.named(fall.from_tier))
        self._begin(level, self._first_day(self.now), self.now)
        self.terms.ends_at, self.terms.is_given = ends_at, True
        self._put(level, at, reason, figures)

    def _holds(self, level: Level) -> bool:
        """Say whether the member holds a level on terms of its own that last."""
        terms = self.terms
        if self.member.tier != level.name or (terms.ends_at is not None and terms.ends_at <= self.now):
            return False
        return terms.is_given or not self._is_unjustified(level)

    def _settle(self, level: Level | None, figures: Figures) -> None:
        """Put the member into a level and begin its period."""
        self._renew(level, self.now)
        self._put(level, self.at, self.reason, figures)

    def _apply_new_table(self, held: Level, earned: Level | None, figures: Figures) -> None:
        """Judge a tier that the new table still has: what was promised until a date holds until then."""
        terms, period = self.terms, self.policy.period
        if period.kind == "none":
            terms.ends_at = None
        if terms.is_given or terms.ends_at is not None:
            terms.is_given = terms.is_given or self._is_unjustified(held)
            if terms.ends_at is None and not self.ladder.is_free(held):
                terms.ends_at = self._end_of_period(self.now)
            return
        target = held if _rank(earned) >= held.rank else self._fallen(held, earned)
        if target is held and terms.falls_at is not None:
            self._retain(figures)
        self._renew(target, self.now)
        terms.is_given = _rank(target) > _rank(earned)
        if target is not held:
            self._put(target, self.at, self.reason, figures)

    def _is_unjustified(self, held: Level) -> bool:
        return _rank(self.ladder.earned(self.facts.between(self.terms.counts_from))) < held.rank

    def _justify(self) -> None:
        """Take a tier back whose ground a refund took away, after the grace; or let it be."""
        terms, grace_days = self.terms, self.policy.refund_grace_days
        held = self.ladder.named(self.member.tier)
        if held is None:
            return
        figures = self.facts.between(terms.counts_from)
        if terms.is_given:
            if terms.falls_reason == "refund":
                self._retain(figures)
            return
        justified = self.ladder.earned(figures)
        if _rank(justified) >= held.rank or grace_days is None:
            if terms.falls_reason == "refund":
                self._retain(figures)
            return
        target = self._floored(justified)
        if target is held:
            if terms.falls_reason == "refund":
                self._retain(figures)
            return
        falls_at = terms.falls_at if terms.falls_reason == "refund" else None
        if falls_at is None and grace_days:
            falls_at = self.ladder.start_of(self.ladder.day_of(self.now) + timedelta(days=grace_days + 1))
        if falls_at is None or falls_at <= self.now:
            if target is None or self.ladder.is_free(target):
                terms.clear()
            terms.falls_at = terms.falls_reason = None
            reason = self.reason if falls_at is None else "refund"
            self._put(target, self.at if falls_at is None else falls_at, reason, figures)
        else:
            self._announce(target, falls_at, "refund", figures)

    def _end_periods(self) -> None:
        """Prolong or lower the tier for every period that is over by now."""
        terms, ladder = self.terms, self.ladder
        while terms.ends_at is not None and terms.ends_at <= self.now:
            held = ladder.named(self.member.tier)
            if held is None:
                terms.clear()
                return
            end_day = ladder.day_of(terms.ends_at)
            first = self.policy.window.first_day_of_period(end_day)
            grace_day = end_day + timedelta(days=self.policy.grace_days)
            figures = self.facts.between(first, grace_day)
            earned = ladder.earned(figures)
            target = held if _rank(earned) >= held.rank else self._fallen(held, earned)
            falls_at = ladder.start_of(grace_day)
            if target is held:
                reason = "earned" if _rank(earned) >= held.rank else self._why_kept()
                self._prolong(held, first, terms.ends_at, reason, figures)
            elif self.now < falls_at:
                self._announce(target, falls_at, "period_end", figures)
                return
            else:
                self._begin(target, first, falls_at)
                # One level at a time leaves a member above what is earned, until the next end.
                self.terms.is_given = _rank(target) > _rank(earned)
                self._put(target, falls_at, "period_end", figures)

    def _why_kept(self) -> str:
        return "no_downgrade" if self.policy.downgrade == "none" else "floor"

    def _fallen(self, held: Level, earned: Level | None) -> Level | None:
        """The level that a member falls to from `held` by the table's mode, at most to what is earned."""
        match self.policy.downgrade:
            case "none":
                return held
            case "one_level":
                below = self.ladder.below(held)
                earned = below if _rank(below) > _rank(earned) else earned
        return self._floored(earned)

    def _floored(self, level: Level | None) -> Level | None:
        """The level, or the floor if the member has reached that once and the level lies below it."""
        floor = self.ladder.floor_rank
        if self.member.tier_rank >= floor > _rank(level):
            return self.ladder.named(self.policy.floor)
        return level

    def _end_of_period(self, begins_at: datetime) -> datetime | None:
        ends_on = self.policy.period.ends_on(self.ladder.day_of(begins_at))
        return None if ends_on is None else self.ladder.start_of(ends_on)

    def _renew(self, level: Level | None, begins_at: datetime) -> None:
        """Begin a period of a level that is held from now on."""
        self._begin(level, self._first_day(begins_at), begins_at)

    def _begin(self, level: Level | None, counts_from: date | None, begins_at: datetime) -> None:
        terms = self.terms
        terms.clear()
        if level is not None and not self.ladder.is_free(level):
            terms.counts_from = counts_from
            terms.ends_at = self._end_of_period(begins_at)

    def _prolong(
        self, held: Level, first: date | None, ended_at: datetime, reason: str, figures: Figures
    ) -> None:
        self._begin(held, first, ended_at)
        # Kept without being earned, it is not taken back for not being earned either.
        self.terms.is_given = reason != "earned"
        if self.moves and self.moves[-1].kind == "prolonged":
            # Nobody wants to hear of periods that were over before anybody looked.
            self.moves.pop()
        self._say("prolonged", held.name, held.name, ended_at, reason, figures, self.terms.ends_at)

    def _announce(self, target: Level | None, falls_at: datetime, reason: str, figures: Figures) -> None:
        terms = self.terms
        if (terms.falls_at, terms.falls_reason) == (falls_at, reason):
            return
        terms.falls_at, terms.falls_reason = falls_at, reason
        gift = self._gift(falls_at)
        if gift is not None and gift[0].rank > _rank(target):
            target = gift[0]
        to_tier = None if target is None else target.name
        self._say("at_risk", self.member.tier, to_tier, self.now, reason, figures, falls_at)

    def _retain(self, figures: Figures) -> None:
        terms, tier = self.terms, self.member.tier
        terms.falls_at = terms.falls_reason = None
        self._say("retained", tier, tier, self.at, self.reason, figures, terms.ends_at)

    def _put(
        self,
        level: Level | None,
        at: datetime,
        reason: str,
        figures: Figures,
        *,
        until: datetime | None = None,
    ) -> None:
        """Make a level the member's tier; say so if the rank is another one than before.

        `until` is when a lock ends, under which the tier has no period of its own.
        """
        member = self.member
        before, rank_before = member.tier, member.tier_rank
        name, rank = (None, -1) if level is None else (level.name, level.rank)
        if (name, rank) == (before, rank_before):
            return
        member.tier, member.tier_rank = name, rank
        member.is_changed = member.has_new_profile = True
        if rank == rank_before:
            return
        changed_at = max(at, member.tier_changed_at or at)
        member.tier_changed_at = changed_at
        kind = "upgraded" if rank > rank_before else "downgraded"
        ends_at = until if self.terms.lock is not None else self.terms.ends_at
        self._say(kind, before, name, changed_at, reason, figures, ends_at)

    def _say(
        self,
        kind: str,
        from_tier: str | None,
        to_tier: str | None,
        at: datetime,
        reason: str,
        figures: Figures,
        until: datetime | None,
    ) -> None:
        self.moves.append(Move(self.member.id, kind, from_tier, to_tier, at, reason, figures, until))


def _rank(level: Level | None) -> int:
    return -1 if level is None else level.rank
