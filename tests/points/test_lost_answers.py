"""A connection lost between commit and answer: nobody knows what happened until the same key asks again."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from services.points.app import service
from services.points.settings import PointsSettings
from shared.database import Database
from shared.testing import api_client
from tests.fixtures.cutting import Wire, cut_wire
from tests.points.ledger import Books, coupon, earn_of

KEY = {"Idempotency-Key": "cart-1"}


@pytest.fixture
async def wire(points_database: Database) -> AsyncIterator[Wire]:
    async with cut_wire(points_database.url) as wire:
        yield wire


@pytest.fixture
async def client(wire: Wire) -> AsyncIterator[httpx.AsyncClient]:
    settings = PointsSettings(database_url=wire.url, role="api")
    async with api_client(service.application(settings), key="rk_development") as caller:
        yield caller


# A group-committed route, whose batch is lost as a whole, and one with a transaction of its own.
PATHS = ["/v1/redemptions", "/v1/transfers"]


async def spending(books: Books, path: str) -> tuple[UUID, dict[str, Any]]:
    """A member with 100 points, and a request that spends 60 of them."""
    member, reward = uuid4(), coupon(60)
    await books.add(reward)
    await books.earn(earn_of(member))
    if path == "/v1/redemptions":
        return member, {"member_id": str(member), "reward_id": str(reward.id)}
    return member, {"from_id": str(member), "to_id": str(uuid4()), "points": 60, "reason": "A present"}


@pytest.mark.parametrize("path", PATHS)
async def test_a_crash_between_commit_and_answer_has_one_effect_and_the_retry_its_answer(
    client: httpx.AsyncClient, wire: Wire, books: Books, path: str
) -> None:
    member, body = await spending(books, path)
    wire.word = b"cart-1"
    lost = await client.post(path, json=body, headers=KEY)
    assert wire.cuts == 1
    # It cannot be said whether anything happened, so it is not said that nothing did.
    assert (lost.status_code, lost.json()["code"]) == (503, "unavailable")
    assert (await books.balance(member)).available_points == 40

    retried = await client.post(path, json=body, headers=KEY)
    assert (retried.status_code, retried.headers["idempotency-replayed"]) == (201, "true")
    again = await client.post(path, json=body, headers=KEY)
    assert again.json() == retried.json()
    assert retried.json()["available_points"] == 40
    assert (await books.balance(member)).available_points == 40
    await books.assert_balanced()


@pytest.mark.parametrize("path", PATHS)
async def test_the_same_idempotency_key_in_flight_twice_spends_once(
    client: httpx.AsyncClient, books: Books, path: str
) -> None:
    member, body = await spending(books, path)
    answers = await asyncio.gather(*(client.post(path, json=body, headers=KEY) for _ in range(2)))
    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[0].json() == answers[1].json()
    assert sorted("idempotency-replayed" in answer.headers for answer in answers) == [False, True]
    assert (await books.balance(member)).available_points == 40
    await books.assert_balanced()
