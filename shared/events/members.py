"""Members: who they are, what tier they hold, what they agreed to; and the one topic with personal data."""

from datetime import date
from typing import Annotated, Any
from uuid import UUID

from msgspec import Meta, Struct, field

from shared.events.base import Event
from shared.events.fields import (
    MAX_ADDRESS,
    MAX_TAGS,
    Bigint,
    Code,
    Country,
    Identifier,
    Instant,
    MemberId,
    Natural,
    Positive,
    Sentence,
    Source,
    Title,
    says,
)

Channel = Annotated[Code, says("The channel, such as `email`.")]
Purpose = Annotated[Code, says("What the consent is for, such as `marketing`.")]
Tags = Annotated[list[Code], Meta(max_length=MAX_TAGS)]
WindowSpend = Annotated[Bigint | None, says("Spend in the qualifying window at that time, in minor units.")]
Until = Annotated[Instant | None, says("When the tier's period ends; none if it has none.")]
Multiplier = Annotated[Positive | None, says("What the tier makes of points earned; none is 100.")]


class MemberCreated(Event, type="member.created", topic="members", key="member_id"):
    """A customer was seen for the first time and became a member.

    Stated by: members.
    Heard by: points, messaging, analytics.
    """

    member_id: MemberId
    source: Source
    external_id: Annotated[Identifier, says("The customer, as the source names them.")]
    created_at: Annotated[Instant, says("When the member joined.")]
    tier: Annotated[Code | None, says("The tier that everybody joins in; none if each has to be earned.")] = (
        None
    )
    points_multiplier_percent: Multiplier = None


class MemberTierUpgraded(Event, type="member.tier_upgraded", topic="members", key="member_id"):
    """A member reached a higher tier.

    Stated by: members.
    Heard by: points, messaging, analytics.
    """

    member_id: MemberId
    from_tier: Annotated[Code | None, says("The tier before; none for the first.")] = None
    to_tier: Annotated[Code, says("The tier from now on.")]
    changed_at: Annotated[Instant, says("When the tier changed.")]
    reason: Annotated[Sentence, says("What decided it, such as `spend`.")]
    window_spend_minor: WindowSpend = None
    until: Until = None
    points_multiplier_percent: Multiplier = None
    redemption_id: Annotated[
        UUID | None, says("The redemption that paid for the tier, if it was bought with points.")
    ] = None


class MemberTierDowngraded(Event, type="member.tier_downgraded", topic="members", key="member_id"):
    """A member fell to a lower tier, or to none.

    Stated by: members.
    Heard by: points, messaging, analytics.
    """

    member_id: MemberId
    from_tier: Annotated[Code | None, says("The tier before.")] = None
    to_tier: Annotated[Code | None, says("The tier from now on; none if the member holds no tier.")] = None
    changed_at: Annotated[Instant, says("When the tier changed.")]
    reason: Annotated[Sentence, says("What decided it, such as `refund`.")]
    window_spend_minor: WindowSpend = None
    until: Until = None
    points_multiplier_percent: Multiplier = None


class MemberTierProlonged(Event, type="member.tier_prolonged", topic="members", key="member_id"):
    """The period of a member's tier ended and a new one began in the same tier.

    Stated by: members.
    Heard by: messaging, analytics.
    """

    member_id: MemberId
    tier: Annotated[Code, says("The tier that the member keeps.")]
    prolonged_at: Annotated[Instant, says("When the old period ended and the new one began.")]
    until: Annotated[Instant | None, says("When the new period ends; none if it has no end.")] = None
    reason: Annotated[Sentence, says("Why it was kept: `earned`, `floor`, or `no_downgrade`.")]


class MemberTierAtRisk(Event, type="member.tier_at_risk", topic="members", key="member_id"):
    """A member will lose the tier at a date unless enough is earned until then: the grace is announced.

    Stated by: members.
    Heard by: messaging, analytics.
    """

    member_id: MemberId
    tier: Annotated[Code, says("The tier that the member still holds.")]
    to_tier: Annotated[Code | None, says("The tier that the member would fall to; none if to none.")] = None
    falls_at: Annotated[Instant, says("When the tier is lost if nothing is earned until then.")]
    reason: Annotated[Sentence, says("What put it at risk: `refund`, or `period_end`.")]
    announced_at: Annotated[Instant, says("When this was decided.")]


class MemberTierRetained(Event, type="member.tier_retained", topic="members", key="member_id"):
    """What was announced by `member.tier_at_risk` is off: enough was earned within the grace.

    Stated by: members.
    Heard by: messaging, analytics.
    """

    member_id: MemberId
    tier: Annotated[Code, says("The tier that the member keeps.")]
    retained_at: Annotated[Instant, says("When that was decided.")]
    until: Until = None


