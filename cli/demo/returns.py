"""Returns: every 50th order of the history goes back, half of them in part."""

from datetime import UTC, datetime, timedelta
from itertools import islice

from cli.demo.books import Books
from cli.demo.client import Refused, Services
from cli.demo.purchases import POINTS_LIVE, Purchases

__all__ = ["play_returns"]

EVERY = 50
BATCH = 1000
SOURCE = SHOP = "cdnow"


def play_returns(services: Services, purchases: Purchases, books: Books) -> int:
    """Refund every 50th order, every second one by half, and return how many were refunded.

    An order of 0.00 has nothing to give back. One whose points pass their date on this very day is left
    alone, because it would depend on the minute whether a refund still finds them.
    """
    now = datetime.now(UTC)
    refunds = []
    for number in range(EVERY, purchases.orders + 1, EVERY):
        row = purchases.rows[number - 1]
        if row.cents == 0 or abs(row.paid_at + POINTS_LIVE - now) < timedelta(days=1):
            continue
        cents = row.cents if number % (2 * EVERY) else row.cents // 2
        books.refunded(str(number), cents, now)
        refunds.append(
            {
                "source": SOURCE,
                "shop_id": SHOP,
                "external_order_id": str(number),
                "refund_id": f"return-{number}",
                "refunded_at": now.isoformat(),
                "amount_minor": cents,
                "reason": "Returned",
            }
        )
    rest = iter(refunds)
    while batch := list(islice(rest, BATCH)):
        answer = services.post("members", "/v1/refunds", batch)
        if answer["accepted"] != len(batch):
            raise Refused(
                f"{answer['refused']} of {len(batch)} refunds were refused: {answer['results'][:3]}"
            )
    return len(refunds)
