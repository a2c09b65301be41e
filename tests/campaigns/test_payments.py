"""Payments decide: in time and for a held seat they count, and everything else goes back, once."""

import random
from datetime import timedelta

import pytest

from services.campaigns.operations import Held
from shared.clock import utc_now
from shared.database import Database
from shared.events import Event, OrderLine
from shared.ids import new_id
from tests.campaigns.building import (
    activity,
    attempt_join,
    codes,
    figures,
    group_state,
    hear,
    joined,
    open_group,
    opened,
    paid,
    pass_time,
    refund_reasons,
    refunded,
    run_jobs,
    seat_states,
    stock_left,
    wall,
)
from tests.fixtures.services import emitted

DAY = timedelta(hours=24)


async def events_of(database: Database) -> list[str]:
    """Return the types of everything said about groups and refunds, in order."""
    async with database.reading() as session:
        return [name for name, _, _ in await emitted(session) if name.startswith(("group.", "refund."))]


async def test_the_first_payment_opens_the_group_and_the_last_forms_it(campaigns_database: Database) -> None:
    database = campaigns_database
    held = await opened(database, await activity(database))
    assert held.group_state == "pending"
    assert held.seat.amount_minor == 1600
    await hear(database, paid(held))
    assert await group_state(database, held.seat.group_id) == "open"
    second = await joined(database, held.seat.group_id, 2)
    await hear(database, paid(second))
    assert await group_state(database, held.seat.group_id) == "formed"
    assert await seat_states(database, held.seat.group_id) == ["confirmed", "confirmed"]
    assert await events_of(database) == ["group.opened", "group.joined", "group.joined", "group.formed"]
    counts = await figures(database)
    assert counts["undecided_minor"] == 0
    assert counts["payments"]["confirmed"] == 2


async def test_all_payments_of_a_group_may_come_in_one_batch(campaigns_database: Database) -> None:
    database = campaigns_database
    first = await open_group(database, await activity(database, group_size=4))
    group_id = first.seat.group_id
    rest = [seat for seat in await attempt_join(database, group_id, 2, 3, 4) if isinstance(seat, Held)]
    await hear(database, *(paid(seat) for seat in reversed(rest)), paid(first))
    assert await group_state(database, group_id) == "formed"
    assert (await events_of(database)).count("group.formed") == 1


async def test_an_order_without_a_seat_is_none_of_our_business(campaigns_database: Database) -> None:
    held = await opened(campaigns_database, await activity(campaigns_database))
    await hear(campaigns_database, paid(held, participation=None))
    assert sum((await figures(campaigns_database))["payments"].values()) == 0


async def test_a_group_that_is_not_full_in_a_day_fails_and_refunds_everyone(
    campaigns_database: Database,
) -> None:
    database = campaigns_database
    activity_id = await activity(database, group_size=3)
    first = await open_group(database, activity_id)
    await hear(database, paid(await joined(database, first.seat.group_id, 2)))
    assert await stock_left(database, activity_id) == 98
    await pass_time(database, DAY)
    # By the clock it is closing before any job has been round, and nobody gets in.
    assert await group_state(database, first.seat.group_id) == "closing"
    assert codes(await attempt_join(database, first.seat.group_id, 3)) == ["group_closed"]
    await run_jobs(database)
    await run_jobs(database)
    assert await group_state(database, first.seat.group_id) == "failed"
    assert await seat_states(database, first.seat.group_id) == ["refund_pending", "refund_pending"]
    assert await refund_reasons(database) == {"group_expired": 2}
    assert await stock_left(database, activity_id) == 100
    events = await events_of(database)
    assert events.count("group.expired") == 1
    assert events.count("refund.requested") == 2
    assert (await figures(database))["undecided_minor"] == 0


async def test_an_activity_that_ends_takes_its_groups_with_it(campaigns_database: Database) -> None:
    database = campaigns_database
    activity_id = await activity(database, ends_at_local=wall(timedelta(seconds=30)))
    first = await open_group(database, activity_id)
    await pass_time(database, timedelta(seconds=31))
    await run_jobs(database)
    assert await group_state(database, first.seat.group_id) == "failed"
    async with database.reading() as session:
        said = {name: payload for name, _, payload in await emitted(session)}
    assert said["group.expired"]["reason"] == "activity_ended"
    assert said["activity.ended"]["activity_id"] == str(activity_id)


async def test_closing_waits_for_a_hold_whose_payment_may_be_on_its_way(campaigns_database: Database) -> None:
    database = campaigns_database
    first = await open_group(database, await activity(database))
    await pass_time(database, DAY - timedelta(seconds=60))
    last = await joined(database, first.seat.group_id, 2)
    paid_at = last.seat.held_at - timedelta(seconds=61)
    await pass_time(database, timedelta(seconds=61))
    await run_jobs(database)
    assert await group_state(database, first.seat.group_id) == "closing"
    # Paid in time, told after the deadline, before the decision: it counts.
    await hear(database, paid(last, paid_at=paid_at))
    assert await group_state(database, first.seat.group_id) == "formed"