class MemberTierRedefined(Event, type="member.tier_redefined", topic="members", key="member_id"):
    """A new tier table calls the tier that a member holds otherwise, or makes something else of points in it.

    Stated by: members.
    Heard by: points.
    """

    member_id: MemberId
    tier: Annotated[Code, says("The tier that the member holds, as it is called from now on.")]
    redefined_at: Annotated[Instant, says("When the member was judged by the new table.")]
    points_multiplier_percent: Multiplier = None


class MemberTierPurchaseDeclined(
    Event, type="member.tier_purchase_declined", topic="members", key="member_id"
):
    """A tier that was paid for in points could not be given: whoever took the points gives them back.

    Stated by: members.
    Heard by: points.
    """

    member_id: MemberId
    redemption_id: Annotated[UUID, says("The redemption that paid for the tier.")]
    tier: Annotated[Identifier | None, says("The tier that was asked for, as the reward names it.")] = None
    reason: Annotated[
        Code, says("`unknown_tier`, `not_higher`, `tier_locked`, `unknown_member` or `no_tier_named`.")
    ]
    declined_at: Annotated[Instant, says("When it was declined.")]


class MemberStageChanged(Event, type="member.stage_changed", topic="members", key="member_id"):
    """A member came into another stage of the customer lifecycle, in either direction.

    Stages: `identification`, `development`, `stability`, `decline`, `recovered`, `lost`. Everybody begins in
    the first, without an event.

    Stated by: members.
    Heard by: messaging, analytics.
    """

    member_id: MemberId
    from_stage: Annotated[Code, says("The stage that was last said.")]
    to_stage: Annotated[Code, says("The stage from now on.")]
    changed_at: Annotated[Instant, says("Since when, by the orders' own times.")]
    judged_at: Annotated[Instant, says("When it was found out.")]
    reason: Annotated[Code, says("What decided it: `purchase`, `recency`, `history` or `rules`.")]
    purchases: Annotated[Natural, says("Paid orders that were not called off or refunded whole.")]
    recency_days: Annotated[Natural, says("Whole days since the last purchase.")]
    expected_interval_days: Annotated[Natural, says("Days between purchases to expect of this member.")]
    strategy: Annotated[Code | None, says("The strategy configured for the stage.")] = None


class MemberGrouped(Event, type="member.grouped", topic="members", key="member_id"):
    """A member was put into groups that the operator keeps.

    Stated by: members.
    Heard by: points.
    """

    member_id: MemberId
    groups: Annotated[Tags, says("The groups that the member was not in before.")]
    actor: Annotated[Identifier, says("Whose key did it.")]
    at: Annotated[Instant, says("When.")]


class MemberUngrouped(Event, type="member.ungrouped", topic="members", key="member_id"):
    """A member was taken out of groups that the operator keeps.

    Stated by: members.
    Heard by: points.
    """

    member_id: MemberId
    groups: Annotated[Tags, says("The groups that the member is no longer in.")]
    actor: Annotated[Identifier, says("Whose key did it.")]
    at: Annotated[Instant, says("When.")]


class MemberTagged(Event, type="member.tagged", topic="members", key="member_id"):
    """A member was given tags.

    Stated by: members.
    Heard by: points, messaging, analytics.
    """

    member_id: MemberId
    tags: Annotated[Tags, says("The tags that the member did not have before.")]
    tag_source: Annotated[Identifier, says("Who tagged: a person's key, a segment, a rule.")]
    expires_at: Annotated[Instant | None, says("When the tags fall off by themselves.")] = None
    at: Annotated[Instant, says("When the tags were given.")]


class MemberUntagged(Event, type="member.untagged", topic="members", key="member_id"):
    """A member lost tags.

    Stated by: members.
    Heard by: points, messaging, analytics.
    """

    member_id: MemberId
    tags: Annotated[Tags, says("The tags that the member no longer has.")]
    tag_source: Annotated[Identifier, says("Who took them: a person's key, a segment, a rule.")]
    at: Annotated[Instant, says("When the tags were taken.")]


class MemberConsentChanged(Event, type="member.consent_changed", topic="members", key="member_id"):
    """The consent of record of a member for a channel and a purpose changed.

    Stated by: members.
    Heard by: messaging, analytics.
    """

    member_id: MemberId
    channel: Channel
    purpose: Purpose
    granted: Annotated[bool, says("Whether the member agrees now.")]
    wording_hash: Annotated[Identifier | None, says("Hash of the words that the member agreed to.")] = None
    source: Annotated[Code, says("Where it was said, such as `checkout` or `unsubscribe`.")]
    changed_at: Annotated[Instant, says("When it was said.")]


LinkRevision = Annotated[
    Natural,
    says("Counts the merges and unmerges of the merged member; of two, the one with the higher holds."),
]


