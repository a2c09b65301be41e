"""Tiers by spend."""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from services.members.domain.people import Member

__all__ = ["Ladder", "Level", "Move", "judge", "restore_tier", "tier_state"]


@dataclass(frozen=True, slots=True)
class Level:
    """A tier: reached at a spend (minor units of the program's currency), the higher rank the better."""

    name: str
    rank: int
    min_spend_minor: int
    benefits: Mapping[str, Any] = field(default_factory=dict)


class Ladder:
    """One version of the tier table: levels whose ranks rise with their spend."""

    def __init__(self, version: int, levels: Sequence[Level]) -> None:
        self.version = version
        self.levels = sorted(levels, key=lambda level: level.min_spend_minor)
        self._thresholds = [level.min_spend_minor for level in self.levels]
        ranks = [level.rank for level in self.levels]
        if ranks != sorted(set(ranks)) or len(set(self._thresholds)) != len(self.levels):
            raise ValueError("ranks must rise with the spend, each level above the one before")

    def earned(self, spend_minor: int) -> Level | None:
        """The highest level that a spend reaches, None below the first."""
        position = bisect_right(self._thresholds, spend_minor)
        return self.levels[position - 1] if position else None


@dataclass(frozen=True, slots=True)
class Move:
    """A member's change of tier."""

    member_id: UUID
    from_tier: str | None
    to_tier: str | None
    is_upgrade: bool
    changed_at: datetime
    spend_minor: int


def judge(member: Member, ladder: Ladder, at: datetime) -> Move | None:
    """Put a member into the tier that the spend earns; return the move if the rank changed.

    `at` is when what changed the spend happened. A tier never changes before its last change, so a late
    order moves it at that instant.
    """
    level = ladder.earned(member.person_spend_minor)
    name, rank = (level.name, level.rank) if level else (None, -1)
    before, rank_before = member.tier, member.tier_rank
    if member.tier_version != ladder.version:
        member.tier_version = ladder.version
        member.is_changed = True
    if (name, rank) == (before, rank_before):
        return None
    member.tier, member.tier_rank = name, rank
    member.is_changed = member.has_new_profile = True
    if rank == rank_before:
        return None
    changed_at = max(at, member.tier_changed_at or at)
    member.tier_changed_at = changed_at
    return Move(member.id, before, name, rank > rank_before, changed_at, member.person_spend_minor)


# What judging leaves behind on a member, and what a merge that is undone gives back.
TIER_STATE = ("tier", "tier_rank", "tier_version")


def tier_state(member: Member) -> dict[str, Any]:
    """What holds of a member's tier now, as JSON knows it."""
    changed_at = member.tier_changed_at
    return {
        **{name: getattr(member, name) for name in TIER_STATE},
        "tier_changed_at": None if changed_at is None else changed_at.isoformat(),
    }


def restore_tier(member: Member, state: Mapping[str, Any], at: datetime) -> Move | None:
    """Give a member the tier state back that it had; return the move at `at` if the rank changes by that."""
    before, rank_before = member.tier, member.tier_rank
    for name in TIER_STATE:
        setattr(member, name, state[name])
    changed_at = state["tier_changed_at"]
    member.tier_changed_at = None if changed_at is None else datetime.fromisoformat(changed_at)
    member.is_changed = member.has_new_profile = True
    if member.tier_rank == rank_before:
        return None
    is_upgrade = member.tier_rank > rank_before
    return Move(member.id, before, member.tier, is_upgrade, at, member.person_spend_minor)
