"""What points hear: orders that are paid earn, orders that are refunded give back.

`order.cancelled` is not among it: calling an order off moves no money, and what was paid for it comes back as
`order.refunded`.
"""

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncSession

from services.points import operations
from services.points.operations import Earn, Refund
from shared.consumer import Handlers
from shared.events import Envelope, OrderPaid, OrderRefunded
from shared.problems import Refusal

handlers = Handlers()


@handlers.on(OrderPaid)
async def on_order_paid(session: AsyncSession, events: Sequence[Envelope[OrderPaid]]) -> None:
    """Let paid orders earn."""
    commands = [Earn(envelope.data, envelope.source) for envelope in events]
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
        )
        for envelope in events
        for refund in (envelope.data,)
    ]
    _raise_first(await operations.refund(session, commands))


def _raise_first(results: Sequence[object]) -> None:
    # The consumer takes the batch apart until it has found who is refused, and puts that one aside.
    for result in results:
        if isinstance(result, Refusal):
            raise result
