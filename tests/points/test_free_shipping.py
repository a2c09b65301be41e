"""Free shipping: applied by itself, once per order, and undone with it, whatever is heard first."""

import asyncio
import random
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from services.points.app import service
from services.points.domain import Reward
from services.points.handlers import handlers, unwanted
from services.points.settings import PointsSettings
from shared.database import Database
from shared.events import Event, OrderCancelled, OrderPlaced, OrderRefunded
from shared.ids import new_id
from shared.testing import api_client
from tests.fixtures.moment import now
from tests.points.ledger import DAY, Books, coupon, earn_of, envelope, outbox


@pytest.fixture
async def client(points_database: Database) -> AsyncIterator[httpx.AsyncClient]:
    settings = PointsSettings(database_url=points_database.url, role="api")
    async with api_client(service.application(settings), key="rk_development") as caller:
        yield caller


def shipping(cost_points: int = 30, **changes: Any) -> Reward:
    reward = coupon(cost_points)
    reward.kind, reward.reference = "free_shipping", None
    for name, value in changes.items():
        setattr(reward, name, value)
    return reward


def placed(
    member: UUID, *, shipping_minor: int = 500, at: datetime | None = None, **changes: Any
) -> OrderPlaced:
    # Asked now and not when the tests were collected: a choice holds for orders placed after it.
    at = at or datetime.now(UTC)
    values: dict[str, Any] = {
        "order_id": new_id(),
        "member_id": member,
        "source": "shop",
        "shop_id": "1",
        "external_order_id": "1",
        "currency": "USD",
        "total_minor": 10_000,
        "shipping_minor": shipping_minor,
        "placed_at": at,
        "lines": [],
    }
    return OrderPlaced(**values | changes)


def cancelled(order: OrderPlaced) -> OrderCancelled:
    return OrderCancelled(
        order_id=order.order_id,
        member_id=order.member_id,
        source=order.source,
        shop_id=order.shop_id,
        external_order_id=order.external_order_id,
        cancelled_at=now(),
    )


async def hear(books: Books, *events: Event) -> None:
    """Hear events as the consumer hands them over: passing over what nobody wants."""
    async with books.database.transaction() as session:
        passed_over = await unwanted(session)
        heard = [event for event in events if handlers.wants(event) and event.type not in passed_over]
        await handlers.dispatch(session, [envelope(event) for event in heard])


async def chosen(client: httpx.AsyncClient, books: Books, reward: Reward, total_minor: int = 10_000) -> UUID:
    """A member with points who wants the reward on every order."""
    member = uuid4()
    await books.earn(earn_of(member, total_minor))
    if (await client.get(f"/v1/rewards/{reward.id}")).status_code == 404:
        await books.add(reward)
    body = {"free_shipping": {"reward_id": str(reward.id)}}
    answer = await client.put(f"/v1/members/{member}/choices", json=body)
    assert answer.status_code == 200, answer.text
    return member


async def benefits(client: httpx.AsyncClient, order: OrderPlaced) -> dict[str, Any]:
    found: dict[str, Any] = (await client.get(f"/v1/orders/{order.order_id}/benefits")).json()
    return found


async def available(books: Books, member: UUID) -> int:
    return (await books.balance(member)).available_points


async def test_an_order_with_postage_ships_for_free_by_itself_and_once(
    client: httpx.AsyncClient, books: Books
) -> None:
    member = await chosen(client, books, shipping())
    order = placed(member)
    await hear(books, order, order)
    await hear(books, order)
    assert await available(books, member) == 70
    shown = await benefits(client, order)
    assert shown["free_shipping"]["status"] == "applied"
    (redemption,) = shown["redemptions"]
    assert (redemption["points"], redemption["status"]) == (30, "granted")
    async with books.database.reading() as session:
        (granted,) = await outbox(session, "reward.granted")
    assert (granted["reward_kind"], granted["order_id"]) == ("free_shipping", str(order.order_id))
    await books.assert_balanced()


