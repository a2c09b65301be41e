"""Redeem: points buy a reward.

Redeeming is hold, grant, capture. What points deliver themselves is granted in the transaction that takes
the points, so the three are one debit. What another service delivers is debited too and stands as `pending`
until that service has said that it is done; if it cannot, the debit is reversed and the points are back in
the very lots they came from (operations/returns.py).
"""

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncSession

from services.points.domain.rewards import FREE_SHIPPING
from services.points.operations.counter import Counter, Redeem, Redeemed
from services.points.operations.free_shipping import serve, serve_for_orders
from services.points.operations.ledger import Ledger
from shared.outbox import emit
from shared.problems import Refusal


async def redeem(session: AsyncSession, commands: Sequence[Redeem]) -> list[Redeemed | Refusal]:
    """Redeem in the order given: who comes first gets the last points, and the last of the stock."""
    ledger = await Ledger.open(session, {command.member_id for command in commands}, create=False)
    counter = await Counter.open(session, ledger, commands)
    if any(reward.kind == FREE_SHIPPING for reward in counter.rewards.values()):
        results = await serve_for_orders(session, counter, commands)
    else:
        results = [serve(counter, command) for command in commands]
    await counter.close(session)
    await emit(session, ledger.events)
    return results
