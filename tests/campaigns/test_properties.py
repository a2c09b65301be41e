"""Whatever members, clocks, jobs and the bus do: seats, stock, limits and money add up."""

import random
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from services.campaigns.operations import Held
from shared.clock import utc_now
from shared.database import Database
from shared.events import Event
from shared.ids import new_id
from tests.campaigns.building import (
    SKU,
    activity,
    attempt_join,
    attempt_open,
    hear,
    paid,
    pass_time,
    refunded,
    run_jobs,
    sku,
)
from tests.fixtures.services import emitted

STOCK = 7
UNITS_PER_MEMBER = 3
GROUPS_PER_MEMBER = 2
MEMBERS = 6

members = st.integers(min_value=1, max_value=MEMBERS)
quantities = st.sampled_from((1, 1, 1, 2))
steps = st.lists(
    st.one_of(
        st.tuples(st.just("open"), members, quantities),
        st.tuples(st.just("buy"), st.integers(0, 5), members),
        st.tuples(st.just("buy"), st.integers(0, 5), members),
        st.tuples(st.just("buy"), st.integers(0, 5), members),
        st.tuples(st.just("join"), st.integers(0, 5), st.lists(members, min_size=1, max_size=4), quantities),
        st.tuples(
            st.just("pay"),
            st.integers(0, 20),
            st.sampled_from(("exact", "exact", "exact", "exact", "again", "wrong", "later")),
        ),
        st.tuples(st.just("deliver"), st.integers(1, 6)),
        st.tuples(st.just("deliver"), st.integers(1, 6)),
        st.tuples(st.just("refund"), st.integers(0, 20)),
        st.tuples(st.just("wait"), st.sampled_from((30, 300, 620, 3600, 86_400))),
        st.tuples(st.just("jobs")),
    ),
    min_size=10,
    max_size=40,
)

BOOKS = text(
    """
    SELECT
        (SELECT count(*) FROM buy_groups g WHERE g.activity_id = :activity_id AND (
            g.seats_taken <> (SELECT count(*) FROM seats s WHERE s.group_id = g.group_id
                              AND s.state IN ('held', 'paid', 'confirmed'))
            OR g.seats_paid <> (SELECT count(*) FROM seats s WHERE s.group_id = g.group_id
                                AND s.state IN ('paid', 'confirmed'))
            OR g.seats_taken > g.group_size)) AS wrong_groups,
        (SELECT k.stock - k.stock_left FROM activity_skus k WHERE k.activity_id = :activity_id)
        - (SELECT COALESCE(sum(s.quantity), 0) FROM seats s JOIN buy_groups g USING (group_id)
           WHERE g.activity_id = :activity_id
             AND (s.state IN ('held', 'paid', 'confirmed') OR s.state = 'refunded' AND g.state = 'formed')
          ) AS stock_error,
        (SELECT count(*) FROM member_usage u WHERE u.activity_id = :activity_id AND (
            u.units > :units_per_member OR u.open_groups > :groups_per_member
            OR u.units <> (SELECT COALESCE(sum(s.quantity), 0) FROM seats s
                           WHERE s.activity_id = u.activity_id AND s.member_id = u.member_id
                             AND s.state IN ('held', 'paid', 'confirmed'))
            OR u.open_groups <> (SELECT count(*) FROM buy_groups g
                                 WHERE g.activity_id = u.activity_id AND g.initiator_id = u.member_id
                                   AND g.state IN ('pending', 'open', 'closing')))) AS wrong_usage,
        (SELECT count(*) FROM buy_groups g WHERE g.activity_id = :activity_id AND g.state = 'formed'
           AND g.group_size <> (SELECT count(*) FROM seats s WHERE s.group_id = g.group_id
                                AND s.order_id IS NOT NULL)) AS half_formed,
        (SELECT count(*) FROM payments p JOIN seats s USING (seat_id)
         WHERE p.activity_id = :activity_id AND ((p.state = 'captured' AND s.state <> 'paid')
            OR (p.state = 'confirmed' AND s.state <> 'confirmed'))) AS wrong_payments
    """
)

MONEY = text(
    """
    SELECT COALESCE(sum(amount_minor), 0) AS captured,
           COALESCE(sum(amount_minor) FILTER (WHERE state = 'confirmed'), 0) AS confirmed,
           COALESCE(sum(amount_minor) FILTER (WHERE state LIKE 'refund%'), 0) AS sent_back,
           count(*) AS payments, count(*) FILTER (WHERE requested_at IS NOT NULL) AS requested
    FROM payments WHERE activity_id = :activity_id
    """
)


@dataclass
class Told:
    """A payment that happened; the bus tells of it three times, whenever it likes."""

    held: Held
    paid_at: datetime
    changes: dict[str, Any]

    def event(self) -> Event:
        return paid(self.held, paid_at=self.paid_at, **self.changes)