async def test_without_postage_choice_points_or_cover_nothing_is_applied(
    client: httpx.AsyncClient, books: Books
) -> None:
    member = await chosen(client, books, shipping(max_shipping_minor=500, max_shipping_currency="USD"))
    poor = await chosen(client, books, shipping(200))
    orders = {
        "none": placed(member, shipping_minor=0),
        "stranger": placed(uuid4()),
        "before": placed(member, at=datetime.now(UTC) - DAY),
        "dear": placed(member, shipping_minor=501),
        "foreign": placed(member, currency="EUR"),
        "poor": placed(poor),
    }
    await hear(books, *orders.values())
    decided = {name: (await benefits(client, order))["free_shipping"] for name, order in orders.items()}
    assert {name: benefit and benefit["reason"] for name, benefit in decided.items()} == {
        "none": None,
        "stranger": None,
        "before": None,
        "dear": "shipping_not_covered",
        "foreign": "shipping_not_covered",
        "poor": "insufficient_points",
    }
    # Decided is decided: points that come later change nothing about an order that was told before.
    await books.earn(earn_of(poor, 90_000))
    await hear(books, orders["poor"])
    assert (await available(books, member), await available(books, poor)) == (100, 1000)


async def test_cancel_after_free_shipping(client: httpx.AsyncClient, books: Books) -> None:
    member = uuid4()
    old = earn_of(member, 2_000, paid_at=now() - 100 * DAY)
    await books.earn(old, earn_of(member, 8_000))
    reward = shipping()
    await books.add(reward)
    await client.put(f"/v1/members/{member}/choices", json={"free_shipping": {"reward_id": str(reward.id)}})
    before = await books.balance(member)
    order = placed(member)
    await hear(books, order)
    assert await available(books, member) == 70
    await hear(books, cancelled(order), cancelled(order))
    await hear(books, cancelled(order), order)
    after = await books.balance(member)
    # The points are back in the lots that they came from, so they expire when they would have.
    assert (after.available_points, after.expirations) == (100, before.expirations)
    shown = await benefits(client, order)
    assert shown["free_shipping"]["status"] == "cancelled"
    (redemption,) = shown["redemptions"]
    assert (redemption["status"], redemption["reason"]) == ("cancelled", "order_cancelled")
    async with books.database.reading() as session:
        (said,) = await outbox(session, "reward.cancelled")
    assert (said["points"], said["balance_points"], said["order_id"]) == (30, 100, str(order.order_id))
    await books.assert_balanced()


async def test_cancelled_before_it_is_heard_that_it_was_placed(
    client: httpx.AsyncClient, books: Books
) -> None:
    member = await chosen(client, books, shipping())
    order = placed(member)
    await hear(books, cancelled(order))
    await hear(books, order)
    assert await available(books, member) == 100
    assert (await benefits(client, order))["free_shipping"]["status"] == "cancelled"


async def test_an_order_that_is_refunded_whole_gives_its_shipping_back(
    client: httpx.AsyncClient, books: Books
) -> None:
    member = await chosen(client, books, shipping())
    order = placed(member)
    whole = OrderRefunded(
        order_id=order.order_id,
        member_id=member,
        source="shop",
        shop_id="1",
        external_order_id="1",
        refund_id="r",
        refunded_at=now(),
        currency="USD",
        amount_minor=10_000,
        complete=True,
    )
    await hear(books, order, whole)
    await hear(books, whole)
    assert await available(books, member) == 100
    assert (await benefits(client, order))["redemptions"][0]["reason"] == "order_refunded"
    await books.assert_balanced()


@pytest.mark.parametrize("seed", range(3))
async def test_shuffled_and_repeated_the_end_is_the_same(
    client: httpx.AsyncClient, books: Books, seed: int
) -> None:
    reward = shipping(10)
    members = [await chosen(client, books, reward) for _ in range(3)]
    orders = [placed(member) for member in members for _ in range(4)]
    called_off = [cancelled(order) for order in orders[::2]]
    chance = random.Random(seed)
    story = chance.sample([*orders, *called_off] * 3, 3 * (len(orders) + len(called_off)))
    while story:
        batch = [story.pop() for _ in range(min(len(story), chance.randint(1, 12)))]
        await hear(books, *batch)
    assert [await available(books, member) for member in members] == [80, 80, 80]
    await books.assert_balanced()


