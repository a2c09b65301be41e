"""Referrals: points for who brought another to a group, once the other has paid.

Nobody brings themselves, no circle of members brings each other, and what an order brought goes back when all
of its money does. A link and a purchase through it may be heard of in any order.
"""

from collections.abc import Mapping, Sequence
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from services.points.domain import EarningRule, Lot, RuleBook
from services.points.operations.ledger import Ledger
from services.points.repository import erased
from services.points.repository import referrals as repository
from services.points.repository import rules as rule_repository
from services.points.repository.referrals import Granted, Joined, Outcome, Waiting
from shared.events import PointsClawedBack, PointsEarned
from shared.ids import derived_id
from shared.outbox import emit

ACTOR = "points"
REASON = "Brought a member"
REFERENCE = "referral"


async def refer(session: AsyncSession, joined: Sequence[Joined]) -> None:
    """Let purchases through shared links earn for who shared them, if the rules say so."""
    book = await rule_repository.rule_book(session)
    # Where no rule pays for it, nothing is kept of it.
    paid = {item.order_id: item for item in joined if _rewards(book.at(item.paid_at))}
    if paid:
        await repository.add_referrals(session, list(paid.values()))
        await _settle(session, book, await repository.waiting(session, order_ids=paid))


async def record_links(session: AsyncSession, sharers: Mapping[UUID, UUID]) -> None:
    """Remember who shared links (link to member), and settle the purchases that waited for it."""
    if sharers:
        gone = await erased.erased(session, set(sharers.values()))
        sharers = {link_id: sharer_id for link_id, sharer_id in sharers.items() if sharer_id not in gone}
    if sharers:
        await repository.add_links(session, sharers)
        waiting = await repository.waiting(session, link_ids=sharers)
        if waiting:
            await _settle(session, await rule_repository.rule_book(session), waiting)


async def take_back_referrals(session: AsyncSession, ledger: Ledger, order_ids: Sequence[UUID]) -> None:
    """Take back what orders brought to others whose money has all gone back; the caller emits."""
    granted = await repository.to_take_back(session, order_ids)
    if not granted:
        return
    await ledger.admit(session, {item.referrer_id for item in granted})
    # What has expired was taken back already, as with what an order earns.
    expired = await repository.expired_points(session, [item.entry_id for item in granted])
    granted = [item._replace(points=item.points - expired.get(item.entry_id, 0)) for item in granted]
    book = await rule_repository.rule_book(session)
    needs: dict[UUID, int] = {}
    for item in granted:
        needs[item.referrer_id] = needs.get(item.referrer_id, 0) + item.points
    lots = await ledger.paying_lots(
        session, needs, wanted_ids=[item.entry_id for item in granted], with_pending=True
    )
    for item in granted:
        _take_back(ledger, book.version(item.rule_version), item, lots[item.referrer_id])
    await ledger.save(session)


def _rewards(rule: EarningRule) -> bool:
    return rule.rule_set is not None and rule.rule_set.referral is not None


async def _settle(session: AsyncSession, book: RuleBook, waiting: Sequence[Waiting]) -> None:
    if not waiting:
        return
    await repository.lock_referrals(session)
    members = {id_ for item in waiting for id_ in (item.referred_id, item.referrer_id)}
    ledger = await Ledger.open(session, members)
    # Read again under the locks: somebody else may have settled some of them meanwhile.
    waiting = await repository.waiting(session, order_ids=[item.order_id for item in waiting])
    brought_by: dict[UUID, set[UUID]] = {}
    accounts = {account.member_id for account in ledger.accounts.values()}
    for referred_id, referrer_id in await repository.brought_by(session, accounts):
        brought_by.setdefault(referred_id, set()).add(referrer_id)
    # A payment dated ahead of the clock may be under another version by now, which pays for none.
    judged = [(item, rule) for item in waiting if _rewards(rule := book.at(item.paid_at))]
    outcomes = [_judge(ledger, rule, item, brought_by) for item, rule in judged]
    await ledger.save(session)
    await repository.settle(session, outcomes)
    await emit(session, ledger.events)


