"""Deliveries: said once their order is paid, so that whoever waits for one has heard of the order before."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncSession

from services.members.domain import Delivery, KnownOrder, OrderKey
from services.members.errors import DeliveryConflict
from services.members.operations.changes import Changes
from services.members.operations.order_events import order_delivered
from services.members.repository import deliveries as repository
from services.members.repository.deliveries import StoredDelivery
from shared.problems import Refusal

__all__ = ["DeliveryTaken", "settle_parked_deliveries", "take_deliveries"]


@dataclass(frozen=True, slots=True)
class DeliveryTaken:
    """What became of a stated delivery: applied or parked."""

    delivery: Delivery
    state: str
    changed: bool
    order: KnownOrder | None


async def take_deliveries(
    session: AsyncSession, deliveries: Sequence[Delivery]
) -> list[DeliveryTaken | Refusal]:
    """Take in deliveries. One result per delivery, in their order.

    One of an order that is unknown, or delivered before it is paid, waits for the payment.
    """
    keys = {delivery.key for delivery in deliveries}
    changes = await Changes.begin(session)
    orders = await changes.lock_orders(keys)
    stored = await repository.deliveries_by_key(session, keys)
    fresh: dict[OrderKey, StoredDelivery] = {}
    for delivery in deliveries:
        if delivery.key not in stored:
            order = orders.get(delivery.key)
            state = "parked" if order is None or order.paid_at is None else "applied"
            fresh.setdefault(delivery.key, (delivery, state))
    written = await repository.insert_deliveries(session, list(fresh.values()))
    stored |= await repository.deliveries_by_key(session, fresh.keys() - written)
    results: list[DeliveryTaken | Refusal] = []
    for delivery in deliveries:
        order = orders.get(delivery.key)
        if delivery.key in stored:
            known, state = stored[delivery.key]
            same = known == delivery
            results.append(DeliveryTaken(known, state, False, order) if same else DeliveryConflict())
            continue
        stored[delivery.key] = fresh[delivery.key]
        state = fresh[delivery.key][1]
        if order is not None and state == "applied":
            changes.events.append(order_delivered(order, delivery))
        changes.figures["parked_deliveries"] += state == "parked"
        results.append(DeliveryTaken(delivery, state, True, order))
    await changes.save()
    return results


async def settle_parked_deliveries(changes: Changes, orders: Mapping[OrderKey, KnownOrder]) -> None:
    """Say of these orders, whose members are locked, that they were delivered, if they are paid by now."""
    paid = [key for key, order in orders.items() if order.paid_at is not None]
    for delivery in await repository.settle_deliveries(changes.session, paid):
        changes.events.append(order_delivered(orders[delivery.key], delivery))
        changes.figures["parked_deliveries"] -= 1