async def test_points_for_one_order_and_many_orders_at_once(client: httpx.AsyncClient, books: Books) -> None:
    member = await chosen(client, books, shipping(60))
    orders = [placed(member) for _ in range(8)]
    await asyncio.gather(*(hear(books, order) for order in orders))
    decided = [(await benefits(client, order))["free_shipping"]["status"] for order in orders]
    assert (decided.count("applied"), decided.count("refused")) == (1, 7)
    assert await available(books, member) == 40


async def test_for_one_order_by_hand(client: httpx.AsyncClient, books: Books) -> None:
    member, reward = uuid4(), shipping()
    await books.earn(earn_of(member))
    await books.add(reward)
    order = placed(member)
    body = {"member_id": str(member), "reward_id": str(reward.id)}
    assert (await client.post("/v1/redemptions", json=body)).json()["code"] == "order_required"
    body["order_id"] = str(order.order_id)
    dear = shipping(101)
    await books.add(dear)
    refused = await client.post("/v1/redemptions", json=body | {"reward_id": str(dear.id)})
    assert refused.json()["code"] == "insufficient_points"
    # The refusal decided nothing about the order.
    assert (await benefits(client, order))["free_shipping"] is None
    answers = await asyncio.gather(*(client.post("/v1/redemptions", json=body) for _ in range(5)))
    codes = [answer.json().get("code") for answer in answers]
    assert (codes.count(None), codes.count("benefit_already_decided")) == (1, 4)
    await hear(books, order)
    assert await available(books, member) == 70
    await hear(books, cancelled(order))
    assert await available(books, member) == 100
    again = await client.post("/v1/redemptions", json=body)
    assert (again.status_code, again.json()["code"]) == (409, "benefit_already_decided")


async def test_choices_are_made_shown_and_ended(client: httpx.AsyncClient, books: Books) -> None:
    reward, other = shipping(), coupon()
    member = await chosen(client, books, reward)
    await books.add(other)
    where = f"/v1/members/{member}/choices"
    shown = (await client.get(where)).json()
    assert shown["free_shipping"]["reward_id"] == str(reward.id)
    # The same choice again was made when it was made first.
    again = await client.put(where, json={"free_shipping": {"reward_id": str(reward.id)}})
    assert again.json() == shown
    for wrong in (other.id, uuid4()):
        answer = await client.put(where, json={"free_shipping": {"reward_id": str(wrong)}})
        assert (answer.status_code, answer.json()["code"]) == (422, "not_free_shipping")
    rehearsed = await client.put(where, json={"free_shipping": None}, params={"dry_run": "true"})
    assert rehearsed.json()["free_shipping"] is None
    assert (await client.get(where)).json() == shown
    assert (await client.put(where, json={"free_shipping": None})).json()["free_shipping"] is None
    order = placed(member)
    await hear(books, order)
    assert await available(books, member) == 100
    await client.delete(f"/v1/rewards/{reward.id}")
    answer = await client.put(where, json={"free_shipping": {"reward_id": str(reward.id)}})
    assert answer.json()["code"] == "reward_not_available"


async def test_a_choice_is_the_persons_under_whichever_id_it_is_made_or_ended(
    client: httpx.AsyncClient, books: Books
) -> None:
    reward, root = shipping(), uuid4()
    alias = await chosen(client, books, reward)
    await books.link(alias, root, 1)
    where = f"/v1/members/{root}/choices"
    shown = (await client.get(where)).json()
    assert (shown["member_id"], shown["free_shipping"]["reward_id"]) == (str(root), str(reward.id))
    assert (await client.put(where, json={"free_shipping": None})).json()["free_shipping"] is None
    await hear(books, placed(root), placed(alias))
    assert await available(books, root) == 100


async def test_as_long_as_nobody_chose_placed_orders_are_not_even_read(
    client: httpx.AsyncClient, books: Books
) -> None:
    async with books.database.reading() as session:
        assert await unwanted(session) == ("order.placed",)
    await chosen(client, books, shipping())
    async with books.database.reading() as session:
        assert await unwanted(session) == ()


async def test_an_order_placed_by_a_clock_a_little_behind_counts(
    client: httpx.AsyncClient, books: Books
) -> None:
    member = await chosen(client, books, shipping())
    await hear(books, placed(member, at=datetime.now(UTC) - timedelta(minutes=2)))
    assert await available(books, member) == 70
