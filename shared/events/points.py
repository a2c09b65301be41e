"""Movements of points in the ledger, and the rewards granted for them."""

from typing import Annotated
from uuid import UUID

from shared.events.base import Event
from shared.events.fields import (
    Bigint,
    Code,
    Currency,
    Identifier,
    Instant,
    MemberId,
    Natural,
    Positive,
    Sentence,
    Title,
    says,
)

EntryId = Annotated[UUID, says("The ledger entry.")]
AboutOrder = Annotated[UUID | None, says("The order that it is about.")]
Balance = Annotated[
    Bigint, says("Available points of the member after the entry; negative if the policy allows debt.")
]
HoldId = Annotated[UUID, says("The hold.")]
RedemptionId = Annotated[UUID, says("The redemption.")]
RewardId = Annotated[UUID, says("The reward in the catalogue.")]
RewardKind = Annotated[Code, says("What the reward is: `coupon`, `free_shipping`, `tier_upgrade`, `goods`…")]


class AboutRedemption(Event):
    """Which redemption it is, whose and of what, as every event of a redemption says first."""

    member_id: MemberId
    redemption_id: RedemptionId
    reward_id: RewardId
    reward_kind: RewardKind


class AboutEntry(Event):
    """Which entry of the ledger it is and whose, as most movements say first."""

    member_id: MemberId
    entry_id: EntryId


class PointsEarned(AboutEntry, type="points.earned", topic="points", key="member_id"):
    """A member earned points and a lot was opened for them.

    Stated by: points.
    Heard by: members, messaging, analytics.
    """

    order_id: AboutOrder = None
    points: Annotated[Natural, says("Points earned.")]
    expires_at: Annotated[Instant | None, says("When what is left of the lot expires; none is never.")] = None
    matures_at: Annotated[Instant | None, says("When the points can be spent; none is at once.")] = None
    uncapped_points: Annotated[
        Natural | None, says("What the rule gave before a cap cut it; none if no cap did.")
    ] = None
    reason: Annotated[Sentence, says("Why the points were given.")]
    rule_version: Annotated[Natural, says("Version of the rules that decided.")]
    earned_at: Annotated[Instant, says("When the points were earned, by the order's own time.")]
    order_currency: Annotated[Currency | None, says("Currency of the order.")] = None
    balance_points: Balance


class PointsAdjusted(AboutEntry, type="points.adjusted", topic="points", key="member_id"):
    """Somebody moved points of a member by hand.

    Stated by: points.
    Heard by: messaging, analytics.
    """

    adjustment_id: Annotated[UUID, says("The adjustment, with who asked for it and who approved.")]
    points: Annotated[Bigint, says("What the member got; negative if they gave.")]
    reason: Annotated[Sentence, says("Why, as the member may read it.")]
    expires_at: Annotated[Instant | None, says("When given points expire; none is never.")] = None
    adjusted_at: Annotated[Instant, says("When they were moved.")]
    balance_points: Balance


class PointsOpened(AboutEntry, type="points.opened", topic="points", key="member_id"):
    """A member brought along points from another system.

    Stated by: points.
    Heard by: messaging, analytics.
    """

    source: Annotated[Identifier, says("The system that they come from.")]
    points: Annotated[Positive, says("Points brought along.")]
    expires_at: Annotated[Instant | None, says("When what is left of them expires; none is never.")] = None
    reason: Annotated[Sentence, says("Why the points were given.")]
    earned_at: Annotated[Instant, says("When they were earned there.")]
    balance_points: Balance


class PointsClawedBack(AboutEntry, type="points.clawed_back", topic="points", key="member_id"):
    """Points that a refunded order had earned were taken back.

    Stated by: points.
    Heard by: members, messaging, analytics.
    """

    order_id: Annotated[UUID, says("The refunded order.")]
    refund_id: Annotated[Identifier, says("The refund, as the source names it.")]
    points: Annotated[Natural, says("Points taken back.")]
    debt_points: Annotated[Natural, says("Part of them that the member no longer had and now owes.")] = 0
    clawed_back_at: Annotated[Instant, says("When they were taken back.")]
    balance_points: Balance