def _judge(ledger: Ledger, rule: EarningRule, item: Waiting, brought_by: dict[UUID, set[UUID]]) -> Outcome:
    assert rule.rule_set is not None
    assert rule.rule_set.referral is not None, "only purchases that a rule pays for are kept"
    referral = rule.rule_set.referral
    referred = ledger.accounts[item.referred_id].member_id
    referrer = ledger.accounts[item.referrer_id].member_id
    refusal = None
    if referred == referrer:
        refusal = "self"
    elif item.refunded:
        refusal = "refunded"
    elif referred in _above(referrer, brought_by):
        refusal = "circle"
    elif referral.first_only and brought_by.get(referred):
        refusal = "referred_before"
    if refusal is not None:
        return Outcome(item.order_id, "refused", refusal, item.referrer_id, None, None, 0)
    brought_by.setdefault(referred, set()).add(referrer)
    entry_id = _grant(ledger, rule, item, referral.points)
    return Outcome(item.order_id, "granted", None, item.referrer_id, entry_id, rule.version, referral.points)


def _above(member_id: UUID, brought_by: Mapping[UUID, set[UUID]]) -> set[UUID]:
    """Return who brought a member, who brought those, and so on."""
    found: set[UUID] = set()
    pending = [member_id]
    while pending:
        for above in brought_by.get(pending.pop(), ()):
            if above not in found:
                found.add(above)
                pending.append(above)
    return found


def _grant(ledger: Ledger, rule: EarningRule, item: Waiting, points: int) -> UUID:
    assert rule.rule_set is not None
    account = ledger.accounts[item.referrer_id]
    expires_at, matures_at = rule.expiry_of(item.paid_at), rule.maturity_of(item.paid_at)
    entry_id = ledger.enter(
        account,
        "earn",
        points,
        about_id=derived_id(REFERENCE, str(item.order_id)),
        reference=REFERENCE,
        actor=ACTOR,
        reason=REASON,
        occurred_at=item.paid_at,
        rule_version=rule.version,
        detail={"referral": {"order_id": str(item.order_id), "member_id": str(item.referred_id)}},
        origin_id=item.referrer_id,
    )
    ledger.credit(
        account,
        points,
        lot_id=entry_id,
        earned_at=item.paid_at,
        expires_at=expires_at,
        matures_at=matures_at,
        policy=rule.rule_set.expiry,
        origin_id=item.referrer_id,
    )
    if points:
        ledger.events.append(
            PointsEarned(
                member_id=account.member_id,
                entry_id=entry_id,
                points=points,
                expires_at=expires_at,
                matures_at=matures_at,
                reason=REASON,
                rule_version=rule.version,
                earned_at=item.paid_at,
                balance_points=account.balance_points - ledger.withheld.get(account.member_id, 0),
            )
        )
    return entry_id


def _take_back(ledger: Ledger, rule: EarningRule, item: Granted, lots: list[Lot]) -> None:
    if item.points == 0:
        return
    account = ledger.accounts[item.referrer_id]
    taken = ledger.claw_back(
        account,
        item.points,
        lots,
        first=item.entry_id,
        policy=rule.debt_policy,
        about_id=derived_id(REFERENCE, str(item.order_id)),
        reference=REFERENCE,
        actor=ACTOR,
        reason="The order of the member that was brought was refunded",
        occurred_at=ledger.now,
        rule_version=rule.version,
        detail={"referral": {"order_id": str(item.order_id)}},
        origin_id=item.referrer_id,
    )
    ledger.events.append(
        PointsClawedBack(
            member_id=account.member_id,
            entry_id=taken.entry_id,
            order_id=item.order_id,
            refund_id=item.refund_id,
            points=item.points,
            debt_points=taken.debt_points,
            clawed_back_at=ledger.now,
            balance_points=account.balance_points,
        )
    )
