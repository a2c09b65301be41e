"""Holds and transfers as a caller sees them."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import httpx
import pytest

from services.points.app import service
from services.points.settings import PointsSettings
from shared.database import Database
from shared.testing import api_client
from tests.points.ledger import Books, earn_of


@pytest.fixture
async def client(points_database: Database) -> AsyncIterator[httpx.AsyncClient]:
    settings = PointsSettings(database_url=points_database.url, role="api")
    async with api_client(service.application(settings), key="rk_development") as caller:
        yield caller


async def test_a_hold_is_made_captured_and_shown(client: httpx.AsyncClient, books: Books) -> None:
    member, order = str(uuid4()), str(uuid4())
    await books.earn(earn_of(member_id := uuid4()))
    member = str(member_id)
    body = {"member_id": member, "points": 70, "order_id": order}
    dry = await client.post("/v1/holds", json=body, params={"dry_run": "true"})
    assert (dry.status_code, dry.headers["dry-run"]) == (201, "true")
    answer = await client.post("/v1/holds", json=body)
    assert answer.status_code == 201, answer.text
    hold = answer.json()
    assert (hold["status"], hold["points"], hold["available_points"]) == ("held", 70, 30)
    poor = await client.post("/v1/holds", json=body)
    assert (poor.status_code, poor.json()["code"]) == (422, "insufficient_points")
    path = f"/v1/holds/{hold['hold_id']}"
    beyond = await client.post(f"{path}/capture", json={"points": 71})
    assert (beyond.status_code, beyond.json()["code"]) == (422, "hold_exceeded")
    captured = await client.post(f"{path}/capture", json={"points": 50})
    assert (captured.status_code, captured.json()["captured_points"]) == (200, 50)
    for action in ("capture", "void"):
        again = await client.post(f"{path}/{action}")
        assert (again.status_code, again.json()["code"]) == (409, "hold_already_captured")
    shown = (await client.get(path)).json()
    assert (shown["status"], shown["captured_points"], shown["order_id"]) == ("captured", 50, order)
    balance = (await client.get(f"/v1/members/{member}/points")).json()
    assert (balance["available_points"], balance["held_points"], balance["lifetime"]["spent"]) == (50, 0, 50)
    entries = (await client.get(f"/v1/members/{member}/entries")).json()["items"]
    assert (entries[0]["kind"], entries[0]["about_id"]) == ("redeem", hold["hold_id"])
    await books.assert_balanced()


async def test_same_idempotency_key_in_flight_twice_holds_once(
    client: httpx.AsyncClient, books: Books
) -> None:
    await books.earn(earn_of(member := uuid4()))
    body, headers = {"member_id": str(member), "points": 60}, {"Idempotency-Key": "cart-1"}
    answers = await asyncio.gather(*(client.post("/v1/holds", json=body, headers=headers) for _ in range(10)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["hold_id"] for answer in answers}) == 1
    assert (await books.balance(member)).held_points == 60
    other = await client.post("/v1/holds", json=body | {"points": 10}, headers=headers)
    assert (other.status_code, other.json()["code"]) == (409, "idempotency_conflict")
    await books.assert_balanced()


async def test_a_crash_between_commit_and_answer_changes_nothing_for_who_asks_again(
    client: httpx.AsyncClient, points_database: Database, books: Books
) -> None:
    await books.earn(earn_of(member := uuid4()))
    body, headers = {"member_id": str(member), "points": 60}, {"Idempotency-Key": "cart-1"}
    # The caller never sees the first answer, and asks a process that knows nothing of the first.
    first = await client.post("/v1/holds", json=body, headers=headers)
    settings = PointsSettings(database_url=points_database.url, role="api")
    async with api_client(service.application(settings), key="rk_development") as other:
        again = await other.post("/v1/holds", json=body, headers=headers)
        assert (again.status_code, again.json()) == (201, first.json())
        path = f"/v1/holds/{first.json()['hold_id']}"
        captured = await client.post(f"{path}/capture", headers=headers)
        replayed = await other.post(f"{path}/capture", headers=headers)
    assert (captured.status_code, replayed.json()) == (200, captured.json())
    assert (await books.balance(member)).spent_points == 60
    await books.assert_balanced()


async def test_a_batch_answers_each_item(client: httpx.AsyncClient, books: Books) -> None:
    await books.earn(earn_of(rich := uuid4()), earn_of(poor := uuid4(), 1_000))
    items: list[dict[str, Any]] = [
        {"member_id": str(rich), "points": 60},
        {"member_id": str(poor), "points": 60},
        {"member_id": str(rich), "points": 0},
        {"member_id": str(rich), "points": -5},
        {"member_id": str(rich), "points": 40},
    ]
    results = (await client.post("/v1/holds/batch", json=items)).json()["results"]
    assert [item["status"] for item in results] == ["accepted", "refused", "refused", "refused", "accepted"]
    assert [item.get("problem", {}).get("code") for item in results[1:4]] == [
        "insufficient_points",
        "invalid_item",
        "invalid_item",
    ]
    first, last = results[0]["result"]["hold_id"], results[4]["result"]["hold_id"]
    asked = [{"hold_id": first, "points": 10}, {"hold_id": first}, {"hold_id": str(uuid4())}]
    results = (await client.post("/v1/holds/capture", json=asked)).json()["results"]
    assert [item.get("problem", {}).get("code") for item in results] == [
        None,
        "hold_already_captured",
        "hold_not_found",
    ]
    results = (await client.post("/v1/holds/void", json=[{"hold_id": last}])).json()["results"]
    assert results[0]["result"]["available_points"] == 90
    await books.assert_balanced()


async def test_pending_points_mature_when_an_order_is_delivered(
    client: httpx.AsyncClient, books: Books
) -> None:
    await books.give(member := uuid4(), 50, pending=True, order_id=(order := uuid4()))
    shown = (await client.get(f"/v1/members/{member}/points")).json()
    assert (shown["pending_points"], shown["maturities"]) == (50, [{"matures_at": None, "points": 50}])
    body = {"order_ids": [str(order), str(uuid4())]}
    for points in (50, 0):
        answer = await client.post("/v1/orders/mature", json=body)
        assert (answer.status_code, answer.json()) == (200, {"matured_points": points})
    shown = (await client.get(f"/v1/members/{member}/points")).json()
    assert (shown["available_points"], shown["pending_points"]) == (50, 0)


async def test_transfers(client: httpx.AsyncClient, books: Books) -> None:
    await books.earn(earn_of(giver := uuid4()))
    taker = uuid4()
    body = {"from_id": str(giver), "to_id": str(taker), "points": 30, "reason": "A present"}
    answer = await client.post("/v1/transfers", json=body)
    assert (answer.status_code, answer.json()["available_points"]) == (201, 70)
    self_made = await client.post("/v1/transfers", json=body | {"to_id": str(giver)})
    assert (self_made.status_code, self_made.json()["code"]) == (422, "transfer_to_oneself")
    batch = [body, body | {"points": 100}, body | {"points": 0}]
    results = (await client.post("/v1/transfers", json=batch)).json()["results"]
    assert [item["status"] for item in results] == ["accepted", "refused", "refused"]
    assert (await books.balance(taker)).available_points == 60
    await books.assert_balanced()


@pytest.mark.parametrize("points", [0, -1, 10**15 + 1, 2**63, 1.5, "ten"])
async def test_amounts_that_are_none_are_refused(client: httpx.AsyncClient, points: object) -> None:
    answer = await client.post("/v1/holds", json={"member_id": str(uuid4()), "points": points})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")


async def test_holds_that_are_not_there(client: httpx.AsyncClient) -> None:
    path = f"/v1/holds/{uuid4()}"
    for answer in (
        await client.get(path),
        await client.post(f"{path}/capture"),
        await client.post(f"{path}/void"),
    ):
        assert (answer.status_code, answer.json()["code"]) == (404, "hold_not_found")