class PointsRedeemed(AboutRedemption, type="points.redeemed", topic="points", key="member_id"):
    """A member spent points on a reward.

    Stated by: points.
    Heard by: messaging, analytics.
    """

    points: Annotated[Natural, says("Points spent.")]
    order_id: AboutOrder = None
    redeemed_at: Annotated[Instant, says("When they were spent.")]
    balance_points: Balance


class PointsExpired(AboutEntry, type="points.expired", topic="points", key="member_id"):
    """Lots of a member passed their date and what was left of them is gone.

    Stated by: points.
    Heard by: messaging, analytics.
    """

    points: Annotated[Natural, says("Points that expired.")]
    lots: Annotated[Positive, says("How many lots they were in.")]
    expired_at: Annotated[Instant, says("When they expired.")]
    balance_points: Balance


class PointsForfeited(AboutEntry, type="points.forfeited", topic="points", key="member_id"):
    """Points of a member are gone for good without having been spent or passed their date.

    Stated by: points.
    Heard by: analytics.
    """

    points: Annotated[Natural, says("Points that are gone.")]
    reason: Annotated[Code, says("Why, such as `member_erased`.")]
    forfeited_at: Annotated[Instant, says("When they went.")]
    balance_points: Balance


class PointsMatured(Event, type="points.matured", topic="points", key="member_id"):
    """Pending points of a member can be spent from now on.

    Stated by: points.
    Heard by: messaging, analytics.
    """

    member_id: MemberId
    points: Annotated[Natural, says("Points that matured.")]
    matured_at: Annotated[Instant, says("When they matured.")]
    balance_points: Balance


class PointsHeld(Event, type="points.held", topic="points", key="member_id"):
    """Points were promised to a purchase that is under way: nothing else can spend them.

    Stated by: points.
    Heard by: analytics.
    """

    member_id: MemberId
    hold_id: HoldId
    points: Annotated[Natural, says("Points held.")]
    order_id: AboutOrder = None
    reason: Annotated[Sentence, says("What they are held for.")]
    held_at: Annotated[Instant, says("When they were held.")]
    expires_at: Annotated[Instant, says("When they are released unless they are captured before.")]
    balance_points: Balance


class PointsReleased(Event, type="points.released", topic="points", key="member_id"):
    """Held points were released without being spent. Those past their date expire at once, which is said too.

    Stated by: points.
    Heard by: analytics.
    """

    member_id: MemberId
    hold_id: HoldId
    points: Annotated[Natural, says("Points released.")]
    order_id: AboutOrder = None
    reason: Annotated[
        Code, says("Why: `voided`, `expired`, or `captured` for what a capture of a part left over.")
    ]
    released_at: Annotated[Instant, says("When they were released.")]
    balance_points: Balance


class PointsCaptured(Event, type="points.captured", topic="points", key="member_id"):
    """Held points were spent.

    Stated by: points.
    Heard by: analytics.
    """

    member_id: MemberId
    hold_id: HoldId
    entry_id: EntryId
    points: Annotated[Natural, says("Points spent.")]
    order_id: AboutOrder = None
    reason: Annotated[Sentence, says("What they were spent on.")]
    captured_at: Annotated[Instant, says("When they were spent.")]
    balance_points: Balance


class PointsReturned(AboutEntry, type="points.returned", topic="points", key="member_id"):
    """Spent points went back to the lots that they came from, with the dates that those had.

    Stated by: points.
    Heard by: messaging, analytics.
    """

    reversed_entry_id: Annotated[UUID, says("The entry that had taken the points.")]
    points: Annotated[Natural, says("Points returned.")]
    order_id: AboutOrder = None
    reason: Annotated[Sentence, says("Why they were returned.")]
    returned_at: Annotated[Instant, says("When they were returned.")]
    balance_points: Balance


