"""Mature: pending points that wait for an event can be spent from now on."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from services.points.operations import settle
from services.points.operations.ledger import Ledger
from services.points.repository import orders as order_repository
from services.points.repository import settling as repository
from shared.outbox import emit


async def mature(session: AsyncSession, order_ids: Sequence[UUID]) -> int:
    """Let what these orders earned mature, whether it waits for a moment or for this; return how many points.

    An order that has not earned, or whose points have matured, is passed over.
    """
    ledger = await Ledger.open(session, await order_repository.owners(session, list(order_ids)))
    matured = await repository.mature_orders(session, order_ids, now=ledger.now)
    settle.note_matured(ledger, matured)
    for lot in matured:
        account = ledger.accounts[lot.member_id]
        if lot.expires_at is not None and lot.expires_at <= ledger.now:
            ledger.settle_again(account)
    await ledger.save(session)
    await emit(session, ledger.events)
    return sum(lot.points for lot in matured)
