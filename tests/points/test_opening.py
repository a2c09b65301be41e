"""Points that members bring along from another system: each row once, with the dates it had there."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from services.points import operations
from services.points.app import service
from services.points.operations import Opening
from services.points.settings import PointsSettings
from shared.database import Database
from shared.testing import api_client
from tests.fixtures.moment import now
from tests.points.ledger import DAY, Books, earn_of, names, outbox, refund_of


def row(member: UUID, number: int = 1, points: int = 500, **fields: Any) -> Opening:
    """A row of the old system: earned a hundred days ago, for a year."""
    opening = Opening(
        "old-crm",
        str(number),
        member,
        points,
        now() - 100 * DAY,
        now() + 265 * DAY,
        "Opening balance",
        "anna",
    )
    return opening._replace(**fields)


async def bring(books: Books, *rows: Opening) -> list[Any]:
    async with books.database.transaction() as session:
        return list(await operations.open_balances(session, rows))


async def test_points_keep_the_dates_that_they_had(books: Books) -> None:
    member = uuid4()
    await bring(books, row(member), row(member, 2, 70, expires_at=None))
    balance = await books.balance(member)
    assert (balance.available_points, balance.earned_points) == (570, 0)
    assert balance.expirations == [(now() + 265 * DAY, 500)]
    (entry, _) = await books.rows("SELECT * FROM entries ORDER BY sequence")
    assert (entry.kind, entry.contra, entry.actor, entry.occurred_at) == (
        "opening",
        "issuance",
        "anna",
        now() - 100 * DAY,
    )
    async with books.database.reading() as session:
        (event, _) = await outbox(session, "points.opened")
    assert (event["source"], event["points"], event["balance_points"]) == ("old-crm", 500, 500)  # type: ignore[index]  # JSON
    await books.assert_balanced()


async def test_a_row_is_brought_in_once_however_often_it_is_told_of(books: Books) -> None:
    member = uuid4()
    first = await bring(books, row(member), row(member), row(member, 2))
    again = await bring(books, row(member, 2), row(member))
    assert [result.status for result in first] == ["accepted", "unchanged", "accepted"]
    assert [result.status for result in again] == ["unchanged", "unchanged"]
    assert again[1].entry_id == first[0].entry_id
    assert (await books.balance(member)).available_points == 1_000
    await books.assert_balanced()


@pytest.mark.parametrize(
    "other",
    [
        {"points": 501},
        {"member_id": UUID(int=7)},
        {"expires_at": None},
        {"expires_at": 266 * DAY},
        {"earned_at": -99 * DAY},
    ],
)
async def test_a_known_row_that_says_something_else_is_refused(books: Books, other: dict[str, Any]) -> None:
    member = uuid4()
    await bring(books, row(member))
    said = {name: now() + value if isinstance(value, timedelta) else value for name, value in other.items()}
    results = await bring(books, row(member, **said), row(member, 2))
    assert names(results) == ["OpeningConflict", "Opened"]
    assert (await books.balance(member)).available_points == 1_000


async def test_the_same_row_of_another_source_is_another_row(books: Books) -> None:
    member = uuid4()
    await bring(books, row(member), row(member, source="older-crm"))
    assert (await books.balance(member)).available_points == 1_000


async def test_what_has_expired_meanwhile_comes_and_goes_and_both_are_seen(books: Books) -> None:
    member = uuid4()
    await bring(books, row(member, expires_at=now() - DAY), row(member, 2, 30))
    balance = await books.balance(member)
    assert (balance.available_points, balance.expired_points) == (30, 500)
    entries = await books.rows("SELECT kind, points FROM entries ORDER BY sequence")
    assert sorted(tuple(entry) for entry in entries) == [("expire", -500), ("opening", 30), ("opening", 500)]
    await books.assert_balanced()


async def test_points_brought_along_repay_debt(books: Books) -> None:
    member = uuid4()
    order = earn_of(member, 3_000)
    await books.earn(order)
    async with books.database.transaction() as session:
        await operations.adjust(session, [operations.Adjust(member, -30, "Spent", "anna")])
    await books.refund(refund_of(order, 3_000))
    assert (await books.balance(member)).debt_points == 30
    await bring(books, row(member, points=100))
    balance = await books.balance(member)
    assert (balance.debt_points, balance.available_points) == (0, 70)
    await books.assert_balanced()


async def test_the_same_file_sent_twice_at_once_is_brought_in_once(books: Books) -> None:
    members = [uuid4() for _ in range(5)]
    rows = [row(members[number % 5], number) for number in range(50)]
    both = await asyncio.gather(bring(books, *rows), bring(books, *reversed(rows)))
    assert sum(result.status == "accepted" for results in both for result in results) == 50
    assert (await books.summary())["available_points"] == 50 * 500
    await books.assert_balanced()


@pytest.fixture
async def client(points_database: Database) -> AsyncIterator[httpx.AsyncClient]:
    settings = PointsSettings(database_url=points_database.url, role="api")
    async with api_client(service.application(settings), key="rk_development") as caller:
        yield caller


def body(member: UUID, number: int = 1, **fields: Any) -> dict[str, Any]:
    return {
        "source": "old-crm",
        "row_id": str(number),
        "member_id": str(member),
        "points": 500,
        "earned_at": (now() - 100 * DAY).isoformat(),
        "expires_at": (now() + 265 * DAY).isoformat(),
        **{name: each.isoformat() if isinstance(each, datetime) else each for name, each in fields.items()},
    }


async def test_the_api_answers_each_row(client: httpx.AsyncClient, books: Books) -> None:
    member = uuid4()
    rows = [
        body(member),
        body(member, 2, points=0),
        body(member, 3, expires_at=now() - 101 * DAY),
        body(member, 4, earned_at=now() + 3 * DAY),
        body(member, 5, expires_at=None),
    ]
    rehearsed = await client.post("/v1/openings", json=rows, params={"dry_run": "true"})
    assert rehearsed.json()["results"][0]["status"] == "accepted"
    assert (await books.balance(member)).available_points == 0
    answer = await client.post("/v1/openings", json=rows)
    assert answer.status_code == 200
    results = answer.json()["results"]
    assert [result["status"] for result in results] == ["accepted", *["refused"] * 3, "accepted"]
    assert {result["problem"]["code"] for result in results if "problem" in result} == {"invalid_item"}
    again = (await client.post("/v1/openings", json=[rows[0], rows[4] | {"points": 1}])).json()["results"]
    assert again[0]["status"] == "unchanged"
    assert again[1]["problem"]["code"] == "opening_conflict"
    one = await client.post("/v1/openings", json=body(member, 6))
    known = await client.post("/v1/openings", json=body(member, 6))
    assert (one.status_code, known.status_code) == (201, 200)
    other = await client.post("/v1/openings", json=body(member, 6, points=7))
    assert (other.status_code, other.json()["code"]) == (409, "opening_conflict")
    entries = (await client.get(f"/v1/members/{member}/entries")).json()["items"]
    assert [(entry["kind"], entry["points"]) for entry in entries] == [("opening", 500)] * 3


@pytest.mark.parametrize("rows", [[], {}, 5, [body(UUID(int=1))] * 1_001])
async def test_a_batch_is_an_array_of_up_to_a_thousand(client: httpx.AsyncClient, rows: Any) -> None:
    answer = await client.post("/v1/openings", json=rows)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
