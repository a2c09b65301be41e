"""Mature: pending points that wait for an event can be spent from now on."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from services.points.operations import settle
from services.points.operations.ledger import Ledger
from services.points.repository import deliveries as delivery_repository
from services.points.repository import orders as order_repository
from services.points.repository import settling as repository
from shared.outbox import emit


class Delivered(NamedTuple):
    """An order was delivered."""

    order_id: UUID
    delivered_at: datetime


async def mature(session: AsyncSession, order_ids: Sequence[UUID]) -> int:
    """Let what these orders earned mature, whether it waits for a moment or for this; return how many points.

    An order that has not earned, or whose points have matured, is passed over.
    """
    return await _mature(session, order_ids, undated_only=False)


async def deliver(session: AsyncSession, commands: Sequence[Delivered]) -> int:
    """Let what these orders earned mature, if it waits for delivery; return how many points.

    What matures at a moment goes on waiting for it. A delivery that comes before its order is kept until the
    order has earned.
    """
    order_ids = [command.order_id for command in commands]
    points = await _mature(session, order_ids, undated_only=True)
    await delivery_repository.keep_early(session, order_ids, [command.delivered_at for command in commands])
    return points


async def deliver_early(session: AsyncSession, *, limit: int) -> int:
    """Let points mature whose order earned them after it was delivered; return how many orders."""
    order_ids = await delivery_repository.take_early(session, limit=limit)
    if order_ids:
        await _mature(session, order_ids, undated_only=True)
    return len(order_ids)


async def _mature(session: AsyncSession, order_ids: Sequence[UUID], *, undated_only: bool) -> int:
    ledger = await Ledger.open(session, await order_repository.owners(session, list(order_ids)))
    matured = await repository.mature_orders(session, order_ids, now=ledger.now, undated_only=undated_only)
    settle.note_matured(ledger, matured)
    for lot in matured:
        account = ledger.accounts[lot.member_id]
        if lot.expires_at is not None and lot.expires_at <= ledger.now:
            ledger.settle_again(account)
    await ledger.save(session)
    await emit(session, ledger.events)
    return sum(lot.points for lot in matured)