async def test_closing_ends_when_the_hold_does(campaigns_database: Database) -> None:
    database = campaigns_database
    first = await open_group(database, await activity(database))
    await pass_time(database, DAY - timedelta(seconds=60))
    last = await joined(database, first.seat.group_id, 2)
    paid_at = last.seat.held_at - timedelta(seconds=120)
    await pass_time(database, timedelta(seconds=120))
    await run_jobs(database)
    assert await group_state(database, first.seat.group_id) == "failed"
    # Paid in time, but the group has been decided by now: the money goes back, with the reason.
    await hear(database, paid(last, paid_at=paid_at))
    assert await refund_reasons(database) == {"group_expired": 2}


async def test_a_payment_in_time_counts_although_the_job_was_late(campaigns_database: Database) -> None:
    database = campaigns_database
    first = await open_group(database, await activity(database))
    last = await joined(database, first.seat.group_id, 2)
    await pass_time(database, timedelta(days=2))
    await hear(database, paid(last, paid_at=last.seat.held_at - timedelta(days=2)))
    assert await group_state(database, first.seat.group_id) == "formed"


async def test_a_late_payment_goes_back(campaigns_database: Database) -> None:
    database = campaigns_database
    first = await open_group(database, await activity(database))
    last = await joined(database, first.seat.group_id, 2)
    await pass_time(database, timedelta(days=2))
    await run_jobs(database)
    await hear(database, paid(last, paid_at=utc_now()))
    assert await refund_reasons(database) == {"group_expired": 1, "late": 1}
    assert (await figures(database))["undecided_minor"] == 0


async def test_a_payment_after_the_hold_goes_back_although_nobody_took_the_seat(
    campaigns_database: Database,
) -> None:
    database = campaigns_database
    first = await open_group(database, await activity(database))
    last = await joined(database, first.seat.group_id, 2)
    await hear(database, paid(last, paid_at=last.seat.held_until + timedelta(seconds=1)))
    assert await refund_reasons(database) == {"hold_lapsed": 1}


async def test_an_initiator_who_does_not_pay_never_had_a_group(campaigns_database: Database) -> None:
    database = campaigns_database
    activity_id = await activity(database, groups_per_member=1)
    held = await opened(database, activity_id)
    await pass_time(database, timedelta(hours=1))
    await run_jobs(database)
    assert await group_state(database, held.seat.group_id) == "failed"
    assert await events_of(database) == ["group.seat_lapsed"]
    assert await stock_left(database, activity_id) == 100
    await opened(database, activity_id)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"total_minor": 1599}, "wrong_amount"),
        ({"total_minor": 1601}, "wrong_amount"),
        ({"currency": "EUR"}, "wrong_amount"),
        (
            {"lines": [OrderLine(line_no=1, sku="OTHER", product_id="X", quantity=1, unit_price_minor=1600)]},
            "wrong_items",
        ),
    ],
)
async def test_a_payment_of_something_else_goes_back(
    campaigns_database: Database, changes: dict[str, object], reason: str
) -> None:
    held = await opened(campaigns_database, await activity(campaigns_database))
    await hear(campaigns_database, paid(held, **changes))
    assert await refund_reasons(campaigns_database) == {reason: 1}
    # The seat is still held, and the right payment still counts.
    await hear(campaigns_database, paid(held, order_id=new_id()))
    assert await group_state(campaigns_database, held.seat.group_id) == "open"


async def test_postage_and_tax_come_on_top_of_the_goods(campaigns_database: Database) -> None:
    held = await opened(campaigns_database, await activity(campaigns_database))
    await hear(
        campaigns_database, paid(held, total_minor=1600 + 499 + 130, shipping_minor=499, tax_minor=130)
    )
    assert await group_state(campaigns_database, held.seat.group_id) == "open"


async def test_a_second_payment_for_a_seat_goes_back(campaigns_database: Database) -> None:
    database = campaigns_database
    held = await opened(database, await activity(database))
    await hear(database, paid(held), paid(held, payment_id="P-2"))
    await hear(database, paid(held, order_id=new_id()))
    assert await refund_reasons(database) == {"duplicate": 2}
    assert await seat_states(database, held.seat.group_id) == ["paid"]


async def test_a_payment_for_an_unknown_seat_goes_back(campaigns_database: Database) -> None:
    held = await opened(campaigns_database, await activity(campaigns_database))
    held.seat.seat_id = new_id()
    await hear(campaigns_database, paid(held))
    assert await refund_reasons(campaigns_database) == {"unknown_seat": 1}


async def test_a_lapsed_seat_that_was_paid_in_time_is_taken_again_while_there_is_room(
    campaigns_database: Database,
) -> None:
    database = campaigns_database
    activity_id = await activity(database, group_size=3)
    first = await open_group(database, activity_id)
    last = await joined(database, first.seat.group_id, 2)
    paid_at = last.seat.held_at - timedelta(hours=1)
    await pass_time(database, timedelta(hours=1))
    await run_jobs(database)
    third = await joined(database, first.seat.group_id, 3)
    assert third.seat.seat_no == 2
    await hear(database, paid(third))
    await hear(database, paid(last, paid_at=paid_at))
    assert await group_state(database, first.seat.group_id) == "formed"
    assert await stock_left(database, activity_id) == 97


