"""A state machine over the ledger on a real database: whatever happens in whatever order, the books add up.

Time passes by moving every date back, so that the database's own clock judges as always.
"""

import asyncio
import random
from collections.abc import Coroutine, Iterator
from datetime import timedelta
from typing import Any, ClassVar, TypeVar
from uuid import UUID

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import text

from services.points import operations
from services.points.domain import Reward
from services.points.operations import Earn, Earned, Held, Redeemed, Refund, Transferred
from services.points.operations.show import Balance
from shared.database import Database
from shared.ids import new_id
from tests.fixtures.moment import now
from tests.points.ledger import DAY, Books, assert_adds_up, changed, coupon, earn_of, refund_of

T = TypeVar("T")

MEMBERS = st.integers(0, 2)
AMOUNTS = st.sampled_from([0, 99, 1_000, 3_333, 10_000])
AGES = st.sampled_from([timedelta(0), 200 * DAY, 364 * DAY, 400 * DAY])

# What of each order's points is gone: expired from its own lot, or clawed back for its refunds.
ORDER_NETS = text(
    """
    SELECT entries.about_id,
           entries.points - coalesce(lots.expired_points, 0) + coalesce(back.points, 0) AS net
    FROM entries
         LEFT JOIN lots ON lots.id = entries.id
         LEFT JOIN (SELECT about_id, sum(points) AS points FROM entries WHERE kind = 'claw_back'
                    GROUP BY about_id) AS back USING (about_id)
    WHERE entries.kind = 'earn' AND entries.about_id = ANY(CAST(:order_ids AS uuid[]))
    """
)


TAKEN = text(
    """
    SELECT coalesce(sum(lot_moves.points - lot_moves.returned_points), 0)
    FROM entries JOIN lot_moves ON lot_moves.entry_id = entries.id
    WHERE entries.kind = 'redeem' AND entries.about_id = ANY(CAST(:about_ids AS uuid[]))
    """
)


def order_points(order: Earn) -> int:
    """What an order earns under the first rule."""
    return order.order.total_minor // 100


