"""Members, their tiers, stages, tags and consents as facts."""

from datetime import datetime

from services.analytics.domain import Alias, Batch, EventFact, ShopDays
from services.analytics.handlers.facts import Translations, fact
from shared.events import (
    ConsentWithdrawn,
    Envelope,
    Event,
    MemberConsentChanged,
    MemberCreated,
    MemberErased,
    MemberMerged,
    MemberStageChanged,
    MemberTagged,
    MemberTierAtRisk,
    MemberTierDowngraded,
    MemberTierProlonged,
    MemberTierRetained,
    MemberTierUpgraded,
    MemberUnmerged,
    MemberUntagged,
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


def _prolonged(envelope: Envelope[Event], data: MemberTierProlonged, days: ShopDays) -> EventFact:
    return fact(
        envelope,
        derived_id("tier-prolonged", str(data.member_id), data.prolonged_at.isoformat(), data.tier),
        data.prolonged_at,
        days,
        member_id=data.member_id,
        label=data.tier,
        detail={"reason": data.reason},
    )


def _at_risk(envelope: Envelope[Event], data: MemberTierAtRisk, days: ShopDays) -> EventFact:
    falls_at = data.falls_at.isoformat()
    return fact(
        envelope,
        derived_id("tier-at-risk", str(data.member_id), data.announced_at.isoformat(), falls_at),
        data.announced_at,
        days,
        member_id=data.member_id,
        label=data.tier,
        detail={"to_tier": data.to_tier, "falls_at": falls_at, "reason": data.reason},
    )


def _retained(envelope: Envelope[Event], data: MemberTierRetained, days: ShopDays) -> EventFact:
    return fact(
        envelope,
        derived_id("tier-retained", str(data.member_id), data.retained_at.isoformat(), data.tier),
        data.retained_at,
        days,
        member_id=data.member_id,
        label=data.tier,
    )


def _stage(envelope: Envelope[Event], data: MemberStageChanged, days: ShopDays) -> EventFact:
    judged_at = data.judged_at.isoformat()
    # A stage may be left and come back to with the same beginning, when a purchase is called off and another
    # found: only the judgement tells the two apart.
    return fact(
        envelope,
        derived_id("stage", str(data.member_id), judged_at, data.to_stage),
        data.changed_at,
        days,
        member_id=data.member_id,
        label=data.to_stage,
        detail={"from_stage": data.from_stage, "judged_at": judged_at, "reason": data.reason},
    )


def _tags(envelope: Envelope[Event], data: MemberTagged | MemberUntagged, days: ShopDays) -> EventFact:
    return fact(
        envelope,
        derived_id("tags", str(data.member_id), data.at.isoformat(), data.tag_source, *sorted(data.tags)),
        data.at,
        days,
        member_id=data.member_id,
        label=data.tag_source,
        amount=len(data.tags),
    )


def _consent(envelope: Envelope[Event], data: MemberConsentChanged, days: ShopDays) -> EventFact:
    about = (data.channel, data.purpose, "yes" if data.granted else "no")
    return fact(
        envelope,
        derived_id("consent", str(data.member_id), *about, data.changed_at.isoformat()),
        data.changed_at,
        days,
        member_id=data.member_id,
        label=about[2],
        detail={"channel": data.channel, "purpose": data.purpose, "source": data.source},
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
    MemberTierProlonged: _prolonged,
    MemberTierAtRisk: _at_risk,
    MemberTierRetained: _retained,
    MemberStageChanged: _stage,
    MemberTagged: _tags,
    MemberUntagged: _tags,
    MemberConsentChanged: _consent,
    ConsentWithdrawn: _said_no,
}