@dataclass
class World:
    """One activity, everything that happened in it, and what the bus still has to tell."""

    database: Database
    activity_id: UUID
    chance: random.Random
    held: list[Held] = field(default_factory=list)
    groups: list[UUID] = field(default_factory=list)
    paid: list[Told] = field(default_factory=list)
    waiting: list[Told | Event] = field(default_factory=list)

    async def open(self, number: int, quantity: int) -> None:
        result = await attempt_open(self.database, self.activity_id, number, quantity=quantity)
        if isinstance(result, Held):
            self.groups.append(result.seat.group_id)
            self.held.append(result)

    async def join(self, index: int, numbers: list[int], quantity: int) -> None:
        if self.groups:
            group_id = self.groups[index % len(self.groups)]
            results = await attempt_join(self.database, group_id, *numbers, quantity=quantity)
            self.held += [result for result in results if isinstance(result, Held)]

    async def buy(self, index: int, number: int) -> None:
        """Go through with it: hold a seat in some group, or in a new one, pay it, and be heard of."""
        before = len(self.held)
        await self.join(index, [number], 1)
        if len(self.held) == before:
            await self.open(number, 1)
        if len(self.held) > before:
            await self.pay(len(self.held) - 1, "exact")
            await self.deliver(len(self.waiting))

    async def pay(self, index: int, kind: str) -> None:
        if not self.held:
            return
        changes: dict[str, Any] = {"payment_id": str(new_id())} if kind == "again" else {}
        if kind == "wrong":
            changes = {"total_minor": 1, "order_id": new_id()}
        delay = timedelta(hours=30) if kind == "later" else timedelta()
        told = Told(self.held[index % len(self.held)], utc_now() + delay, changes)
        self.paid.append(told)
        self.waiting += [told] * 3

    async def deliver(self, count: int) -> None:
        self.chance.shuffle(self.waiting)
        batch, self.waiting = self.waiting[:count], self.waiting[count:]
        await hear(self.database, *(told.event() if isinstance(told, Told) else told for told in batch))

    async def refund(self, index: int) -> None:
        if self.paid:
            order = self.paid[index % len(self.paid)].event()
            event = refunded(order, refund_id=f"R-{index}")  # type: ignore[arg-type]  # a payment
            self.waiting += [event] * 3

    async def wait(self, seconds: int) -> None:
        by = timedelta(seconds=seconds)
        await pass_time(self.database, by)
        for told in self.paid:
            told.paid_at -= by

    async def jobs(self) -> None:
        await run_jobs(self.database)

    async def check(self) -> None:
        async with self.database.reading() as session:
            row = (
                await session.execute(
                    BOOKS,
                    {
                        "activity_id": self.activity_id,
                        "units_per_member": UNITS_PER_MEMBER,
                        "groups_per_member": GROUPS_PER_MEMBER,
                    },
                )
            ).one()
        assert dict(row._mapping) == dict.fromkeys(row._mapping, 0)

    async def settle(self) -> None:
        """Let the bus catch up and every deadline pass."""
        while self.waiting:
            await self.deliver(50)
        await self.wait(86_400 * 12)
        await self.jobs()


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], database=None
)
@given(plan=steps, size=st.integers(2, 3), seed=st.integers(0, 2**32))
async def test_seats_stock_limits_and_money_add_up(
    campaigns_database: Database, plan: list[tuple[Any, ...]], size: int, seed: int
) -> None:
    activity_id = await activity(
        campaigns_database,
        shop_id=str(new_id()),
        group_size=size,
        skus=[sku(SKU, stock=STOCK)],
        units_per_member=UNITS_PER_MEMBER,
        groups_per_member=GROUPS_PER_MEMBER,
    )
    world = World(campaigns_database, activity_id, random.Random(seed))
    for name, *arguments in plan:
        await getattr(world, name)(*arguments)
        await world.check()
    await world.settle()
    await world.check()
    async with campaigns_database.reading() as session:
        money = (await session.execute(MONEY, {"activity_id": activity_id})).one()
        said = [
            (name, payload)
            for name, _, payload in await emitted(session)
            if payload.get("activity_id") == str(activity_id)
            or payload.get("group_id") in {str(group_id) for group_id in world.groups}
        ]
    assert money.captured == money.confirmed + money.sent_back
    assert money.payments == len(
        {told.event().order_id.hex + str(told.event().payment_id) for told in world.paid}
    )  # type: ignore[attr-defined]  # payments
    assert money.requested == len({p["refund_key"] for name, p in said if name == "refund.requested"})
    for group_id in world.groups:
        own = [name for name, payload in said if payload.get("group_id") == str(group_id)]
        assert own.count("group.opened") == own.count("group.formed") + own.count("group.expired") <= 1
