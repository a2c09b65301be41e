"""A member's place in the tiers as it was, to be given back when a merge is undone."""

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

from services.members.domain.people import Member
from services.members.domain.standing.judgement import Move
from services.members.domain.tiers import Figures

__all__ = ["restore_tier", "tier_state"]


def tier_state(member: Member) -> dict[str, Any]:
    """What holds of a member's tier now, as JSON knows it; but for a lock, which holds whoever one is."""
    terms, changed_at = member.terms, member.tier_changed_at
    return {
        "tier": member.tier,
        "tier_rank": member.tier_rank,
        "tier_version": member.tier_version,
        "tier_changed_at": _text(changed_at),
        "counts_from": _text(terms.counts_from),
        "ends_at": _text(terms.ends_at),
        "is_given": terms.is_given,
    }


def restore_tier(member: Member, state: Mapping[str, Any], at: datetime, reason: str) -> Move | None:
    """Give a member the tier state back that it had; return the move at `at` if the rank changes by that."""
    before, rank_before = member.tier, member.tier_rank
    member.tier, member.tier_rank = state["tier"], state["tier_rank"]
    member.tier_version = state["tier_version"]
    member.tier_changed_at = _instant(state["tier_changed_at"])
    terms, counts_from = member.terms, state.get("counts_from")
    terms.clear()
    terms.counts_from = None if counts_from is None else date.fromisoformat(counts_from)
    terms.ends_at = _instant(state.get("ends_at"))
    terms.is_given = state.get("is_given", False)
    member.is_changed = member.has_new_profile = True
    if member.tier_rank == rank_before:
        return None
    kind = "upgraded" if member.tier_rank > rank_before else "downgraded"
    figures = Figures(member.person_spend_minor, member.person_purchases)
    return Move(member.id, kind, before, member.tier, at, reason, figures, terms.ends_at)


def _text(when: date | None) -> str | None:
    return None if when is None else when.isoformat()


def _instant(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
