"""What points hear: orders that are paid earn, orders that are refunded give back, members hold tiers.

`order.cancelled` takes nothing back: calling an order off moves no money, and what was paid for it comes back
as `order.refunded`. What members spent or held for the order is theirs again. `order.delivered` lets points
mature that a rule has wait for it.
Orders that are placed are shipped for free where the member chose so; orders that are called off undo that,
and so do orders that are refunded whole. Whoever delivers a reward says whether it could.
"""

from collections.abc import Collection, Sequence

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from services.points import operations
from services.points.operations import (
    BirthdayRow,
    CalledOff,
    Cancel,
    Decline,
    Delivered,
    Earn,
    Joined,
    LabelRow,
    Link,
    Placed,
    Refund,
    TierAnswer,
    TierMove,
    TierRow,
)
from shared.consumer import Handlers
from shared.events import (
    CouponDeclined,
    CouponIssued,
    Envelope,
    GroupJoined,
    LinkShared,
    MemberBirthday,
    MemberCreated,
    MemberErased,
    MemberGrouped,
    MemberMerged,
    MemberTagged,
    MemberTierDowngraded,
    MemberTierPurchaseDeclined,
    MemberTierRedefined,
    MemberTierUpgraded,
    MemberUngrouped,
    MemberUnmerged,
    MemberUntagged,
    OrderCancelled,
    OrderDelivered,
    OrderPaid,
    OrderPlaced,
    OrderRefunded,
    TrialTiersJudged,
)
from shared.problems import Refusal

# Every handler works on the account of its own member.
handlers = Handlers(lanes=2)


@handlers.on(OrderPaid)
async def on_order_paid(session: AsyncSession, events: Sequence[Envelope[OrderPaid]]) -> None:
    """Let paid orders earn."""
    commands = [Earn.of(envelope.data, envelope.source) for envelope in events]
    _raise_first(await operations.earn(session, commands))


@handlers.on(OrderRefunded)
async def on_order_refunded(session: AsyncSession, events: Sequence[Envelope[OrderRefunded]]) -> None:
    """Take back what refunded orders had earned."""
    commands = [
        Refund(
            refund.order_id,
            refund.refund_id,
            refund.member_id,
            refund.currency,
            refund.amount_minor,
            refund.complete,
            envelope.source,
            refund.refunded_at,
            refund.shipping_minor,
            operations.refunded_lines(refund.lines) if refund.lines else None,
        )
        for envelope in events
        for refund in (envelope.data,)
    ]
    _raise_first(await operations.refund(session, commands))
    whole = [
        CalledOff(envelope.data.order_id, envelope.data.member_id, "order_refunded", envelope.source)
        for envelope in events
        if envelope.data.complete
    ]
    if whole:
        await operations.call_off(session, whole)


@handlers.on(OrderPlaced, when=lambda order: order.shipping_minor > 0)
async def on_order_placed(session: AsyncSession, events: Sequence[Envelope[OrderPlaced]]) -> None:
    """Ship orders for free whose members want that and have the points."""
    orders = [
        Placed(
            order.order_id,
            order.member_id,
            order.shipping_minor,
            order.currency,
            order.placed_at,
            envelope.source,
        )
        for envelope in events
        for order in (envelope.data,)
    ]
    await operations.apply_free_shipping(session, orders)


@handlers.unless(OrderPlaced)
async def unwanted(session: AsyncSession) -> Collection[str]:
    """As long as nobody wants free shipping on every order, orders that are placed are nobody's business."""
    return () if await operations.anybody_chose(session) else (OrderPlaced.type,)


@handlers.on(CouponIssued, when=lambda coupon: coupon.redemption_id is not None)
async def on_coupon_issued(session: AsyncSession, events: Sequence[Envelope[CouponIssued]]) -> None:
    """Take note that coupons were issued which points paid for."""
    ids = [envelope.data.redemption_id for envelope in events]
    await operations.confirm(session, [id_ for id_ in ids if id_ is not None])


@handlers.on(CouponDeclined, MemberTierPurchaseDeclined)
async def on_declined(
    session: AsyncSession, events: Sequence[Envelope[CouponDeclined | MemberTierPurchaseDeclined]]
) -> None:
    """Give the points back for what could not be delivered."""
    commands = [
        Decline(envelope.data.redemption_id, envelope.data.reason, envelope.source) for envelope in events
    ]
    _raise_first(await operations.decline(session, commands))


@handlers.on(OrderCancelled)
async def on_order_cancelled(session: AsyncSession, events: Sequence[Envelope[OrderCancelled]]) -> None:
    """Give back what members spent on orders that are called off."""
    commands = [
        Cancel(order.order_id, order.member_id, envelope.source, order.cancelled_at)
        for envelope in events
        for order in (envelope.data,)
    ]
    await operations.call_off(
        session,
        [CalledOff(item.order_id, item.member_id, "order_cancelled", item.actor) for item in commands],
    )
    await operations.cancel(session, commands)


@handlers.on(OrderDelivered)
async def on_order_delivered(session: AsyncSession, events: Sequence[Envelope[OrderDelivered]]) -> None:
    """Let points mature that wait for delivery."""
    orders = (envelope.data for envelope in events)
    await operations.deliver(session, [Delivered(order.order_id, order.delivered_at) for order in orders])


