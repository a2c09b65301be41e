"""A connection lost between commit and answer: nobody knows what happened until the same key asks again."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import httpx
import pytest

from services.points.app import service
from services.points.settings import PointsSettings
from shared.database import Database
from shared.testing import api_client
from tests.fixtures.cutting import Wire, cut_wire
from tests.points.ledger import Books, coupon, earn_of

BALANCE = 100


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
@pytest.mark.parametrize("path", ["/v1/redemptions", "/v1/transfers"])
async def test_a_crash_between_commit_and_answer_has_one_effect_and_the_retry_its_answer(
    client: httpx.AsyncClient, wire: Wire, books: Books, path: str
) -> None:
    reward = coupon(60)
    await books.add(reward)
    await books.earn(earn_of(member := uuid4()))
    bodies: dict[str, dict[str, Any]] = {
        "/v1/redemptions": {"member_id": str(member), "reward_id": str(reward.id)},
        "/v1/transfers": {
            "from_id": str(member),
            "to_id": str(uuid4()),
            "points": 60,
            "reason": "A present",
        },
    }
    body, headers = bodies[path], {"Idempotency-Key": "cart-1"}
    wire.word = b"cart-1"
    lost = await client.post(path, json=body, headers=headers)
    assert wire.cuts == 1
    # It cannot be said whether anything happened, so it is not said that nothing did.
    assert (lost.status_code, lost.json()["code"]) == (503, "unavailable")
    assert (await books.balance(member)).available_points == BALANCE - 60

    retried = await client.post(path, json=body, headers=headers)
    assert (retried.status_code, retried.headers["idempotency-replayed"]) == (201, "true")
    assert retried.json()["available_points"] == BALANCE - 60
    assert (await books.balance(member)).available_points == BALANCE - 60
    again = await client.post(path, json=body, headers=headers)
    assert again.json() == retried.json()
    await books.assert_balanced()
