"""The API as a caller sees it."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from services.points.app import service
from services.points.operations import Held, Redeemed
from services.points.settings import PointsSettings
from shared.auth import create_key
from shared.database import Database
from shared.testing import api_client
from tests.fixtures.moment import now
from tests.points.ledger import DAY, Books, coupon, earn_of, refund_of
from tests.points.test_referrals import join, share

COUPON = {"name": "5 off", "kind": "coupon", "cost_points": 100, "coupon": {"promotion_id": "5-off"}}


@pytest.fixture
async def client(points_database: Database) -> AsyncIterator[httpx.AsyncClient]:
    settings = PointsSettings(database_url=points_database.url, role="api")
    async with api_client(service.application(settings), key="rk_development") as caller:
        yield caller


async def add_reward(client: httpx.AsyncClient, **fields: Any) -> str:
    answer = await client.post("/v1/rewards", json=COUPON | fields)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["reward_id"])


async def test_balance_and_entries(client: httpx.AsyncClient, books: Books) -> None:
    member = uuid4()
    order = earn_of(member)
    await books.earn(order)
    await books.refund(refund_of(order, 4_000))
    answer = await client.get(f"/v1/members/{member}/points")
    # A query of any kind takes the way through the framework.
    assert (await client.get(f"/v1/members/{member}/points", params={"x": "1"})).content == answer.content
    assert answer.json() == {
        "member_id": str(member),
        "account_id": str(member),
        "available_points": 60,
        "pending_points": 0,
        "held_points": 0,
        "debt_points": 0,
        "lifetime": {
            "earned": 100,
            "spent": 0,
            "expired": 0,
            "clawed_back": 40,
            "adjusted": 0,
            "transferred": 0,
            "forfeited": 0,
        },
        "expirations": [{"expires_at": (now() + 365 * DAY).isoformat().replace("+00:00", "Z"), "points": 60}],
        "maturities": [],
    }
    page = (await client.get(f"/v1/members/{member}/entries", params={"limit": 1})).json()
    (entry,) = page["items"]
    assert (entry["kind"], entry["points"], entry["refund_id"], entry["reason"]) == (
        "claw_back",
        -40,
        "r1",
        "Order refunded",
    )
    page = (
        await client.get(f"/v1/members/{member}/entries", params={"limit": 1, "cursor": page["next_cursor"]})
    ).json()
    assert (page["items"][0]["kind"], page["items"][0]["order_id"]) == ("earn", str(order.order_id))
    assert page["next_cursor"] is None


async def test_what_no_order_earned_names_none(client: httpx.AsyncClient, books: Books) -> None:
    await books.rule_set(referral={"points": 100})
    sharer, order = uuid4(), earn_of(uuid4())
    await books.earn(order)
    await join(books, order.member_id, await share(books, sharer), order.order_id)
    await books.refund(refund_of(order, 10_000))
    for entry in (await client.get(f"/v1/members/{sharer}/entries")).json()["items"]:
        assert (entry["order_id"], entry["refund_id"]) == (None, None)


async def test_what_a_hold_spent_is_no_redemption(client: httpx.AsyncClient, books: Books) -> None:
    member, reward = uuid4(), coupon(30)
    await books.add(reward)
    await books.earn(earn_of(member))
    held = await books.hold(member, 20)
    assert isinstance(held, Held)
    await books.capture(held.hold_id)
    (redeemed,) = await books.redeem((member, reward.id))
    assert isinstance(redeemed, Redeemed)
    entries = (await client.get(f"/v1/members/{member}/entries")).json()["items"]
    assert [entry["redemption_id"] for entry in entries] == [str(redeemed.redemption_id), None, None]


async def test_a_member_without_points_has_none(client: httpx.AsyncClient) -> None:
    answer = await client.get(f"/v1/members/{uuid4()}/points")
    assert answer.status_code == 200
    assert answer.json()["available_points"] == 0


async def test_redeem_and_what_it_leaves(client: httpx.AsyncClient, books: Books) -> None:
    member = uuid4()
    await books.earn(earn_of(member, 15_000))
    reward = await add_reward(client, stock=5)
    body = {"member_id": str(member), "reward_id": reward, "order_id": str(uuid4())}
    rehearsed = await client.post("/v1/redemptions", json=body, params={"dry_run": "true"})
    assert (rehearsed.status_code, rehearsed.headers["dry-run"]) == (201, "true")
    answer = await client.post("/v1/redemptions", json=body, headers={"Idempotency-Key": "k"})
    assert answer.status_code == 201
    redemption = answer.json()
    assert (redemption["points"], redemption["available_points"], redemption["status"]) == (
        100,
        50,
        "pending",
    )
    again = await client.post("/v1/redemptions", json=body, headers={"Idempotency-Key": "k"})
    assert (again.status_code, again.json()) == (201, redemption)
    assert again.headers["idempotency-replayed"] == "true"
    other = body | {"order_id": None}
    conflict = await client.post("/v1/redemptions", json=other, headers={"Idempotency-Key": "k"})
    assert (conflict.status_code, conflict.json()["code"]) == (409, "idempotency_conflict")
    poor = await client.post("/v1/redemptions", json=body)
    assert poor.status_code == 422
    problem = poor.json()
    assert (problem["code"], problem["available_points"]) == ("insufficient_points", 50)
    shown = (await client.get(f"/v1/redemptions/{redemption['redemption_id']}")).json()
    listed = (await client.get(f"/v1/members/{member}/redemptions")).json()
    assert listed == {"items": [shown], "next_cursor": None}
    assert (await client.get(f"/v1/rewards/{reward}")).json()["stock"] == 4
    await books.assert_balanced()


async def test_fifty_parallel_redemptions_with_balance_for_one(
    client: httpx.AsyncClient, books: Books
) -> None:
    member = uuid4()
    await books.earn(earn_of(member))
    reward = await add_reward(client)
    body = {"member_id": str(member), "reward_id": reward}
    answers = await asyncio.gather(*(client.post("/v1/redemptions", json=body) for _ in range(50)))
    codes = sorted(answer.status_code for answer in answers)
    assert codes == [201] + [422] * 49
    assert {answer.json().get("code") for answer in answers} == {None, "insufficient_points"}
    summary = (await client.get("/v1/summary")).json()
    assert (summary["spent_points"], summary["available_points"], summary["redemptions"]) == (100, 0, 1)
    assert (summary["entries_sum"], summary["lot_mismatches"]) == (0, 0)


@pytest.mark.parametrize(
    ("reward", "code"),
    [
        ({"stock": 0}, "reward_out_of_stock"),
        ({"ends_at": "2026-01-01T00:00:00Z"}, "reward_not_available"),
        ({"cost_points": 101}, "insufficient_points"),
    ],
)
async def test_refusals_of_a_redemption(
    client: httpx.AsyncClient, books: Books, reward: dict[str, Any], code: str
) -> None:
    member = uuid4()
    await books.earn(earn_of(member))
    body = {"member_id": str(member), "reward_id": await add_reward(client, **reward)}
    answer = await client.post("/v1/redemptions", json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, code)


async def test_a_reward_that_does_not_exist(client: httpx.AsyncClient) -> None:
    body = {"member_id": str(uuid4()), "reward_id": str(uuid4())}
    answer = await client.post("/v1/redemptions", json=body)
    assert (answer.status_code, answer.json()["code"]) == (404, "reward_not_found")
    assert (await client.get(f"/v1/rewards/{uuid4()}")).status_code == 404
    assert (await client.patch(f"/v1/rewards/{uuid4()}", json={})).status_code == 404
    assert (await client.delete(f"/v1/rewards/{uuid4()}")).status_code == 404
    answer = await client.get(f"/v1/redemptions/{uuid4()}")
    assert (answer.status_code, answer.json()["code"]) == (404, "redemption_not_found")


async def test_rewards_are_made_changed_listed_and_retired(client: httpx.AsyncClient) -> None:
    first = await add_reward(client, cost_minor=500, cost_currency="USD")
    batch = [COUPON | {"name": "second"}, COUPON | {"cost_points": 0}, COUPON | {"name": "third"}]
    answer = await client.post("/v1/rewards", json=batch)
    assert answer.status_code == 200
    results = answer.json()["results"]
    assert [result["status"] for result in results] == ["accepted", "refused", "accepted"]
    assert results[1]["problem"]["code"] == "invalid_item"
    page = (await client.get("/v1/rewards", params={"limit": 2})).json()
    rest = (await client.get("/v1/rewards", params={"cursor": page["next_cursor"]})).json()
    assert [item["name"] for item in page["items"] + rest["items"]] == ["5 off", "second", "third"]
    changed = await client.patch(f"/v1/rewards/{first}", json={"stock": 3, "name": "6 off"})
    assert (changed.json()["stock"], changed.json()["name"]) == (3, "6 off")
    dry = await client.patch(f"/v1/rewards/{first}", json={"stock": 9}, params={"dry_run": "true"})
    assert dry.json()["stock"] == 9
    assert (await client.get(f"/v1/rewards/{first}")).json()["stock"] == 3
    retired = await client.delete(f"/v1/rewards/{first}")
    assert retired.json()["retired_at"] is not None
    body = {"member_id": str(uuid4()), "reward_id": first}
    assert (await client.post("/v1/redemptions", json=body)).json()["code"] == "reward_not_available"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"starts_at": "2027-01-02T00:00:00Z", "ends_at": "2027-01-01T00:00:00Z"}, "invalid_window"),
        ({"cost_points": -1}, "invalid_request"),
        ({"cost_points": 10**15 + 1}, "invalid_request"),
        ({"cost_minor": 5}, "invalid_request"),
        ({"kind": "yacht"}, "invalid_request"),
        ({"name": "\x00"}, "invalid_request"),
        ({"colour": "red"}, "invalid_request"),
    ],
)
async def test_a_bad_reward_is_refused(client: httpx.AsyncClient, change: dict[str, Any], code: str) -> None:
    answer = await client.post("/v1/rewards", json=COUPON | change)
    assert (answer.status_code, answer.json()["code"]) == (422, code)


async def test_rules_have_versions(client: httpx.AsyncClient) -> None:
    rules = (await client.get("/v1/rules/earning")).json()
    assert (rules["current"]["version"], rules["current"]["points_per_unit"]) == (1, 1)
    assert rules["current"]["lot_lifetime_days"] == 365
    answer = await client.put("/v1/rules/earning", json={"points_per_unit": 2})
    assert (answer.status_code, answer.json()["version"]) == (200, 2)
    later = (now() + timedelta(days=30)).isoformat()
    await client.put("/v1/rules/earning", json={"points_per_unit": 3, "effective_at": later})
    rules = (await client.get("/v1/rules/earning")).json()
    assert rules["current"]["version"] == 2
    assert [version["points_per_unit"] for version in rules["versions"]] == [1, 2, 3]
    for moment in ("2020-01-01T00:00:00Z", later, None):
        answer = await client.put("/v1/rules/earning", json={"points_per_unit": 4, "effective_at": moment})
        assert (answer.status_code, answer.json()["code"]) == (409, "rule_in_the_past")


async def test_who_may_do_what(client: httpx.AsyncClient, points_database: Database) -> None:
    async with points_database.transaction() as session:
        reader = await create_key(session, name="reader", scopes=["points:read"])
    headers = {"Authorization": f"Bearer {reader.secret}"}
    body = {"member_id": str(uuid4()), "reward_id": str(UUID(int=1))}
    assert (await client.get("/v1/summary", headers=headers)).status_code == 200
    assert (await client.post("/v1/redemptions", json=body, headers=headers)).status_code == 403
    assert (await client.post("/v1/rewards", json=COUPON, headers=headers)).status_code == 403
    wrong = {"Authorization": "Bearer rk_nobody"}
    assert (await client.get("/v1/summary", headers=wrong)).status_code == 401


async def test_a_cursor_of_another_list_is_refused(client: httpx.AsyncClient, books: Books) -> None:
    for _ in range(2):
        await add_reward(client)
    page = (await client.get("/v1/rewards", params={"limit": 1})).json()
    answer = await client.get(f"/v1/members/{uuid4()}/entries", params={"cursor": page["next_cursor"]})
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_cursor")


async def test_readiness_shows_the_backlogs(client: httpx.AsyncClient) -> None:
    body = (await client.get("/readyz")).json()
    assert {"due_lots", "parked_refunds"} <= body["backlog"].keys(), body
