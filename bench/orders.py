"""Made-up orders for the bench: the same ones every time, from a seeded generator."""

import random
from datetime import timedelta
from uuid import UUID

from shared.bus import Outgoing
from shared.clock import utc_now
from shared.events import Envelope, OrderLine, OrderPaid, encode, headers_of
from shared.ids import derived_id, new_id

__all__ = ["member_id", "order_paid", "order_record", "order_records"]

SEED = 19_970_101


def member_id(number: int) -> UUID:
    """Return the id of the made-up member with this number."""
    return derived_id("bench-member", str(number))


def order_paid(number: int, member: UUID, dice: random.Random) -> OrderPaid:
    """Return one paid order of a member: one line, 1 to 200 dollars."""
    price_minor = dice.randrange(100, 20_000)
    paid_at = utc_now() - timedelta(seconds=dice.randrange(86_400))
    return OrderPaid(
        order_id=new_id(),
        member_id=member,
        source="bench",
        shop_id="bench",
        external_order_id=str(number),
        currency="USD",
        total_minor=price_minor,
        placed_at=paid_at,
        paid_at=paid_at,
        lines=[
            OrderLine(
                line_no=1,
                sku=f"sku-{number % 500}",
                product_id=f"p-{number % 100}",
                quantity=1,
                unit_price_minor=price_minor,
            )
        ],
    )


def order_records(count: int, *, members: int) -> list[Outgoing]:
    """Return `count` orders of random members as records ready to publish."""
    dice = random.Random(SEED)
    return [
        order_record(order_paid(number, member_id(dice.randrange(members)), dice)) for number in range(count)
    ]


def order_record(order: OrderPaid) -> Outgoing:
    """Return a paid order as a record ready to publish."""
    envelope = Envelope(
        id=new_id(), type=order.type, source="bench", time=order.paid_at, key=order.key, data=order
    )
    return Outgoing(order.topic, order.key, encode(order), tuple(headers_of(envelope)))
