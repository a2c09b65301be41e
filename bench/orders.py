"""Made-up orders for the bench: the same ones every time, from a seeded generator."""

import random
from datetime import timedelta
from uuid import UUID

from shared.bus import Outgoing
from shared.clock import utc_now
from shared.events import Envelope, OrderLine, OrderPaid, encode, headers_of
from shared.ids import derived_id, new_id

__all__ = ["member_id", "order_paid", "order_records"]

SEED = 19_970_101


def member_id(number: int) -> UUID:
    """Return the id of the made-up member with this number."""
    return derived_id("bench-member", str(number))


def order_paid(number: int, *, members: int, dice: random.Random) -> OrderPaid:
    """Return one paid order of a random member: one line, 1 to 200 dollars."""
    price_minor = dice.randrange(100, 20_000)
    paid_at = utc_now() - timedelta(seconds=dice.randrange(86_400))
    return OrderPaid(
        order_id=new_id(),
        member_id=member_id(dice.randrange(members)),
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
    """Return `count` orders as records ready to publish."""
    dice = random.Random(SEED)
    records = []
    for number in range(count):
        event = order_paid(number, members=members, dice=dice)
        envelope = Envelope(
            id=new_id(), type=event.type, source="bench", time=event.paid_at, key=event.key, data=event
        )
        records.append(Outgoing(event.topic, event.key, encode(event), tuple(headers_of(envelope))))
    return records
