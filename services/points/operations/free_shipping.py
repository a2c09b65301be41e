"""Free shipping: applied by itself to orders with postage, once each, and undone with the order."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from services.points.domain.rewards import CANCELLED, FREE_SHIPPING, LOTTERY
from services.points.errors import (
    BenefitAlreadyDecided,
    DrawRequired,
    NotFreeShipping,
    OrderRequired,
    RewardNotAvailable,
    ShippingNotCovered,
)
from services.points.operations.counter import Counter, Redeem, Redeemed
from services.points.operations.ledger import Ledger
from services.points.operations.returns import give_back
from services.points.repository import redemptions as redemption_repository
from services.points.repository import rewards as reward_repository
from services.points.repository import shipping as repository
from services.points.repository.redemptions import RedemptionRow
from services.points.repository.shipping import Benefit, Choice, Claim, Decision
from shared.outbox import emit
from shared.problems import Refusal

APPLIED = "applied"
REFUSED = "refused"

# Storefronts date orders by their own clocks, often in whole seconds. An order this little older than the
# choice was placed by somebody who had just made it.
CLOCK_TOLERANCE = timedelta(minutes=5)


class Choose(NamedTuple):
    """Have a free-shipping reward applied to every order of a member, or none any more."""

    member_id: UUID
    reward_id: UUID | None
    actor: str


class Placed(NamedTuple):
    """An order with postage, as it was placed."""

    order_id: UUID
    member_id: UUID
    shipping_minor: int
    currency: str
    placed_at: datetime
    actor: str


class CalledOff(NamedTuple):
    """An order that will not be shipped, or came back whole."""

    order_id: UUID
    member_id: UUID
    reason: str
    actor: str


async def choose(session: AsyncSession, commands: Sequence[Choose]) -> list[Choice | Refusal | None]:
    """Remember what members want applied by itself; of two choices of a member the last counts."""
    wanted = {command.reward_id for command in commands if command.reward_id is not None}
    rewards = await reward_repository.rewards_by_id(session, sorted(wanted))
    refusals: list[Refusal | None] = []
    chosen: dict[UUID, tuple[UUID, str] | None] = {}
    for command in commands:
        reward = rewards.get(command.reward_id) if command.reward_id is not None else None
        refusal: Refusal | None = None
        if command.reward_id is not None and (reward is None or reward.kind != FREE_SHIPPING):
            refusal = NotFreeShipping(reward_id=str(command.reward_id))
        elif reward is not None and reward.retired_at is not None:
            refusal = RewardNotAvailable(reward_id=str(reward.id))
        else:
            chosen[command.member_id] = (reward.id, command.actor) if reward is not None else None
        refusals.append(refusal)
    kept = {member_id: choice for member_id, choice in chosen.items() if choice is not None}
    await repository.drop_choices(session, chosen.keys() - kept.keys())
    await repository.save_choices(session, kept)
    now = await repository.choices_of(session, chosen)
    return [
        refusal if refusal is not None else now.get(command.member_id)
        for command, refusal in zip(commands, refusals, strict=True)
    ]


async def show_choice(session: AsyncSession, member_id: UUID) -> Choice | None:
    """Return what a member wants applied by itself."""
    return (await repository.choices_of(session, [member_id])).get(member_id)


async def anybody_chose(session: AsyncSession) -> bool:
    """Say whether placed orders are of any interest."""
    return await repository.anybody_chose(session)


async def apply_free_shipping(session: AsyncSession, orders: Sequence[Placed]) -> None:
    """Apply free shipping to orders whose members chose it before, if their points suffice.

    An order is decided once, for or against; told again, nothing happens.
    """
    choices = await repository.choices_of(session, {order.member_id for order in orders})
    due = {
        order.order_id: (order, choice)
        for order in orders
        if (choice := choices.get(order.member_id)) is not None
        and order.placed_at >= choice.chosen_at - CLOCK_TOLERANCE
    }
    if not due:
        return
    ledger = await Ledger.open(session, {order.member_id for order, _ in due.values()}, create=False)
    commands = {
        order_id: Redeem(order.member_id, choice.reward_id, order_id, order.actor)
        for order_id, (order, choice) in due.items()
    }
    counter = await Counter.open(session, ledger, list(commands.values()))
    claims = [Claim(order_id, command.member_id) for order_id, command in commands.items()]
    fresh = await repository.claim_orders(session, claims)
    decisions = [
        _decide(counter, due[order_id][0], command)
        for order_id, command in commands.items()
        if order_id in fresh
    ]
    await repository.decide_orders(session, decisions)
    await counter.close(session)
    await emit(session, ledger.events)


def _decide(counter: Counter, order: Placed, command: Redeem) -> Decision:
    reward = counter.rewards.get(command.reward_id)
    result: Redeemed | Refusal
    if reward is not None and not reward.covers(order.shipping_minor, order.currency):
        result = ShippingNotCovered()
    else:
        result = counter.serve(command)
    if isinstance(result, Refusal):
        return Decision(order.order_id, REFUSED, None, result.code)
    return Decision(order.order_id, APPLIED, result.redemption_id, None)


async def serve_for_orders(
    session: AsyncSession, counter: Counter, commands: Sequence[Redeem]
) -> list[Redeemed | Refusal]:
    """Serve commands of which some are free shipping, each order at most once.

    A refused command leaves its order undecided, so that the member may try again.
    """
    claims = {
        command.order_id: Claim(command.order_id, command.member_id)
        for command in commands
        if command.order_id is not None and _is_shipping(counter, command)
    }
    fresh = await repository.claim_orders(session, claims.values())
    results: list[Redeemed | Refusal] = []
    applied: list[Decision] = []
    for command in commands:
        result = _serve(counter, command, fresh)
        if isinstance(result, Redeemed) and _is_shipping(counter, command) and result.order_id is not None:
            applied.append(Decision(result.order_id, APPLIED, result.redemption_id, None))
            fresh.discard(result.order_id)
        results.append(result)
    await repository.decide_orders(session, applied)
    await repository.release_orders(session, fresh)
    return results


def _is_shipping(counter: Counter, command: Redeem) -> bool:
    reward = counter.rewards.get(command.reward_id)
    return reward is not None and reward.kind == FREE_SHIPPING


def _serve(counter: Counter, command: Redeem, fresh: set[UUID]) -> Redeemed | Refusal:
    if _is_shipping(counter, command):
        if command.order_id is None:
            return OrderRequired(reward_id=str(command.reward_id))
        if command.order_id not in fresh:
            return BenefitAlreadyDecided(order_id=str(command.order_id))
    return serve(counter, command)


def serve(counter: Counter, command: Redeem) -> Redeemed | Refusal:
    """Carry out one command that needs no order."""
    reward = counter.rewards.get(command.reward_id)
    if reward is not None and reward.kind == LOTTERY:
        return DrawRequired(reward_id=str(reward.id))
    return counter.serve(command)


async def call_off(session: AsyncSession, orders: Sequence[CalledOff]) -> None:
    """Undo the free shipping of orders that are called off, and let none be applied to them later."""
    unique = {order.order_id: order for order in orders}
    ledger = await Ledger.open(session, {order.member_id for order in unique.values()}, create=False)
    claims = [Claim(order.order_id, order.member_id) for order in unique.values()]
    undone = await repository.call_off_orders(session, claims)
    rows = await redemption_repository.redemptions_by_id(session, undone)
    reasons = {row.id: _reason(unique, row) for row in rows.values()}
    await give_back(session, ledger, list(rows.values()), status=CANCELLED, reasons=reasons)
    await emit(session, ledger.events)


def _reason(orders: Mapping[UUID, CalledOff], row: RedemptionRow) -> tuple[str, str]:
    assert row.order_id is not None, "free shipping is for an order"
    order = orders[row.order_id]
    return order.reason, order.actor


async def show_benefits(session: AsyncSession, order_id: UUID) -> tuple[Benefit | None, list[RedemptionRow]]:
    """Return what became of free shipping for an order, and everything redeemed for it."""
    return (
        await repository.benefit(session, order_id),
        await redemption_repository.redemptions_of_order(session, order_id),
    )
