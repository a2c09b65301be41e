"""What the program owes, by month of expiry, and what is never spent, by month of issue."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import httpx
import pytest

from services.points import operations
from services.points.app import service
from services.points.domain import ExpiryPolicy
from services.points.settings import PointsSettings
from shared.database import Database
from shared.testing import api_client
from tests.fixtures.moment import now
from tests.points.ledger import DAY, Books, coupon, earn_of

# Far enough ahead that no test ever runs past it.
AHEAD = datetime(2090, 1, 31, 23, 30, tzinfo=UTC)


@pytest.fixture
async def client(
    points_database: Database, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[httpx.AsyncClient]:
    program = PointsSettings.model_validate(
        {
            "database_url": points_database.url,
            "role": "api",
            "zone": "Europe/Berlin",
            "point_values_minor": {"USD": "0.5", "JPY": "1"},
        }
    )
    monkeypatch.setattr("services.points.operations.liability.settings", lambda: program)
    async with api_client(service.application(program), key="rk_development") as caller:
        yield caller


async def liability(client: httpx.AsyncClient) -> dict[str, Any]:
    answer = await client.get("/v1/liability")
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def test_nothing_is_owed_before_anybody_earned(client: httpx.AsyncClient) -> None:
    body = await liability(client)
    assert (body["outstanding_points"], body["months"], body["cohorts"]) == (0, [], [])
    assert (body["zone"], body["values_minor"]) == ("Europe/Berlin", {"USD": 0, "JPY": 0})


async def test_outstanding_points_by_local_month_of_expiry_with_their_value(
    client: httpx.AsyncClient, books: Books
) -> None:
    member, other = uuid4(), uuid4()
    await books.give(member, 101, expires_at=AHEAD)
    await books.give(member, 50, expires_at=AHEAD - DAY)
    await books.give(other, 30, expires_at=None)
    await books.give(other, 7, expires_at=AHEAD, matures_at=AHEAD - 10 * DAY)
    await books.hold(member, 20)
    body = await liability(client)
    # Half past eleven in the evening of 31 January in UTC is February in Berlin.
    assert body["months"] == [
        {
            "month": "2090-01",
            "outstanding_points": 50,
            "held_points": 20,
            "pending_points": 0,
            "values_minor": {"USD": 25, "JPY": 50},
        },
        {
            "month": "2090-02",
            "outstanding_points": 108,
            "held_points": 0,
            "pending_points": 7,
            "values_minor": {"USD": 54, "JPY": 108},
        },
        {
            "month": None,
            "outstanding_points": 30,
            "held_points": 0,
            "pending_points": 0,
            "values_minor": {"USD": 15, "JPY": 30},
        },
    ]
    assert (body["outstanding_points"], body["held_points"], body["pending_points"]) == (188, 20, 7)
    assert body["values_minor"] == {"USD": 94, "JPY": 188}


async def test_points_past_their_date_are_owed_no_longer_unless_they_are_held(
    client: httpx.AsyncClient, books: Books
) -> None:
    member, other = uuid4(), uuid4()
    await books.give(member, 100, expires_at=now() + 10 * DAY)
    await books.give(other, 5, expires_at=now() + 10 * DAY)
    await books.hold(member, 40, minutes=30 * 24 * 60)
    await books.pass_time(11 * DAY)
    body = await liability(client)
    assert (body["outstanding_points"], body["held_points"]) == (40, 40)


async def test_sliding_points_expire_in_the_month_of_their_account(
    client: httpx.AsyncClient, books: Books
) -> None:
    member = uuid4()
    await books.give(member, 10, policy=ExpiryPolicy.parse("sliding:36500d"))
    ((at, _),) = (await books.balance(member)).expirations
    (month,) = (await liability(client))["months"]
    assert (month["month"][:4], month["outstanding_points"]) == (f"{at:%Y}", 10)


async def test_debt_is_shown_beside_and_not_taken_off(client: httpx.AsyncClient, books: Books) -> None:
    reward, member = coupon(60), uuid4()
    await books.add(reward)
    order = earn_of(member)
    await books.earn(order)
    await books.redeem((member, reward.id))
    await books.earn(earn_of(uuid4()))
    async with books.database.transaction() as session:
        await operations.adjust(session, [operations.Adjust(member, -100, "Fraud", "anna", allow_debt=True)])
    body = await liability(client)
    assert (body["outstanding_points"], body["debt_points"]) == (100, 60)


async def test_breakage_by_month_of_issue(client: httpx.AsyncClient, books: Books) -> None:
    member, other = uuid4(), uuid4()
    autumn, winter = datetime(2020, 10, 31, 22, 59, tzinfo=UTC), datetime(2020, 10, 31, 23, tzinfo=UTC)
    reward = coupon(25)
    await books.add(reward)
    await books.give(member, 100, earned_at=autumn, expires_at=now() + DAY)
    await books.give(member, 60, earned_at=winter, expires_at=now() + 300 * DAY)
    await books.redeem((member, reward.id))
    await books.transfer(member, other, 15)
    await books.pass_time(2 * DAY)
    await books.expire()
    # Of a hundred 25 were spent and 60 expired with the one, 15 with the other who was given them.
    assert (await liability(client))["cohorts"] == [
        {
            "month": "2020-10",
            "issued_points": 100,
            "expired_points": 75,
            "outstanding_points": 0,
            "breakage": 0.75,
        },
        {
            "month": "2020-11",
            "issued_points": 60,
            "expired_points": 0,
            "outstanding_points": 60,
            "breakage": 0.0,
        },
    ]


async def test_an_opening_is_issued_in_the_month_in_which_it_was_earned_elsewhere(
    client: httpx.AsyncClient, books: Books
) -> None:
    rows = [
        {
            "source": "old",
            "row_id": "1",
            "member_id": str(uuid4()),
            "points": 10,
            "earned_at": "2021-05-05T00:00:00Z",
        }
    ]
    await client.post("/v1/openings", json=rows)
    (cohort,) = (await liability(client))["cohorts"]
    assert (cohort["month"], cohort["issued_points"], cohort["breakage"]) == ("2021-05", 10, 0.0)
