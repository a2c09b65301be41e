"""Explanations: every step with its reason, and why an order earned what it did or nothing."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from services.points.app import service
from services.points.settings import PointsSettings
from shared.database import Database
from shared.testing import api_client
from tests.points.ledger import Books, coupon, earn_of, refund_of


@pytest.fixture
async def client(points_database: Database) -> AsyncIterator[httpx.AsyncClient]:
    settings = PointsSettings(database_url=points_database.url, role="api")
    async with api_client(service.application(settings), key="rk_development") as caller:
        yield caller


async def explain(client: httpx.AsyncClient, member: UUID, order: UUID | None = None) -> dict[str, Any]:
    params = {"order_id": str(order)} if order is not None else {}
    answer = await client.get(f"/v1/members/{member}/points/explain", params=params)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def test_a_balance_is_derived_step_by_step(client: httpx.AsyncClient, books: Books) -> None:
    member, reward = uuid4(), coupon(30)
    await books.add(reward)
    order = earn_of(member)
    await books.earn(order)
    await books.redeem((member, reward.id))
    await books.refund(refund_of(order, 2_000))
    body = await explain(client, member)
    assert [(step["kind"], step["points"], step["balance_points"]) for step in body["steps"]] == [
        ("earn", 100, 100),
        ("redeem", -30, 70),
        ("claw_back", -20, 50),
    ]
    assert body["steps"][0]["because"] == [
        "100.00 USD paid, judged by version 1 of the earning rules.",
        "1 points for each whole USD.",
    ]
    assert body["steps"][2]["because"] == [
        "Order refunded.",
        "20.00 USD went back; judged by version 1, which granted.",
    ]
    (lot,) = body["lots"]
    assert (lot["order_id"], lot["points"], lot["remaining_points"]) == (str(order.order_id), 100, 50)
    assert (body["available_points"], body["earlier_points"]) == (50, 0)


async def test_an_order_under_a_rule_set_says_which_rules_and_caps_took_part(
    client: httpx.AsyncClient, books: Books
) -> None:
    member = uuid4()
    version = await books.rule_set(
        multipliers=[
            {"id": "live", "factor": "2", "when": {"field": "order.channel", "op": "eq", "value": "live"}}
        ],
        order_bonuses=[{"id": "thanks", "points": 5}],
        basis={"shipping": False},
        caps=[{"per": "day", "points": 30}],
    )
    order = earn_of(member, 4_500, channel="live", shipping_minor=500)
    await books.earn(order)
    await books.refund(refund_of(order, 4_500, complete=True))
    found = (await explain(client, member, order.order_id))["order"]
    assert (found["earned_points"], found["kept_points"], found["rule_version"]) == (30, 0, version)
    assert found["because"] == [
        f"45.00 USD paid, judged by version {version} of the earning rules.",
        "40.00 USD of it count.",
        "live: times 2.",
        "thanks: 2 points for the order.",
        "Earned 30 of 85: cap of the member per day.",
    ]
    (refund,) = found["refunds"]
    assert (refund["refund_id"], refund["clawed_back_points"]) == ("r1", 30)


@pytest.mark.parametrize(
    ("terms", "facts", "because"),
    [
        (None, {"total_minor": 0}, "It earned nothing: nothing was paid."),
        (
            None,
            {"total_minor": 99},
            "It earned nothing: it is below the amount that earns the first point.",
        ),
        (
            {"currency": "USD"},
            {"currency": "EUR"},
            "It earned nothing: the rules have no exchange rate for its currency.",
        ),
        ({"base": {"points": 0}}, {}, "It earned nothing: no rule gives points for it."),
        ({"caps": [{"per": "order", "points": 0}]}, {}, "Earned 0 of 100: cap of the member per order."),
    ],
)
async def test_why_an_order_earned_nothing(
    client: httpx.AsyncClient,
    books: Books,
    terms: dict[str, Any] | None,
    facts: dict[str, Any],
    because: str,
) -> None:
    if terms is not None:
        await books.rule_set(**terms)
    order = earn_of(uuid4(), **facts)
    await books.earn(order)
    found = (await explain(client, order.member_id, order.order_id))["order"]
    assert (found["earned_points"], found["because"][-1]) == (0, because)


async def test_an_order_is_explained_under_every_id_of_a_person(
    client: httpx.AsyncClient, books: Books
) -> None:
    alias, root = uuid4(), uuid4()
    order = earn_of(alias)
    await books.earn(order)
    await books.link(alias, root, 1)
    await books.refund(refund_of(order, 4_000))
    for member in (alias, root):
        found = await explain(client, member, order.order_id)
        assert (found["order"]["kept_points"], found["order"]["steps"][-1]["balance_points"]) == (60, 60)
        assert [lot["order_id"] for lot in found["lots"]] == [str(order.order_id)]


async def test_an_order_that_is_only_known_by_its_refund_or_not_at_all(
    client: httpx.AsyncClient, books: Books
) -> None:
    order = earn_of(uuid4())
    await books.refund(refund_of(order, 100))
    found = (await explain(client, order.member_id, order.order_id))["order"]
    assert found["because"] == ["No payment of this order has been heard of; its refunds wait for it."]
    assert found["refunds"][0]["applied_at"] is None
    answer = await client.get(
        f"/v1/members/{order.member_id}/points/explain", params={"order_id": str(uuid4())}
    )
    assert (answer.status_code, answer.json()["code"]) == (404, "order_not_known")