@handlers.on(MemberMerged, MemberUnmerged)
async def on_member_linked(
    session: AsyncSession, events: Sequence[Envelope[MemberMerged | MemberUnmerged]]
) -> None:
    """Bring accounts in line with who stands for whom."""
    links = []
    for event in (envelope.data for envelope in events):
        merged = isinstance(event, MemberMerged)
        changed_at = event.merged_at if isinstance(event, MemberMerged) else event.unmerged_at
        links.append(Link(event.merged_id, event.surviving_id, merged, event.revision, changed_at))
    await operations.merge(session, links)


@handlers.on(MemberCreated, when=lambda member: member.tier is not None)
async def on_member_created(session: AsyncSession, events: Sequence[Envelope[MemberCreated]]) -> None:
    """Remember the tier that everybody joins in."""
    changes = [
        TierRow(
            member.member_id, member.tier, member.points_multiplier_percent, member.created_at, envelope.id
        )
        for member, envelope in ((envelope.data, envelope) for envelope in events)
    ]
    await operations.record_tiers(session, changes)


@handlers.on(MemberTierUpgraded, MemberTierDowngraded)
async def on_tier_changed(
    session: AsyncSession, events: Sequence[Envelope[MemberTierUpgraded | MemberTierDowngraded]]
) -> None:
    """Remember who holds which tier, and what it makes of points."""
    changes = [
        TierRow(
            change.member_id, change.to_tier, change.points_multiplier_percent, change.changed_at, envelope.id
        )
        for change, envelope in ((envelope.data, envelope) for envelope in events)
    ]
    await operations.record_tiers(session, changes)
    bought = [
        envelope.data.redemption_id
        for envelope in events
        if isinstance(envelope.data, MemberTierUpgraded) and envelope.data.redemption_id is not None
    ]
    if bought:
        await operations.confirm(session, bought)


@handlers.on(MemberTierRedefined)
async def on_tier_redefined(session: AsyncSession, events: Sequence[Envelope[MemberTierRedefined]]) -> None:
    """Remember what a tier is called now, and what it makes of points."""
    changes = [
        TierRow(held.member_id, held.tier, held.points_multiplier_percent, held.redefined_at, envelope.id)
        for held, envelope in ((envelope.data, envelope) for envelope in events)
    ]
    await operations.record_tiers(session, changes)


@handlers.on(MemberTagged, MemberUntagged, MemberGrouped, MemberUngrouped)
async def on_labels_changed(
    session: AsyncSession,
    events: Sequence[Envelope[MemberTagged | MemberUntagged | MemberGrouped | MemberUngrouped]],
) -> None:
    """Remember tags and groups, for rules that ask."""
    changes = []
    for envelope in events:
        said = envelope.data
        held = isinstance(said, MemberTagged | MemberGrouped)
        if isinstance(said, MemberTagged | MemberUntagged):
            kind, labels = "tag", said.tags
        else:
            kind, labels = "group", said.groups
        changes += [LabelRow(said.member_id, kind, label, held, envelope.id) for label in labels]
    await operations.record_labels(session, changes)


@handlers.on(MemberErased)
async def on_member_erased(session: AsyncSession, events: Sequence[Envelope[MemberErased]]) -> None:
    """Let the points of erased members go, and what is kept of them beside the books."""
    await operations.erase_members(
        session, [(event.data.member_id, event.data.erased_at) for event in events]
    )


@handlers.on(MemberBirthday)
async def on_birthday(session: AsyncSession, events: Sequence[Envelope[MemberBirthday]]) -> None:
    """Remember when the birthday of a member is, for rules that ask."""
    birthdays = (envelope.data for envelope in events)
    await operations.record_birthdays(
        session, [BirthdayRow(day.member_id, day.starts_at, day.ends_at) for day in birthdays]
    )


@handlers.on(LinkShared, when=lambda link: link.sharer_id is not None and not link.is_bot)
async def on_link_shared(session: AsyncSession, events: Sequence[Envelope[LinkShared]]) -> None:
    """Remember who shared which link."""
    links = (envelope.data for envelope in events)
    sharers = {link.link_id: link.sharer_id for link in links if link.sharer_id is not None}
    await operations.record_links(session, sharers)


@handlers.on(GroupJoined, when=lambda seat: seat.link_id is not None)
async def on_group_joined(session: AsyncSession, events: Sequence[Envelope[GroupJoined]]) -> None:
    """Let who shared the link have what the rules give for bringing a member."""
    seats = (envelope.data for envelope in events)
    joined = [
        Joined(seat.order_id, seat.member_id, seat.link_id, seat.paid_at)
        for seat in seats
        if seat.link_id is not None
    ]
    await operations.refer(session, joined)


@handlers.on(TrialTiersJudged)
async def on_tiers_judged(session: AsyncSession, events: Sequence[Envelope[TrialTiersJudged]]) -> None:
    """Keep which tiers members would hold under the rules of a back-test."""
    answers = []
    for answer in (envelope.data for envelope in events):
        moves = [TierMove(move.from_tier, move.to_tier, move.is_up, move.members) for move in answer.moves]
        answers.append(TierAnswer(answer.back_test_id, answer.part, msgspec.json.encode(moves).decode()))
    await operations.hear_tiers(session, answers)


def _raise_first(results: Sequence[object]) -> None:
    # The consumer takes the batch apart until it has found who is refused, and puts that one aside.
    for result in results:
        if isinstance(result, Refusal):
            raise result
