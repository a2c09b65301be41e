"""Everything at once, each in a transaction of its own: no deadlock, and the books balance."""

import asyncio
import random
from datetime import timedelta

from services.campaigns.operations import Held
from shared.database import Database
from tests.campaigns.building import (
    activity,
    attempt_join,
    attempt_open,
    figures,
    hear,
    open_group,
    paid,
    pass_time,
    run_jobs,
    sku,
    stock_left,
)


async def test_last_seat_and_expiry_at_once(campaigns_database: Database) -> None:
    """The group either forms or fails, whichever comes first, and never both."""
    database = campaigns_database
    activity_id = await activity(database)
    seats = []
    for number in range(0, 30, 2):
        first = await open_group(database, activity_id, number)
        (last,) = await attempt_join(database, first.seat.group_id, number + 1)
        assert isinstance(last, Held)
        seats.append(last)
    by = timedelta(days=1, hours=1)
    await pass_time(database, by)
    payments = [paid(seat, paid_at=seat.seat.held_at - by) for seat in seats]
    await asyncio.gather(
        run_jobs(database), *(hear(database, payment) for payment in payments), run_jobs(database)
    )
    await run_jobs(database)
    counts = await figures(database)
    assert counts["groups"]["formed"] + counts["groups"]["failed"] == len(seats)
    assert counts["undecided_minor"] == 0
    assert counts["payments"]["confirmed"] == 2 * counts["groups"]["formed"]
    assert counts["payments"]["refund_requested"] == 2 * counts["groups"]["failed"]
    assert await stock_left(database, activity_id) == 100 - 2 * counts["groups"]["formed"]


async def test_a_crowd_in_every_order(campaigns_database: Database) -> None:
    database = campaigns_database
    chance = random.Random(7)
    skus = [sku(f"S-{number}", stock=30) for number in range(3)]
    activity_id = await activity(database, group_size=3, skus=skus, units_per_member=6)
    held: list[Held] = []
    limit = asyncio.Semaphore(8)

    async def come(number: int) -> None:
        async with limit:
            groups = [seat.seat.group_id for seat in held] or [None]
            group_id = chance.choice(groups)
            if group_id is None or chance.random() < 0.4:
                result = await attempt_open(database, activity_id, number, sku=f"S-{chance.randrange(3)}")
            else:
                (result,) = await attempt_join(database, group_id, number)
            if isinstance(result, Held):
                held.append(result)
                if chance.random() < 0.9:
                    await hear(database, paid(result), paid(chance.choice(held)))
            if chance.random() < 0.1:
                await run_jobs(database)

    await asyncio.gather(*(come(number % 40) for number in range(160)))
    await pass_time(database, timedelta(days=12))
    await run_jobs(database)
    counts = await figures(database)
    assert counts["undecided_minor"] == 0
    assert counts["groups"]["open"] == counts["groups"]["closing"] == counts["groups"]["pending"] == 0
    assert counts["groups"]["formed"] > 0
    assert counts["seats"]["confirmed"] == 3 * counts["groups"]["formed"]
    sold = 90 - sum([await stock_left(database, activity_id, f"S-{number}") for number in range(3)])
    assert sold == counts["seats"]["confirmed"]
