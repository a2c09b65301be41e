"""Merged members: one account for one person, whatever was heard first, and two again when it is undone."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial
from itertools import permutations
from uuid import UUID, uuid4

from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.exc import DBAPIError

from services.points import operations
from services.points.domain import ExpiryPolicy
from services.points.domain.aliases import roots
from services.points.operations import Held, Redeemed
from shared.database import is_transient
from shared.testing import eventually
from tests.fixtures.moment import now
from tests.points.ledger import DAY, Books, coupon, earn_of, refund_of


async def available(books: Books, *members: UUID) -> list[int]:
    return [(await books.balance(member)).available_points for member in members]


async def test_both_ids_show_the_one_account(books: Books) -> None:
    alias, root = uuid4(), uuid4()
    await books.earn(earn_of(alias, 3_000), earn_of(root, 5_000))
    await books.link(alias, root, 1)
    ours, theirs = await books.balance(root), await books.balance(alias)
    assert (ours.available_points, ours.earned_points, ours.transferred_points) == (80, 80, 0)
    assert (theirs.available_points, theirs.account_id) == (80, root)
    await books.assert_balanced()


async def test_late_events_for_either_id_land_right(books: Books) -> None:
    alias, root, reward = uuid4(), uuid4(), coupon(50)
    await books.add(reward)
    late = earn_of(alias, 3_000)
    await books.link(alias, root, 1)
    await books.earn(late, earn_of(root, 4_000))
    assert await available(books, root, alias) == [70, 70]
    (redeemed,) = await books.redeem((alias, reward.id))
    assert isinstance(redeemed, Redeemed)
    await books.refund(refund_of(late, 3_000, complete=True))
    balance = await books.balance(root)
    assert (balance.available_points, balance.debt_points, balance.clawed_back_points) == (0, 10, 30)
    await books.assert_balanced()


async def test_the_order_of_links_and_orders_makes_no_difference(books: Books) -> None:
    for order in permutations(range(4)):
        first, second, third = uuid4(), uuid4(), uuid4()
        steps = [
            partial(books.link, first, second, 1),
            partial(books.link, second, third, 1),
            partial(books.earn, earn_of(first, 1_000), earn_of(third, 4_000)),
            partial(books.earn, earn_of(second, 2_000)),
        ]
        for number in order:
            await steps[number]()
        assert await available(books, first, second, third) == [70, 70, 70]
        assert (await books.balance(first)).account_id == third
    await books.assert_balanced()


async def test_merge_while_both_hold(books: Books) -> None:
    alias, root = uuid4(), uuid4()
    await books.earn(earn_of(alias), earn_of(root))
    ours, theirs = await books.hold(root, 60), await books.hold(alias, 70)
    await books.link(alias, root, 1)
    balance = await books.balance(root)
    assert (balance.available_points, balance.held_points) == (70, 130)
    await books.assert_balanced()
    assert isinstance(ours, Held)
    assert isinstance(theirs, Held)
    assert isinstance(await books.capture(theirs.hold_id, 50), Held)
    assert isinstance(await books.void(ours.hold_id), Held)
    balance = await books.balance(alias)
    assert (balance.available_points, balance.held_points, balance.spent_points) == (150, 0, 50)
    await books.assert_balanced()


async def test_merge_while_both_hold_and_both_have_todays_cap_used(books: Books) -> None:
    await books.rule_set(caps=[{"per": "day", "points": 100}])
    alias, root = uuid4(), uuid4()
    await books.earn(earn_of(alias, 8_000), earn_of(root, 7_000))
    theirs, ours = await books.hold(alias, 50), await books.hold(root, 60)
    assert isinstance(theirs, Held)
    assert isinstance(ours, Held)
    await books.link(alias, root, 1)
    balance = await books.balance(root)
    assert (balance.available_points, balance.held_points) == (40, 110)
    # What the two used is one person's, and more than the day has.
    assert [earned.points for earned in await books.earn(earn_of(alias, 500), earn_of(root, 500))] == [0, 0]
    assert isinstance(await books.capture(theirs.hold_id), Held)
    assert isinstance(await books.capture(ours.hold_id), Held)
    await books.assert_balanced()
    # Parted, each has the rest of the day's cap that is its own.
    await books.link(alias, root, 2, merged=False)
    results = await books.earn(earn_of(alias, 9_000), earn_of(root, 9_000))
    assert [earned.points for earned in results] == [20, 30]
    await books.assert_balanced()


async def test_debt_of_one_is_repaid_by_the_other(books: Books) -> None:
    alias, root, reward = uuid4(), uuid4(), coupon(100)
    await books.add(reward)
    order = earn_of(alias)
    await books.earn(order, earn_of(root, 3_000))
    await books.redeem((alias, reward.id))
    await books.refund(refund_of(order, 10_000, complete=True))
    await books.link(alias, root, 1)
    balance = await books.balance(root)
    assert (balance.available_points, balance.debt_points) == (0, 70)
    await books.assert_balanced()
    # Parted again, the rest of the debt goes with the one who brought it.
    await books.link(alias, root, 2, merged=False)
    assert [(await books.balance(member)).debt_points for member in (alias, root)] == [70, 0]
    await books.assert_balanced()


async def test_unmerge_gives_each_side_what_came_under_its_own_id(books: Books) -> None:
    alias, root, reward = uuid4(), uuid4(), coupon(40)
    await books.add(reward)
    before = earn_of(alias, 3_000, paid_at=now() - DAY)
    await books.earn(before, earn_of(root, 5_000))
    await books.link(alias, root, 1)
    meanwhile = earn_of(alias, 2_000)
    await books.earn(meanwhile, earn_of(root, 1_000))
    # Spends 30 of what came first, under the one id, and 10 of what came next, under the other.
    await books.redeem((root, reward.id))
    await books.link(alias, root, 2, merged=False)
    await books.assert_balanced()
    total = await available(books, alias, root)
    assert sum(total) == 70
    assert (await books.balance(alias)).account_id == alias
    lots = await books.rows(
        "SELECT member_id, coalesce(origin_id, member_id) AS owner FROM lots WHERE remaining_points > 0"
    )
    assert all(lot.member_id == lot.owner for lot in lots)
    # Late events land with the side that they name.
    await books.earn(earn_of(alias, 700))
    assert await available(books, alias, root) == [total[0] + 7, total[1]]
    await books.refund(refund_of(meanwhile, 2_000, complete=True))
    assert (await books.balance(root)).available_points == total[1]
    await books.assert_balanced()


async def test_what_was_spent_while_merged_goes_back_to_both_sides_lots(books: Books) -> None:
    alias, root, reward = uuid4(), uuid4(), coupon(80)
    await books.add(reward)
    await books.earn(earn_of(alias, 3_000), earn_of(root, 5_000))
    await books.link(alias, root, 1)
    (redeemed,) = await books.redeem((root, reward.id))
    assert isinstance(redeemed, Redeemed)
    await books.link(alias, root, 2, merged=False)
    assert await available(books, alias, root) == [0, 0]
    assert await books.reverse(redeemed.redemption_id, "r1") == 80
    assert await available(books, alias, root) == [30, 50]
    await books.assert_balanced()


async def test_unmerge_leaves_holds_with_what_they_have_pinned(books: Books) -> None:
    alias, root = uuid4(), uuid4()
    await books.give(alias, 100, expires_at=now() + 10 * DAY)
    await books.give(root, 100, expires_at=now() + 20 * DAY)
    await books.link(alias, root, 1)
    # It pins the whole lot of the alias and half of the other's.
    held = await books.hold(root, 150)
    assert isinstance(held, Held)
    await books.link(alias, root, 2, merged=False)
    await books.assert_balanced()
    ours, theirs = await books.balance(root), await books.balance(alias)
    assert (ours.available_points, ours.held_points) == (50, 150)
    assert (theirs.available_points, theirs.held_points) == (0, 0)
    assert isinstance(await books.capture(held.hold_id, 120), Held)
    balance = await books.balance(root)
    assert (balance.available_points, balance.spent_points) == (80, 120)
    await books.assert_balanced()


async def test_links_heard_late_or_twice_change_nothing(books: Books) -> None:
    alias, root = uuid4(), uuid4()
    await books.earn(earn_of(alias), earn_of(root))
    await books.link(alias, root, 2, merged=False)
    await books.link(alias, root, 1)
    assert await available(books, alias, root) == [100, 100]
    for _ in range(2):
        await books.link(alias, root, 3)
    assert await available(books, alias, root) == [200, 200]
    assert (await books.summary())["entries"] == 4
    await books.assert_balanced()


async def test_a_chain_is_parted_in_the_middle(books: Books) -> None:
    first, second, third = uuid4(), uuid4(), uuid4()
    await books.earn(earn_of(first, 1_000), earn_of(second, 2_000), earn_of(third, 4_000))
    await books.link(first, second, 1)
    await books.link(second, third, 1)
    await books.link(second, third, 2, merged=False)
    assert await available(books, first, second, third) == [30, 30, 40]
    await books.assert_balanced()


async def test_debt_follows_when_a_circle_is_opened(books: Books) -> None:
    first, second, reward = *sorted((uuid4(), uuid4())), coupon(100)
    await books.add(reward)
    order = earn_of(first)
    await books.earn(order)
    # Two merges that contradict each other, then one of them is undone: who stood for both is an alias now.
    await books.link(second, first, 1)
    await books.link(first, second, 1)
    await books.redeem((first, reward.id))
    await books.refund(refund_of(order, 10_000, complete=True))
    await books.link(second, first, 2, merged=False)
    balance = await books.balance(first)
    assert (balance.account_id, balance.debt_points) == (second, 100)
    await books.assert_balanced()


async def test_pending_points_and_expiry_by_inactivity_go_along(books: Books) -> None:
    alias, root = uuid4(), uuid4()
    policy = ExpiryPolicy.parse("sliding:30d")
    await books.give(alias, 40, matures_at=now() + DAY)
    await books.give(alias, 60, policy=policy)
    await books.give(root, 10, policy=policy, earned_at=now() - 10 * DAY)
    await books.link(alias, root, 1)
    balance = await books.balance(root)
    assert (balance.available_points, balance.pending_points) == (70, 40)
    assert dict(balance.expirations)[now() + 30 * DAY] == 70
    await books.pass_time(timedelta(days=2))
    assert (await books.balance(root)).available_points == 110
    await books.expire()
    assert (await books.balance(root)).available_points == 110
    await books.assert_balanced()


async def test_activity_of_whom_nothing_is_left_puts_off_the_expiry_of_the_other(books: Books) -> None:
    alias, root, reward = uuid4(), uuid4(), coupon(60)
    policy = ExpiryPolicy.parse("sliding:30d")
    await books.add(reward)
    await books.give(root, 10, policy=policy, earned_at=now() - 10 * DAY)
    await books.give(alias, 60, policy=policy)
    await books.redeem((alias, reward.id))
    await books.link(alias, root, 1)
    ((expires_at, points),) = (await books.balance(root)).expirations
    assert points == 10
    assert expires_at > now() + 29 * DAY
    await books.assert_balanced()


async def again_if_sacrificed(work: Callable[[], Awaitable[object]]) -> None:
    """Do what the consumer does: an account and its survivor's may be locked in either order."""
    while True:
        try:
            await work()
        except DBAPIError as error:
            if not is_transient(error):
                raise
        else:
            return


