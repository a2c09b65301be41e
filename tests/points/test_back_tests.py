"""Back-tests: a draft on orders that have earned, with nothing changed."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import msgspec
import pytest

from services.points import operations
from services.points.app import service
from services.points.handlers import on_tiers_judged
from services.points.settings import PointsSettings
from shared.database import Database
from shared.events import Envelope, TierMove, TrialRecounted, TrialTiersJudged
from shared.ids import new_id
from shared.testing import api_client
from tests.fixtures.moment import now
from tests.points.ledger import DAY, Books, earn_of, outbox, refund_of
from tests.points.test_earning import bought, line


@pytest.fixture
async def client(points_database: Database) -> AsyncIterator[httpx.AsyncClient]:
    settings = PointsSettings(database_url=points_database.url, role="api")
    async with api_client(service.application(settings), key="rk_development") as caller:
        yield caller


async def run(client: httpx.AsyncClient, books: Books, **body: Any) -> dict[str, Any]:
    window = {"paid_from": (now() - 400 * DAY).isoformat(), "paid_until": (now() + DAY).isoformat()}
    answer = await client.post("/v1/rules/earning/back-tests", json=window | body)
    assert answer.status_code == 202, answer.text
    where = f"/v1/rules/earning/back-tests/{answer.json()['back_test_id']}"
    while (await client.get(where)).json()["status"] == "running":
        async with books.database.transaction() as session:
            # One account at a time: a back-test goes on from wherever it was laid aside.
            assert await operations.advance_back_test(session, accounts=1) == 1
    return dict((await client.get(where)).json())


async def asked(books: Books) -> list[TrialRecounted]:
    """What members were asked about tiers."""
    async with books.database.reading() as session:
        payloads = await outbox(session, "trial.recounted")
    return msgspec.convert(payloads, list[TrialRecounted])


async def answer(books: Books, *answers: TrialTiersJudged) -> None:
    """Let members answer, and the job see it."""
    envelopes = [
        Envelope(id=new_id(), type=each.type, source="members", time=now(), key=each.key, data=each)
        for each in answers
    ]
    async with books.database.transaction() as session:
        await on_tiers_judged(session, envelopes)
    async with books.database.transaction() as session:
        await operations.advance_back_test(session, accounts=1)


async def test_a_draft_is_tried_on_stored_orders(client: httpx.AsyncClient, books: Books) -> None:
    tea, plain, old = uuid4(), uuid4(), uuid4()
    await books.earn(
        bought(tea, line(1, 5_000, category="tea"), line(2, 5_000)),
        bought(tea, line(1, 1_000, category="tea")),
        bought(plain, line(1, 30_000)),
        earn_of(old, 2_000, paid_at=now() - 380 * DAY),
        earn_of(uuid4(), 7_000, paid_at=now() - 500 * DAY),
    )
    before = await books.summary()
    report = await run(
        client,
        books,
        terms={
            "base": {"points": 1},
            "multipliers": [
                {"id": "tea", "factor": "3", "when": {"field": "line.category", "op": "eq", "value": "tea"}}
            ],
            "caps": [{"per": "order", "points": 250}],
            "expiry": "none",
        },
    )
    assert (report["members"], report["orders"], report["orders_changed"]) == (3, 4, 3)
    assert (report["granted_points"], report["draft_points"], report["change_points"]) == (430, 500, 70)
    assert (report["granted_liability_points"], report["draft_liability_points"]) == (410, 500)
    assert (report["capped_orders"], report["capped_points"]) == (1, 50)
    assert report["winners"] == [{"member_id": str(tea), "points": 120}]
    assert report["losers"] == [{"member_id": str(plain), "points": -50}]
    assert (report["members_gaining"], report["members_losing"], report["orders_without_lines"]) == (1, 1, 1)
    assert await books.summary() == before
    await books.assert_balanced()


async def test_caps_first_orders_and_budgets_are_judged_as_they_would_have_been(
    client: httpx.AsyncClient, books: Books
) -> None:
    members = [uuid4() for _ in range(3)]
    for member in members:
        await books.earn(earn_of(member), earn_of(member))
    first = {"field": "member.first_order", "op": "eq", "value": True}
    bonus = {"order_bonuses": [{"id": "first", "points": 50, "when": first}]}
    report = await run(client, books, terms={"base": {"points": 1}} | bonus)
    assert report["change_points"] == 150
    budget = [{"scope": "program", "per": "month", "points": 130}, {"per": "day", "points": 60}]
    report = await run(client, books, terms={"base": {"points": 1}, "caps": budget})
    assert report["draft_points"] == 130


async def test_a_version_tried_on_its_own_orders_changes_nothing(
    client: httpx.AsyncClient, books: Books
) -> None:
    await books.earn(*(earn_of(uuid4(), 1_000 * number) for number in range(5)))
    report = await run(client, books, version=1)
    assert (report["orders"], report["change_points"], report["change_liability_points"]) == (5, 0, 0)
    version = await books.rule_set(base={"points": 3}, caps=[{"per": "day", "points": 100}])
    member = uuid4()
    await books.earn(earn_of(member), earn_of(member))
    report = await run(client, books, version=version, paid_from=now().isoformat())
    assert report["orders_changed"] == 4


async def test_tiers_are_what_members_say_of_them(client: httpx.AsyncClient, books: Books) -> None:
    tea, returned = uuid4(), uuid4()
    orders = [earn_of(tea), earn_of(tea, paid_at=now() - DAY), earn_of(returned), earn_of(returned, 1_000)]
    await books.earn(*orders, earn_of(uuid4(), 50))
    await books.refund(refund_of(orders[2], 10_000, complete=True), refund_of(orders[3], 500))
    report = await run(client, books, terms={"base": {"points": 3}})
    assert (report["status"], report["change_points"]) == ("judging_tiers", 620)
    # What was refunded would have been taken back too: 30 less 15, beside 10 less 5.
    assert report["change_liability_points"] == 400 + 10
    changes = {
        member.member_id: sorted(change.points for change in member.changes)
        for part in await asked(books)
        for member in part.members
    }
    assert changes == {tea: [200, 200], returned: [10]}
    test_id = UUID(report["back_test_id"])
    up = TierMove(from_tier="silver", to_tier="gold", is_up=True, members=1)
    down = TierMove(to_tier=None, from_tier="gold", is_up=False, members=2)
    answers = [
        TrialTiersJudged(back_test_id=test_id, part=part, tier_version=1, moves=moves, judged_at=now())
        for part, moves in ((1, [up]), (2, [up, down]))
    ]
    await answer(books, answers[0], answers[0])
    where = f"/v1/rules/earning/back-tests/{test_id}"
    assert (await client.get(where)).json()["status"] == "judging_tiers"
    await answer(books, *answers)
    report = (await client.get(where)).json()
    assert report["status"] == "done"
    assert (report["tiers"]["members_up"], report["tiers"]["members_down"]) == (2, 2)
    assert {"from_tier": "gold", "to_tier": None, "members": 2} in report["tiers"]["moves"]


async def test_somebody_with_very_many_orders_fits_into_a_record(
    client: httpx.AsyncClient, books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.points.operations.back_test.MAX_RECOUNTED", 2)
    member = uuid4()
    await books.earn(*(earn_of(member, paid_at=now() - hours * timedelta(hours=1)) for hours in range(5)))
    await run(client, books, terms={"base": {"points": 2}})
    ((recount,),) = [part.members for part in await asked(books)]
    assert sum(change.points for change in recount.changes) == 500
    assert len(recount.changes) <= 2


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"version": 99}, 404, "rule_not_found"),
        ({"version": 1, "paid_from": "2030-01-01T00:00:00Z"}, 422, "invalid_window"),
        ({}, 422, "invalid_request"),
        ({"version": 1, "terms": {}}, 422, "invalid_request"),
        ({"terms": {"exclude": {"all": 1}}}, 422, "invalid_rule_set"),
    ],
)
async def test_a_back_test_that_makes_no_sense_is_refused(
    client: httpx.AsyncClient, body: dict[str, Any], status: int, code: str
) -> None:
    window = {"paid_from": "2026-01-01T00:00:00Z", "paid_until": "2026-02-01T00:00:00Z"}
    answer = await client.post("/v1/rules/earning/back-tests", json=window | body)
    assert (answer.status_code, answer.json()["code"]) == (status, code)


async def test_a_back_test_that_does_not_exist(client: httpx.AsyncClient) -> None:
    answer = await client.get(f"/v1/rules/earning/back-tests/{UUID(int=1)}")
    assert (answer.status_code, answer.json()["code"]) == (404, "back_test_not_found")