async def test_a_lapsed_seat_that_others_took_is_refunded(campaigns_database: Database) -> None:
    database = campaigns_database
    first = await open_group(database, await activity(database))
    last = await joined(database, first.seat.group_id, 2)
    paid_at = last.seat.held_at - timedelta(hours=1)
    await pass_time(database, timedelta(hours=1))
    await run_jobs(database)
    await joined(database, first.seat.group_id, 3)
    await hear(database, paid(last, paid_at=paid_at))
    assert await refund_reasons(database) == {"group_full": 1}


async def test_an_initiator_who_paid_in_time_but_was_told_of_late_gets_the_group(
    campaigns_database: Database,
) -> None:
    database = campaigns_database
    activity_id = await activity(database)
    held = await opened(database, activity_id)
    await pass_time(database, timedelta(hours=1))
    await run_jobs(database)
    assert await group_state(database, held.seat.group_id) == "failed"
    await hear(database, paid(held, paid_at=held.seat.held_at - timedelta(hours=1)))
    assert await group_state(database, held.seat.group_id) == "open"
    assert await stock_left(database, activity_id) == 99


async def test_a_refund_answers_its_request(campaigns_database: Database) -> None:
    database = campaigns_database
    held = await open_group(database, await activity(database))
    await pass_time(database, DAY)
    await run_jobs(database)
    async with database.reading() as session:
        (request,) = [payload for name, _, payload in await emitted(session) if name == "refund.requested"]
    assert request["amount_minor"] == 1600
    half = refunded(paid(held), amount_minor=800, complete=False, refund_key=request["refund_key"])
    await hear(database, half)
    assert (await figures(database))["refunds_answered"] == 0
    rest = refunded(
        paid(held), amount_minor=800, complete=False, refund_key=request["refund_key"], refund_id="R-2"
    )
    await hear(database, rest, half)
    await hear(database, rest)
    counts = await figures(database)
    assert (counts["refunds_requested"], counts["refunds_answered"]) == (1, 1)
    assert counts["seats"]["refunded"] == 1


async def test_a_member_may_leave_before_the_group_is_formed(campaigns_database: Database) -> None:
    database = campaigns_database
    activity_id = await activity(database, group_size=3)
    first = await open_group(database, activity_id)
    second = await joined(database, first.seat.group_id, 2)
    await hear(database, paid(second))
    await hear(database, refunded(paid(first)))
    assert await seat_states(database, first.seat.group_id) == ["refunded", "paid"]
    assert await group_state(database, first.seat.group_id) == "open"
    assert await stock_left(database, activity_id) == 99
    # The last one who leaves turns off the light.
    await hear(database, refunded(paid(second)))
    assert await group_state(database, first.seat.group_id) == "failed"
    counts = await figures(database)
    assert counts["refunds_requested"] == 0
    assert counts["payments"]["refunded"] == 2


async def test_a_refund_after_forming_leaves_the_group_formed(campaigns_database: Database) -> None:
    database = campaigns_database
    first = await open_group(database, await activity(database))
    second = await joined(database, first.seat.group_id, 2)
    await hear(database, paid(second))
    await hear(database, refunded(paid(second)))
    assert await group_state(database, first.seat.group_id) == "formed"
    assert await seat_states(database, first.seat.group_id) == ["confirmed", "refunded"]


async def test_a_refund_may_come_before_its_payment(campaigns_database: Database) -> None:
    database = campaigns_database
    held = await opened(database, await activity(database))
    await hear(database, refunded(paid(held)))
    await hear(database, paid(held))
    counts = await figures(database)
    assert counts["payments"]["refunded"] == 1
    assert counts["undecided_minor"] == 0
    assert counts["refunds_requested"] == 0


@pytest.mark.parametrize("seed", range(5))
async def test_events_three_times_in_any_order_end_the_same(campaigns_database: Database, seed: int) -> None:
    database = campaigns_database
    shuffled = random.Random(seed)
    activity_id = await activity(database, group_size=3)
    first = await open_group(database, activity_id)
    seats = [s for s in await attempt_join(database, first.seat.group_id, 2, 3) if isinstance(s, Held)]
    events: list[Event] = [paid(seat) for seat in (first, *seats)]
    events += [paid(seats[0], payment_id="P-2"), paid(seats[1], total_minor=1, order_id=new_id())]
    events *= 3
    shuffled.shuffle(events)
    while events:
        cut = shuffled.randint(1, 4)
        await hear(database, *events[:cut])
        events = events[cut:]
    counts = await figures(database)
    assert counts["groups"]["formed"] == 1
    assert counts["payments"] == {"captured": 0, "confirmed": 3, "refund_requested": 2, "refunded": 0}
    assert counts["refund_reasons"] == {"duplicate": 1, "wrong_amount": 1}
    assert sorted(await events_of(database)) == sorted(
        ["group.opened", *["group.joined"] * 3, "group.formed", *["refund.requested"] * 2]
    )
