"""Cancel: what was spent on an order that is called off comes back, and what was held for it is let go."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from services.points.operations.holds import Settlement, Void
from services.points.operations.ledger import Ledger
from services.points.operations.reverse import OrderReturn, return_spent
from services.points.repository import holds
from shared.outbox import emit

REASON = "Order called off"
REFERENCE = "cancelled"


class Cancel(NamedTuple):
    """An order was called off."""

    order_id: UUID
    member_id: UUID
    actor: str
    cancelled_at: datetime


async def cancel(session: AsyncSession, commands: Sequence[Cancel]) -> None:
    """Give back what the orders took of their members' points; what they earned is the refund's matter."""
    ledger = await Ledger.open(session, {command.member_id for command in commands}, create=False)
    orders = {command.order_id: command for command in commands}
    held = await holds.held_for(session, sorted(orders))
    if held:
        desk = await Settlement.open(session, held, ledger=ledger)
        for hold_id in held:
            desk.void(Void(hold_id, "points"))
        await desk.save(session)
    await return_spent(
        session,
        ledger,
        [
            OrderReturn(order_id, 0, 0, True, REFERENCE, item.actor, REASON, item.cancelled_at)
            for order_id, item in orders.items()
        ],
    )
    await emit(session, ledger.events)