class PointsTransferred(Event, type="points.transferred", topic="points", key="member_id"):
    """Points went from one member to another; each of the two has such an event.

    Stated by: points.
    Heard by: messaging, analytics.
    """

    member_id: MemberId
    transfer_id: Annotated[UUID, says("The transfer, the same for both members.")]
    entry_id: EntryId
    other_id: Annotated[UUID, says("The member on the other side.")]
    points: Annotated[Bigint, says("What this member got; negative if they gave.")]
    reason: Annotated[Sentence, says("Why.")]
    transferred_at: Annotated[Instant, says("When.")]
    balance_points: Balance


class RewardGranted(AboutRedemption, type="reward.granted", topic="points", key="member_id"):
    """A redemption went through: whoever delivers the reward should now do so.

    Stated by: points.
    Heard by: members, campaigns, messaging, analytics.
    """

    reference: Annotated[
        Identifier | None, says("What to deliver, such as the promotion that a coupon is issued of.")
    ] = None
    cost_minor: Annotated[Natural | None, says("What the reward costs the seller, in minor units.")] = None
    currency: Annotated[Currency | None, says("Currency of the cost.")] = None
    order_id: Annotated[UUID | None, says("The order that it is for, such as one shipped for free.")] = None
    draw_id: Annotated[UUID | None, says("The draw that won it; none if it was bought.")] = None
    granted_at: Annotated[Instant, says("When the reward was granted.")]


class RewardCancelled(AboutRedemption, type="reward.cancelled", topic="points", key="member_id"):
    """A redemption came to nothing, and the points are back in the lots that they were taken from.

    Whoever was told by `reward.granted` to deliver should no longer do so.

    Stated by: points.
    Heard by: messaging, analytics.
    """

    order_id: AboutOrder = None
    status: Annotated[
        Code,
        says("`declined` by the service that should deliver, or `cancelled` by member, seller or order."),
    ]
    reason: Annotated[Sentence, says("Why, such as `order_cancelled` or `unknown_promotion`.")]
    points: Annotated[Natural, says("Points given back; 0 for a prize, which cost none.")]
    cancelled_at: Annotated[Instant, says("When the points came back.")]
    balance_points: Balance


class RewardFulfilmentChanged(
    AboutRedemption, type="reward.fulfilment_changed", topic="points", key="member_id"
):
    """Goods or a gift bought with points went a step on their way to the member.

    Stated by: points.
    Heard by: messaging, analytics.
    """

    reference: Annotated[Identifier | None, says("The SKU, as the reward names it.")] = None
    step: Annotated[Code, says("`packed`, `shipped`, `delivered` or `cancelled`.")]
    tracking: Annotated[Identifier | None, says("The parcel, as whoever carries it names it.")] = None
    changed_at: Annotated[Instant, says("When it was reported.")]


class LotteryDrawn(Event, type="lottery.drawn", topic="points", key="member_id"):
    """A member drew a lot and paid for it; what it won is granted in the same moment.

    Stated by: points.
    Heard by: messaging, analytics.
    """

    member_id: MemberId
    draw_id: Annotated[UUID, says("The draw, which is a redemption of the lottery too.")]
    lottery_id: Annotated[UUID, says("The lottery: a reward in the catalogue.")]
    round_number: Annotated[Positive, says("The round, whose seed is revealed when it is over.")]
    outcome: Annotated[Code, says("`won`, `nothing`, or `exhausted` if the prize it hit was gone.")]
    prize_number: Annotated[Positive, says("The line of the odds that the draw hit.")]
    prize_name: Annotated[Title, says("What that line is called.")]
    points_won: Annotated[Natural, says("Points won; 0 if the prize is something else.")] = 0
    redemption_id: Annotated[UUID | None, says("The redemption that grants the reward it won.")] = None
    cost_points: Annotated[Natural, says("Points that the draw cost.")]
    receipt: Annotated[Identifier, says("SHA-256 of the record of the draw, to verify it by.")]
    drawn_at: Annotated[Instant, says("When it was drawn.")]