class LedgerMachine(RuleBasedStateMachine):
    """Three members who buy, return and spend; every run has members and orders of its own."""

    loop: ClassVar[asyncio.Runner]
    books: ClassVar[Books]
    rewards: ClassVar[list[Reward]]

    def __init__(self) -> None:
        super().__init__()
        self.members = [new_id() for _ in range(3)]
        self.orders: list[Earn] = []
        self.heard: list[Earn | Refund] = []
        self.paid: set[UUID] = set()
        # Something happened that a replay of orders and refunds alone does not tell.
        self.moved = False
        self.given: dict[UUID, tuple[UUID, int]] = {}
        self.holds: dict[UUID, tuple[int, str]] = {}
        self.redemptions: dict[UUID, int] = {}
        self.transfers: list[tuple[UUID, UUID, int, UUID]] = []
        self.links: list[tuple[UUID, UUID, int, bool]] = []

    def wait(self, work: Coroutine[Any, Any, T]) -> T:
        return self.loop.run(work)

    @rule(member=MEMBERS, amount=AMOUNTS, age=AGES, also=st.integers(0, 9), pay=st.booleans())
    def order(self, member: int, amount: int, age: timedelta, also: int, pay: bool) -> None:
        """A member orders; the payment is heard of now, beside an old one again, or only later."""
        order = earn_of(self.members[member], amount, paid_at=now() - age)
        self.orders.append(order)
        if pay:
            self._pay(order, self.orders[also % len(self.orders)])

    @precondition(lambda self: self.orders)
    @rule(which=st.integers(0, 99))
    def pay(self, which: int) -> None:
        self._pay(self.orders[which % len(self.orders)])

    def _pay(self, *orders: Earn) -> None:
        for order, result in zip(orders, self.wait(self.books.earn(*orders)), strict=True):
            assert isinstance(result, Earned)
            assert (result.entry_id is None) == (order.order_id in self.paid)
            self.paid.add(order.order_id)
            self.heard.append(order)

    @precondition(lambda self: self.orders)
    @rule(which=st.integers(0, 99), share=st.integers(1, 4), number=st.integers(0, 3), complete=st.booleans())
    def refund(self, which: int, share: int, number: int, complete: bool) -> None:
        """A refund of a part or of all; the same number again is a duplicate, whatever it says."""
        order = self.orders[which % len(self.orders)]
        known = [
            item
            for item in self.heard
            if isinstance(item, Refund) and (item.order_id, item.refund_id) == (order.order_id, str(number))
        ]
        item = refund_of(order, order.order.total_minor // share, refund_id=str(number), complete=complete)
        item = known[0] if known else item
        self.wait(self.books.refund(item))
        self.heard.append(item)

    @rule(
        member=MEMBERS,
        points=st.sampled_from([1, 40]),
        days=st.sampled_from([0, 5, 400]),
        twice=st.booleans(),
    )
    def give_pending(self, member: int, points: int, days: int, twice: bool) -> None:
        """Points that wait: for some days (for longer than they live, even), or for their order."""
        order_id = new_id()
        matures_at = now() + days * DAY if days else None
        self.wait(
            self.books.give(
                self.members[member], points, order_id=order_id, matures_at=matures_at, pending=days == 0
            )
        )
        self.given[order_id] = (self.members[member], points)
        self.moved = True
        if twice:
            self.mature(0)

    @precondition(lambda self: self.given)
    @rule(which=st.integers(0, 99))
    def mature(self, which: int) -> None:
        order_id = list(self.given)[which % len(self.given)]
        self.wait(self.books.mature(order_id, order_id))
        assert self.wait(self.books.mature(order_id)) == 0

    @rule(
        member=MEMBERS,
        points=st.sampled_from([1, 25, 60]),
        minutes=st.sampled_from([30, 3 * 24 * 60]),
        on=st.integers(0, 99),
    )
    def hold(self, member: int, points: int, minutes: int, on: int) -> None:
        """Hold as much as is asked for, perhaps for an order, if it is available and not otherwise."""
        member_id = self.members[member]
        order_id = self.orders[on % len(self.orders)].order_id if self.orders and on % 2 else None
        available = self.wait(self.books.balance(member_id)).available_points
        held = self.wait(self.books.hold(member_id, points, minutes=minutes, order_id=order_id))
        assert isinstance(held, Held) == (available >= points)
        if isinstance(held, Held):
            assert held.available_points == available - points
            self.holds[held.hold_id] = (points, "held")
            self.moved = True

    @precondition(lambda self: self.holds)
    @rule(which=st.integers(0, 99), part=st.sampled_from([None, 1, 2]))
    def capture(self, which: int, part: int | None) -> None:
        """Capture all of a hold or a part; a second time it is refused and changes nothing."""
        hold_id = list(self.holds)[which % len(self.holds)]
        points, status = self.holds[hold_id]
        result = self.wait(self.books.capture(hold_id, part and max(1, points // part)))
        if isinstance(result, Held):
            assert status == "held"
            self.redemptions[hold_id] = result.captured_points
            self.holds[hold_id] = (points, "captured")

    @precondition(lambda self: self.holds)
    @rule(which=st.integers(0, 99))
    def void(self, which: int) -> None:
        hold_id = list(self.holds)[which % len(self.holds)]
        points, status = self.holds[hold_id]
        if isinstance(self.wait(self.books.void(hold_id)), Held):
            assert status == "held"
            self.holds[hold_id] = (points, "voided")

    @rule(member=MEMBERS, reward=st.integers(0, 2), times=st.integers(1, 3))
    def redeem(self, member: int, reward: int, times: int) -> None:
        """Spend, as often as there is something: never more than is available."""
        member_id, chosen = self.members[member], self.rewards[reward]
        available = self.wait(self.books.balance(member_id)).available_points
        results = self.wait(self.books.redeem(*[(member_id, chosen.id)] * times))
        bought = [result for result in results if isinstance(result, Redeemed)]
        assert len(bought) == min(times, available // chosen.cost_points)
        self.redemptions |= {result.redemption_id: result.points for result in bought}
        self.moved = self.moved or bool(bought)

    @precondition(lambda self: self.redemptions)
    @rule(which=st.integers(0, 99), share=st.integers(1, 3), reference=st.integers(0, 2))
    def give_back(self, which: int, share: int, reference: int) -> None:
        """Reverse a spending, in parts; the same reversal again gives nothing."""
        about_id = list(self.redemptions)[which % len(self.redemptions)]
        up_to = self.redemptions[about_id] // share
        returned = self.wait(self.books.reverse(about_id, str(reference), up_to))
        assert 0 <= returned <= up_to
        assert self.wait(self.books.reverse(about_id, str(reference), up_to)) == 0

    @precondition(lambda self: self.orders)
    @rule(which=st.integers(0, 99))
    def cancel(self, which: int) -> None:
        order = self.orders[which % len(self.orders)]
        self.wait(self.books.cancel(order.order_id, order.member_id))

    @rule(giver=MEMBERS, taker=MEMBERS, points=st.sampled_from([1, 30, 100]), again=st.booleans())
    def transfer(self, giver: int, taker: int, points: int, again: bool) -> None:
        """Give points away, or ask for an old transfer again."""
        if again and self.transfers:
            from_id, to_id, points, transfer_id = self.transfers[giver % len(self.transfers)]
            assert isinstance(
                self.wait(self.books.transfer(from_id, to_id, points, transfer_id)), Transferred
            )
            return
        from_id, to_id, transfer_id = self.members[giver], self.members[taker], new_id()
        ours, theirs = self.wait(self.books.balance(from_id)), self.wait(self.books.balance(to_id))
        done = isinstance(self.wait(self.books.transfer(from_id, to_id, points, transfer_id)), Transferred)
        assert done == (ours.account_id != theirs.account_id and ours.available_points >= points)
        if done:
            self.transfers.append((from_id, to_id, points, transfer_id))
            self.moved = True

    @rule(merged=MEMBERS, surviving=MEMBERS, together=st.booleans())
    def link(self, merged: int, surviving: int, together: bool) -> None:
        """Two members are found to be one person, or not to be."""
        if merged != surviving:
            link = (self.members[merged], self.members[surviving], len(self.links) + 1, together)
            self.links.append(link)
            self._link(link)

    @precondition(lambda self: self.links)
    @rule(which=st.integers(0, 99))
    def hear_of_an_old_link(self, which: int) -> None:
        """Links come again and late; the highest revision holds."""
        before = [self._state(member_id) for member_id in self.members]
        self._link(self.links[which % len(self.links)])
        assert [self._state(member_id) for member_id in self.members] == before

    def _link(self, link: tuple[UUID, UUID, int, bool]) -> None:
        merged_id, surviving_id, revision, together = link
        self.wait(self.books.link(merged_id, surviving_id, revision, merged=together))
        self.moved = True

    @rule(days=st.sampled_from([1, 100, 366]))
    def pass_time(self, days: int) -> None:
        by = days * DAY
        self.wait(self.books.pass_time(by))
        self.orders = [changed(order, paid_at=order.order.paid_at - by) for order in self.orders]
        dates = {order.order_id: order for order in self.orders}
        self.heard = [dates[item.order_id] if isinstance(item, Earn) else item for item in self.heard]

    @rule(limit=st.sampled_from([1, 100]))
    def expire(self, limit: int) -> None:
        self.wait(self.books.expire(limit))

    @invariant()
    def everything_adds_up(self) -> None:
        """After every step, in one reading of the database; what the audit finds waits for the end."""
        balances, taken, nets = self.wait(self._read())
        # Merged members have one account between them.
        accounts = list({balance.account_id: balance for balance in balances}.values())
        self._members_have_what_they_should(accounts)
        assert taken == sum(balance.spent_points for balance in accounts)
        for order_id, net in nets:
            assert net == 0, f"{order_id} is refunded in full"

    async def _read(self) -> tuple[list[Balance], int, list[tuple[UUID, int]]]:
        """Balances; what lots say that spending took, less what was given back; what full refunds left."""
        async with self.books.database.reading() as session:
            await assert_adds_up(session)
            balances = [await operations.show_points(session, member_id) for member_id in self.members]
            taken = await session.execute(TAKEN, {"about_ids": list(self.redemptions)})
            nets = await session.execute(ORDER_NETS, {"order_ids": self._fully_refunded()})
            return balances, int(taken.scalar_one()), [tuple(row) for row in nets]

    def _members_have_what_they_should(self, accounts: list[Balance]) -> None:
        earned = sum(order_points(order) for order in self.orders if order.order_id in self.paid)
        earned += sum(points for _, points in self.given.values())
        assert sum(balance.earned_points for balance in accounts) == earned
        assert sum(balance.transferred_points for balance in accounts) == 0
        for balance in accounts:
            assert balance.available_points >= 0
            assert balance.debt_points == 0 or balance.available_points == 0
            gone = balance.spent_points + balance.expired_points + balance.clawed_back_points
            has = balance.available_points + balance.held_points + balance.pending_points
            assert has - balance.debt_points == balance.earned_points - gone + balance.transferred_points
            assert balance.pending_points == sum(points for _, points in balance.maturities)

    def _fully_refunded(self) -> list[UUID]:
        refunded = {order.order_id: 0 for order in self.orders}
        refunds = {(item.order_id, item.refund_id): item for item in self.heard if isinstance(item, Refund)}
        complete = {item.order_id for item in refunds.values() if item.complete}
        for item in refunds.values():
            refunded[item.order_id] += item.amount_minor
        return [
            order.order_id
            for order in self.orders
            if order.order_id in self.paid
            and (order.order_id in complete or refunded[order.order_id] >= order.order.total_minor)
        ]

    def teardown(self) -> None:
        """The audit finds nothing; the summary is that of the balances; everything once more in another order
        changes nothing; and for others it leads to the same."""
        assert self.wait(self.books.findings()) == []
        self.wait(self.books.assert_summed_up())
        chance = random.Random(len(self.heard))
        before = [self._state(member_id) for member_id in self.members]
        self._hear(chance.sample(self.heard, len(self.heard)))
        assert [self._state(member_id) for member_id in self.members] == before
        if not self.moved:
            twins = {member_id: new_id() for member_id in self.members}
            orders = {order.order_id: new_id() for order in self.orders}
            copies = [
                changed(item, member_id=twins[item.member_id], order_id=orders[item.order_id])
                for item in self.heard
            ]
            self._hear(chance.sample(copies, len(copies)))
            assert [self._state(twins[member_id]) for member_id in self.members] == before

    def _hear(self, items: list[Earn | Refund]) -> None:
        for item in items:
            if isinstance(item, Earn):
                self.wait(self.books.earn(item))
            else:
                self.wait(self.books.refund(item))

    def _state(self, member_id: UUID) -> tuple[int, ...]:
        balance = self.wait(self.books.balance(member_id))
        return (
            balance.available_points,
            balance.debt_points,
            balance.earned_points,
            balance.expired_points + balance.clawed_back_points,
        )


@pytest.fixture
def machine(points_database: Database) -> Iterator[type[LedgerMachine]]:
    """The machine with a database whose connections belong to a loop of its own."""
    with asyncio.Runner() as loop:
        LedgerMachine.loop = loop
        LedgerMachine.books = Books(Database(points_database.url, pool_size=2))
        LedgerMachine.rewards = [coupon(cost) for cost in (1, 10, 60)]
        loop.run(LedgerMachine.books.add(*LedgerMachine.rewards))
        yield LedgerMachine
        loop.run(LedgerMachine.books.database.close())


def test_the_ledger_adds_up_whatever_happens(machine: type[LedgerMachine]) -> None:
    run_state_machine_as_test(  # type: ignore[no-untyped-call]  # Hypothesis leaves it untyped
        machine,
        settings=settings(
            max_examples=14,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            # Each example is a walk over a database: one that fails is told at once, not after many others.
            phases=[Phase.generate],
            derandomize=True,
            database=None,
        ),
    )
