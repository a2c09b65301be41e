"""Points moved by hand: given, taken, and above the limit only with a second pair of eyes."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from sqlalchemy import text

from services.points import operations
from services.points.app import service
from services.points.operations import Adjust, Decide
from services.points.settings import PointsSettings
from shared.auth import create_key
from shared.database import Database
from shared.testing import api_client
from tests.fixtures.moment import now
from tests.points.ledger import DAY, Books, earn_of, names, outbox

LIMIT = 10_000


async def adjust(books: Books, *commands: Adjust) -> list[Any]:
    async with books.database.transaction() as session:
        return list(await operations.adjust(session, commands))


async def decide(books: Books, *commands: Decide) -> list[Any]:
    async with books.database.transaction() as session:
        return list(await operations.decide(session, commands))


def give(member: UUID, points: int, **more: Any) -> Adjust:
    return Adjust(member, points, "Parcel arrived late", more.pop("actor", "anna"), **more)


async def proposed(books: Books, points: int = LIMIT + 1, **more: Any) -> tuple[UUID, UUID]:
    """(member, proposal) above the limit."""
    member = uuid4()
    (result,) = await adjust(books, give(member, points, **more))
    assert result.row.status == "pending_approval"
    return member, result.row.id


async def test_given_points_can_be_spent_and_expire_as_the_program_says(books: Books) -> None:
    member = uuid4()
    (result,) = await adjust(books, give(member, 250))
    assert (result.row.status, result.row.entry_id is not None, result.available_points) == (
        "posted",
        True,
        250,
    )
    balance = await books.balance(member)
    ((expires_at, points),) = balance.expirations
    assert points == 250
    assert expires_at - result.row.requested_at == 365 * DAY
    async with books.database.reading() as session:
        (event,) = await outbox(session, "points.adjusted")
    assert (event["points"], event["balance_points"]) == (250, 250)  # type: ignore[index]  # JSON
    (entry,) = await books.rows("SELECT kind, contra, actor, reason FROM entries")
    assert tuple(entry) == ("adjust", "adjustment", "anna", "Parcel arrived late")
    await books.assert_balanced()


async def test_given_points_expire_when_the_request_says(books: Books) -> None:
    never, later = uuid4(), uuid4()
    await adjust(books, give(never, 5, expires_at=None), give(later, 5, expires_at=now() + 10 * DAY))
    assert (await books.balance(never)).expirations == []
    assert (await books.balance(later)).expirations == [(now() + 10 * DAY, 5)]


async def test_taken_points_come_from_the_lot_that_expires_soonest(books: Books) -> None:
    member = uuid4()
    late, soon = earn_of(member), earn_of(member, 3_000, paid_at=now() - 300 * DAY)
    await books.earn(late, soon)
    (result,) = await adjust(books, give(member, -50))
    assert result.available_points == 80
    assert [points for _, points in (await books.balance(member)).expirations] == [80]
    await books.assert_balanced()


async def test_taking_more_than_there_is_makes_no_debt_unless_that_is_allowed(books: Books) -> None:
    member = uuid4()
    await books.earn(earn_of(member, 3_000))
    refused, taken = await adjust(books, give(member, -50), give(member, -50, allow_debt=True))
    assert refused.code == "insufficient_points"
    assert refused.members["available_points"] == 30
    assert taken.available_points == 0
    assert (await books.balance(member)).debt_points == 20
    (repaid,) = await adjust(books, give(member, 25))
    assert repaid.available_points == 5
    assert (await books.balance(member)).debt_points == 0
    await books.assert_balanced()


async def test_nothing_can_be_taken_from_who_has_no_account(books: Books) -> None:
    (refused,) = await adjust(books, give(uuid4(), -1, allow_debt=True))
    assert refused.code == "insufficient_points"
    assert (await books.summary())["accounts"] == 0


async def test_a_batch_is_posted_in_order_and_one_refusal_fails_no_neighbour(books: Books) -> None:
    member, other = uuid4(), uuid4()
    results = await adjust(
        books,
        give(member, -10),
        give(member, 100),
        give(other, 7),
        give(member, -60),
        give(member, -60),
        give(member, 30),
        give(member, -60),
    )
    assert names(results) == [
        "InsufficientPoints",
        *["Adjusted"] * 3,
        "InsufficientPoints",
        *["Adjusted"] * 2,
    ]
    assert (await books.balance(member)).available_points == 10
    assert (await books.balance(other)).available_points == 7
    await books.assert_balanced()


async def test_points_that_would_be_expired_already_are_not_given(books: Books) -> None:
    (refused,) = await adjust(books, give(uuid4(), 5, expires_at=now() - DAY))
    assert refused.code == "expiry_in_the_past"


async def test_above_the_limit_nothing_moves_until_another_key_approves(books: Books) -> None:
    member, proposal = await proposed(books)
    assert (await books.balance(member)).available_points == 0
    (own,) = await decide(books, Decide(proposal, True, "anna"))
    assert own.code == "own_approval"
    (approved,) = await decide(books, Decide(proposal, True, "ben", "Checked the parcel"))
    assert (approved.row.status, approved.available_points) == ("approved", LIMIT + 1)
    assert (await books.balance(member)).available_points == LIMIT + 1
    (entry,) = await books.rows("SELECT actor, detail ->> 'approved_by' AS approved_by FROM entries")
    assert tuple(entry) == ("anna", "ben")
    (again,) = await decide(books, Decide(proposal, True, "carl"))
    assert (again.code, again.members["adjustment_status"]) == ("already_decided", "approved")
    await books.assert_balanced()


async def test_a_rejected_proposal_moves_nothing(books: Books) -> None:
    member, proposal = await proposed(books)
    (own, rejected, late) = await decide(
        books,
        Decide(proposal, False, "anna"),
        Decide(proposal, False, "ben", "No parcel"),
        Decide(proposal, True, "carl"),
    )
    assert own.code == "own_approval"
    assert (rejected.row.status, rejected.row.decision_reason) == ("rejected", "No parcel")
    assert late.code == "already_decided"
    assert (await books.balance(member)).available_points == 0


async def test_a_proposal_lapses_by_the_databases_clock_whether_or_not_the_job_came(books: Books) -> None:
    _, proposal = await proposed(books)
    async with books.database.transaction() as session:
        await session.execute(text("UPDATE adjustments SET lapses_at = clock_timestamp()"))
    (late,) = await decide(books, Decide(proposal, True, "ben"))
    assert (late.code, late.members["adjustment_status"]) == ("already_decided", "lapsed")
    async with books.database.transaction() as session:
        assert (await operations.show_adjustment(session, proposal)).status == "lapsed"
        assert await operations.lapse_adjustments(session, limit=10) == 1
        assert await operations.lapse_adjustments(session, limit=10) == 0


async def test_who_spent_the_points_meanwhile_cannot_have_them_taken(books: Books) -> None:
    """A proposal promises nothing: approving is judged by what is there then, and can be tried again."""
    member = uuid4()
    await adjust(books, *(give(member, LIMIT, actor=actor) for actor in ("x", "y")))
    (result,) = await adjust(books, give(member, -LIMIT - 5))
    await adjust(books, give(member, -LIMIT, actor="z"))
    (refused,) = await decide(books, Decide(result.row.id, True, "ben"))
    assert refused.code == "insufficient_points"
    await adjust(books, give(member, 5, actor="z2"))
    (approved,) = await decide(books, Decide(result.row.id, True, "ben"))
    assert approved.available_points == 0
    await books.assert_balanced()


async def test_slices_do_not_pass_below_the_limit(books: Books) -> None:
    member = uuid4()
    results = await adjust(books, give(member, 6_000), give(member, 6_000), give(member, 4_000))
    assert [result.row.status for result in results] == ["posted", "pending_approval", "posted"]
    (more,) = await adjust(books, give(member, 1))
    assert more.row.status == "pending_approval"
    other_key, other_member = await adjust(books, give(member, 1, actor="ben"), give(uuid4(), 1))
    assert {other_key.row.status, other_member.row.status} == {"posted"}
    async with books.database.transaction() as session:
        await session.execute(text("UPDATE adjustments SET requested_at = requested_at - interval '1 day'"))
    (tomorrow,) = await adjust(books, give(member, 1))
    assert tomorrow.row.status == "posted"


async def test_the_limit_is_one_for_all_ids_of_a_person(books: Books) -> None:
    alias, root = uuid4(), uuid4()
    await adjust(books, give(alias, 6_000))
    await books.link(alias, root, 1)
    results = await adjust(books, give(root, 4_000), give(root, 1), give(alias, 1))
    assert [result.row.status for result in results] == ["posted", "pending_approval", "pending_approval"]


@pytest.fixture
async def client(points_database: Database) -> AsyncIterator[httpx.AsyncClient]:
    settings = PointsSettings(database_url=points_database.url, role="api")
    async with api_client(service.application(settings), key="rk_development") as caller:
        yield caller


def body(member: UUID, points: int, **more: Any) -> dict[str, Any]:
    return {"member_id": str(member), "points": points, "reason": "Parcel arrived late", **more}


async def test_the_api_posts_proposes_decides_and_lists(
    client: httpx.AsyncClient, books: Books, points_database: Database
) -> None:
    member = uuid4()
    rehearsed = await client.post("/v1/adjustments", json=body(member, 5), params={"dry_run": "true"})
    assert (rehearsed.status_code, rehearsed.json()["available_points"]) == (201, 5)
    keyed = {"Idempotency-Key": "k1"}
    posted = await client.post("/v1/adjustments", json=body(member, 5), headers=keyed)
    again = await client.post("/v1/adjustments", json=body(member, 5), headers=keyed)
    assert posted.json() == again.json()
    assert again.headers["idempotency-replayed"] == "true"
    waiting = await client.post("/v1/adjustments", json=body(member, LIMIT))
    assert (waiting.status_code, waiting.json()["status"]) == (202, "pending_approval")
    path = f"/v1/adjustments/{waiting.json()['adjustment_id']}"
    own = await client.post(f"{path}/approve")
    assert (own.status_code, own.json()["code"]) == (403, "own_approval")
    async with points_database.transaction() as session:
        other = await create_key(session, name="ben", scopes=["points:admin"])
    ben = {"Authorization": f"Bearer {other.secret}"}
    approved = await client.post(f"{path}/approve", json={"reason": "Seen"}, headers=ben)
    assert (approved.status_code, approved.json()["available_points"]) == (200, LIMIT + 5)
    twice = await client.post(f"{path}/reject", headers=ben)
    assert (twice.status_code, twice.json()["code"]) == (409, "already_decided")
    shown = (await client.get(path)).json()
    assert (shown["status"], shown["decided_by"]) == ("approved", other.key_id)
    page = (await client.get("/v1/adjustments", params={"member_id": str(member), "limit": 1})).json()
    assert page["items"] == [shown]
    rest = await client.get("/v1/adjustments", params={"status": "posted", "cursor": page["next_cursor"]})
    assert [item["points"] for item in rest.json()["items"]] == [5]
    missing = await client.post(f"/v1/adjustments/{uuid4()}/approve")
    assert (missing.status_code, missing.json()["code"]) == (404, "adjustment_not_found")
    assert (await client.get(f"/v1/adjustments/{uuid4()}")).status_code == 404
    assert (await books.balance(member)).available_points == LIMIT + 5


async def test_the_api_takes_a_batch(client: httpx.AsyncClient, books: Books) -> None:
    member = uuid4()
    items = [
        body(member, 5),
        body(member, 0),
        body(member, -6),
        body(member, LIMIT),
        body(member, -1, expires_at=now().isoformat()),
        body(member, 1, expires_at=(now() + timedelta(days=1)).isoformat()),
    ]
    answer = await client.post("/v1/adjustments", json=items)
    assert answer.status_code == 200
    results = answer.json()["results"]
    assert [result["status"] for result in results] == [
        "posted",
        "refused",
        "refused",
        "pending_approval",
        "refused",
        "posted",
    ]
    codes = [result["problem"]["code"] for result in results if result["status"] == "refused"]
    assert codes == ["invalid_item", "insufficient_points", "invalid_item"]
    assert (await books.balance(member)).available_points == 6


@pytest.mark.parametrize(
    "bad",
    [
        {"points": 0},
        {"points": 10**15 + 1},
        {"points": -(10**15) - 1},
        {"points": 1.5},
        {"reason": ""},
        {"reason": " \t\n"},
        {"points": 5, "allow_debt": True},
        {"member_id": "kim"},
    ],
)
async def test_a_bad_adjustment_is_refused(client: httpx.AsyncClient, bad: dict[str, Any]) -> None:
    answer = await client.post("/v1/adjustments", json=body(uuid4(), 5) | bad)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")


async def test_adjusting_takes_more_than_the_right_to_write(
    client: httpx.AsyncClient, points_database: Database
) -> None:
    async with points_database.transaction() as session:
        writer = await create_key(session, name="shop", scopes=["points:write"])
    headers = {"Authorization": f"Bearer {writer.secret}"}
    answer = await client.post("/v1/adjustments", json=body(uuid4(), 5), headers=headers)
    assert answer.status_code == 403