async def test_merging_beside_orders_loses_nothing(books: Books) -> None:
    members = [uuid4() for _ in range(6)]
    chance = random.Random(5)
    work: list[Callable[[], Awaitable[object]]] = []
    for number, member in enumerate(members[1:], start=1):
        work.append(partial(books.link, member, members[number - 1], 1))
    work += [partial(books.earn, earn_of(chance.choice(members))) for _ in range(30)]
    chance.shuffle(work)
    await asyncio.gather(*map(again_if_sacrificed, work))
    assert await available(books, *members) == [3_000] * 6
    await books.assert_balanced()


@given(
    st.dictionaries(st.integers(0, 6), st.integers(0, 6), max_size=7).map(
        lambda links: {UUID(int=key): UUID(int=value) for key, value in links.items() if key != value}
    )
)
def test_everybody_has_one_root_even_in_a_circle(links: dict[UUID, UUID]) -> None:
    members = [UUID(int=number) for number in range(7)]
    found = roots(links, members)
    for member in members:
        # Whoever is linked has the same root, and a root is its own.
        assert found[member] == found[links.get(member, member)]
        assert found[found[member]] == found[member]


async def test_a_hold_is_voided_while_its_members_are_parted(books: Books) -> None:
    alias, root = uuid4(), uuid4()
    await books.earn(earn_of(alias))
    await books.link(alias, root, 1)
    held = await books.hold(alias, 60)
    assert isinstance(held, Held)
    async with books.database.dedicated() as watcher, books.database.transaction() as session:
        await operations.merge(session, [operations.Link(alias, root, False, 2, now())])
        voiding = asyncio.create_task(books.void(held.hold_id))
        await eventually(lambda: watcher.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"))
    assert isinstance(await voiding, Held)
    assert await available(books, alias, root) == [100, 0]
    await books.assert_balanced()


async def test_points_that_come_back_keep_the_expiry_that_activity_has_put_off(books: Books) -> None:
    policy = ExpiryPolicy.parse("sliding:30d")
    alias, root = uuid4(), uuid4()
    await books.give(alias, 100, policy=policy)
    await books.link(alias, root, 1)
    await books.pass_time(20 * DAY)
    await books.give(root, 10, policy=policy)
    await books.pass_time(20 * DAY)
    await books.link(alias, root, 2, merged=False)
    assert await available(books, alias, root) == [100, 10]
    await books.assert_balanced()


async def test_a_first_order_is_a_persons(books: Books) -> None:
    is_first = {"field": "member.first_order", "op": "eq", "value": True}
    await books.rule_set(order_bonuses=[{"id": "first", "points": 50, "when": is_first}])
    alias, root = uuid4(), uuid4()
    await books.earn(earn_of(alias))
    await books.link(alias, root, 1)
    await books.earn(earn_of(root))
    assert (await books.balance(root)).earned_points == 250
