"""Members, their tiers and their consents as facts."""

from datetime import datetime

from services.analytics.domain import Alias, Batch, EventFact, ShopDays
from services.analytics.handlers.facts import Translations, fact
from shared.events import (
    ConsentWithdrawn,
    Envelope,
    Event,
    MemberCreated,
    MemberErased,
    MemberMerged,
    MemberTierDowngraded,
    MemberTierUpgraded,
    MemberUnmerged,
)
from shared.ids import derived_id

__all__ = ["TRANSLATIONS", "merged", "unmerged"]


def _member(envelope: Envelope[Event], data: MemberCreated, days: ShopDays) -> EventFact:
    return fact(envelope, data.member_id, data.created_at, days, member_id=data.member_id, label=data.source)


def _erased(envelope: Envelope[Event], data: MemberErased, days: ShopDays) -> EventFact:
    return fact(envelope, data.member_id, data.erased_at, days, member_id=data.member_id)


def _tier(
    envelope: Envelope[Event],
    data: MemberTierUpgraded | MemberTierDowngraded,
    days: ShopDays,
) -> EventFact:
    return fact(
        envelope,
        derived_id("tier", str(data.member_id), data.changed_at.isoformat(), data.to_tier or ""),
        data.changed_at,
        days,
        member_id=data.member_id,
        label=data.to_tier or "",
        detail={"from_tier": data.from_tier},
    )


def merged(batch: Batch, envelope: Envelope[Event], data: MemberMerged, days: ShopDays) -> None:
    """Add a merge, as a fact and as an alias."""
    batch.events.append(_merge_fact("merge", envelope, data, data.merged_at, days))
    batch.aliases.append(Alias(data.merged_id, data.surviving_id, data.revision, data.merged_at, envelope.id))


def unmerged(batch: Batch, envelope: Envelope[Event], data: MemberUnmerged, days: ShopDays) -> None:
    """Add the end of a merge, as a fact and as an alias of nobody."""
    batch.events.append(_merge_fact("unmerge", envelope, data, data.unmerged_at, days))
    batch.aliases.append(Alias(data.merged_id, None, data.revision, data.unmerged_at, envelope.id))


def _merge_fact(
    kind: str, envelope: Envelope[Event], data: MemberMerged | MemberUnmerged, at: datetime, days: ShopDays
) -> EventFact:
    return fact(
        envelope,
        derived_id(kind, str(data.merged_id), str(data.surviving_id), at.isoformat()),
        at,
        days,
        member_id=data.surviving_id,
        detail={"merged_id": str(data.merged_id)},
    )


def _said_no(envelope: Envelope[Event], data: ConsentWithdrawn, days: ShopDays) -> EventFact:
    key = derived_id("withdrawal", str(data.member_id), data.channel, data.purpose, data.at.isoformat())
    return fact(envelope, key, data.at, days, member_id=data.member_id, label=data.channel)


TRANSLATIONS: Translations = {
    MemberCreated: _member,
    MemberErased: _erased,
    MemberTierUpgraded: _tier,
    MemberTierDowngraded: _tier,
    ConsentWithdrawn: _said_no,
}