class MemberMerged(Event, type="member.merged", topic="members", key="surviving_id"):
    """Two members turned out to be one person; the merged id stays an alias of the surviving one.

    Nothing is said anew: orders, refunds and tags go on naming the member that they came under, the merged
    one too, before, during and after. Tier, consent and profile are those of the person, and name the
    survivor. Whoever needs the person follows the aliases, A to B and B to C. These events travel under
    another key than those of the merged member and may come before or after any of them; per merged id the
    highest `revision` holds, whatever came first.

    Stated by: members.
    Heard by: points, campaigns, messaging, analytics.
    """

    surviving_id: Annotated[UUID, says("The member that stays; it may itself be an alias of another later.")]
    merged_id: Annotated[UUID, says("The member that became an alias.")]
    merged_at: Annotated[Instant, says("When they were merged.")]
    revision: LinkRevision = 0


class MemberUnmerged(Event, type="member.unmerged", topic="members", key="surviving_id"):
    """A merge was undone: both members stand for themselves again, each with what came under its own id.

    Stated by: members.
    Heard by: points, campaigns, messaging, analytics.
    """

    surviving_id: Annotated[UUID, says("The member that the other one was an alias of.")]
    merged_id: Annotated[UUID, says("The member that stands for itself again.")]
    unmerged_at: Annotated[Instant, says("When the merge was undone.")]
    revision: LinkRevision = 0


class MemberErased(Event, type="member.erased", topic="members", key="member_id"):
    """A member's personal data is gone; the id stays, so that the books stay balanced.

    Stated by: members.
    Heard by: points, messaging, analytics.
    """

    member_id: MemberId
    erased_at: Annotated[Instant, says("When the data was erased.")]


class MemberBirthday(Event, type="member.birthday", topic="members", key="member_id"):
    """A member's birthday begins; said once per member and birthday year, however often the date is changed.

    29 February is celebrated on the day that the program names in other years. The bounds are those of the
    member's local day, so that nobody has to know the date or the zone to tell what happened on it.

    Stated by: members.
    Heard by: points, messaging.
    """

    member_id: MemberId
    birthday_year: Annotated[int, Meta(ge=1900, le=9999), says("The calendar year of the celebration.")]
    starts_at: Annotated[Instant, says("When the day begins where the member lives.")]
    ends_at: Annotated[Instant, says("When it is over there.")]


class ContactPoint(Struct, frozen=True, kw_only=True):
    """An address at which a member can be reached."""

    channel: Channel
    address: Annotated[str, Meta(min_length=1, max_length=MAX_ADDRESS), says("The address on the channel.")]
    verified: Annotated[bool, says("Whether the member proved that it is theirs.")] = False


class Consent(Struct, frozen=True, kw_only=True):
    """What a member said about being written to on a channel for a purpose."""

    channel: Channel
    purpose: Purpose
    granted: Annotated[bool, says("Whether the member agrees.")]
    changed_at: Annotated[Instant, says("When the member last said so.")]


class MemberProfile(Event, type="member.profile", topic="member-profiles", key="member_id"):
    """The whole profile of a member as it is now; it replaces every earlier one.

    Stated by: members.
    Heard by: messaging.
    """

    member_id: MemberId
    display_name: Annotated[Title | None, says("How to address the member.")] = None
    locale: Annotated[Code | None, says("BCP 47 language tag, such as `pt-BR`.")] = None
    time_zone: Annotated[Code | None, says("IANA time zone, such as `Asia/Shanghai`.")] = None
    country: Annotated[Country | None, says("Country that the member lives in.")] = None
    birthday: Annotated[date | None, says("Date of birth.")] = None
    tier: Annotated[Code | None, says("The tier that the member holds.")] = None
    tags: Annotated[Tags, says("All tags of the member.")] = field(default_factory=list)
    groups: Annotated[Tags, says("The groups that the operator has put the member in.")] = field(
        default_factory=list
    )
    attributes: Annotated[
        dict[str, Any], says("What the operator's own schema knows of the member; personal as all of this.")
    ] = field(default_factory=dict)
    contact_points: Annotated[
        list[ContactPoint], Meta(max_length=MAX_TAGS), says("All addresses of the member.")
    ] = field(default_factory=list)
    consents: Annotated[list[Consent], Meta(max_length=MAX_TAGS), says("All that the member said.")] = field(
        default_factory=list
    )
    updated_at: Annotated[Instant, says("When the profile last changed.")]
    revision: Annotated[Positive, says("Grows with every change; a lower one is old news.")]


class MemberProfileErased(
    Event, type="member.profile_erased", topic="member-profiles", key="member_id", tombstone=True
):
    """The profile of a member is erased; the record has no value, so compaction removes what came before.

    Stated by: members.
    Heard by: messaging.
    """

    member_id: MemberId
