"""Drawing lots over HTTP: paid for, limited, never oversold, and verifiable by anybody afterwards."""

import asyncio
import re
from collections.abc import AsyncIterator
from datetime import datetime, time, timedelta
from typing import Any
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import httpx
import pytest
from sqlalchemy import text

from cli.commands.verify_draw import read_draw
from services.points import operations
from services.points.app import service
from services.points.domain.lottery import commitment_of, oversold, problems_of
from services.points.settings import PointsSettings, settings
from shared.database import Database
from shared.testing import api_client
from tests.architecture.tree import ROOT
from tests.points.ledger import Books, coupon, earn_of, outbox

LOTTERY_PAGE = ROOT / "docs/decisions/lottery-by-commit-and-reveal.md"
NOTHING = {"name": "Nothing", "kind": "nothing", "weight": 1}


@pytest.fixture
async def client(points_database: Database) -> AsyncIterator[httpx.AsyncClient]:
    settings = PointsSettings(database_url=points_database.url, role="api")
    async with api_client(service.application(settings), key="rk_development") as caller:
        yield caller


async def add_lottery(client: httpx.AsyncClient, *prizes: dict[str, Any], **fields: Any) -> str:
    body = {
        "name": "Wheel",
        "kind": "lottery",
        "cost_points": 10,
        "lottery": {"prizes": list(prizes) or [NOTHING]},
    }
    answer = await client.post("/v1/rewards", json=body | fields)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["reward_id"])


def ticket_for(member: UUID, lottery: str, nonce: str = "n") -> dict[str, str]:
    return {"member_id": str(member), "lottery_id": lottery, "client_nonce": nonce}


async def draw(client: httpx.AsyncClient, member: UUID, lottery: str, nonce: str = "n") -> httpx.Response:
    return await client.post("/v1/draws", json=ticket_for(member, lottery, nonce))


async def rich(books: Books, count: int = 1) -> list[UUID]:
    members = [uuid4() for _ in range(count)]
    await books.earn(*(earn_of(member) for member in members))
    return members


async def end_rounds(books: Books, by: timedelta = timedelta(days=30)) -> None:
    """Move the clock past all rounds there are, by moving them back."""
    async with books.database.transaction() as session:
        for table, columns in (
            ("lottery_rounds", ("starts_at", "ends_at")),
            ("lottery_odds", ("effective_at",)),
        ):
            moved = ", ".join(f"{column} = {column} - CAST(:by AS interval)" for column in columns)
            await session.execute(text(f"UPDATE {table} SET {moved}"), {"by": by})


async def test_a_draw_is_paid_granted_and_verified_once_its_round_is_over(
    client: httpx.AsyncClient, books: Books
) -> None:
    (member,) = await rich(books)
    lottery = await add_lottery(
        client, NOTHING, {"name": "30 points", "kind": "points", "points": 30, "weight": 10**9, "stock": 5}
    )
    before = (await client.get(f"/v1/lotteries/{lottery}")).json()
    assert [each["seed"] for each in before["rounds"]] == [None, None]
    made = (await draw(client, member, lottery)).json()
    assert (made["outcome"], made["prize_number"], made["stock_before"]) == ("won", 2, 5)
    assert (made["cost_points"], made["points_won"], made["available_points"]) == (10, 30, 120)
    assert (await books.balance(member)).available_points == 120
    shown = (await client.get(f"/v1/draws/{made['draw_id']}")).json()
    assert shown["seed"] is None
    assert shown["commitment"] == before["rounds"][0]["commitment"]
    await end_rounds(books)
    shown = (await client.get(f"/v1/draws/{made['draw_id']}")).json()
    seed = bytes.fromhex(shown["seed"])
    assert commitment_of(seed) == before["rounds"][0]["commitment"]
    record, odds = read_draw(shown)
    assert odds.digest() == before["odds"][0]["digest"]
    assert problems_of(record, odds, seed, made["receipt"]) == []
    assert (await client.get(f"/v1/lotteries/{lottery}")).json()["odds"][0]["prizes"][1]["left_units"] == 4
    listed = (await client.get(f"/v1/lotteries/{lottery}/rounds/1/draws")).json()["items"]
    assert [item["draw_id"] for item in listed] == [made["draw_id"]]
    await books.assert_balanced()
    async with books.database.reading() as session:
        (said,) = await outbox(session, "lottery.drawn")
        assert await outbox(session, "reward.granted") == []
    assert (said["points_won"], said["receipt"]) == (30, made["receipt"])


async def test_the_lines_on_the_decision_page_verify_draws(client: httpx.AsyncClient, books: Books) -> None:
    (member,) = await rich(books)
    scarce = {"name": "1 point", "kind": "points", "points": 1, "weight": 2, "stock": 2}
    lottery = await add_lottery(client, NOTHING, scarce, cost_points=1)
    rounds = (await client.get(f"/v1/lotteries/{lottery}/rounds")).json()["items"]
    (published,) = (each["commitment"] for each in rounds if each["number"] == 1)
    tickets = [ticket_for(member, lottery, f"nonce-{number}") for number in range(12)]
    made = (await client.post("/v1/draws/batch", json=tickets)).json()["results"]
    assert {each["status"] for each in made} == {"accepted"}, made
    assert len({each["outcome"] for each in made}) > 1
    await end_rounds(books)
    (code,) = re.findall(r"```python\n(.*?)```", LOTTERY_PAGE.read_text(encoding="utf-8"), re.DOTALL)
    lines: dict[str, Any] = {}
    exec(code, lines)
    for each in made:
        shown = (await client.get(f"/v1/draws/{each['draw_id']}")).json()
        lines["verify"](shown, published)
        for altered in (
            {"ticket": (shown["ticket"] + 1) % 3},
            {"outcome": "won" if shown["outcome"] != "won" else "nothing"},
            {"client_nonce": "another that gives another ticket", "ticket": -1},
            {"seed": "00" * 32},
        ):
            with pytest.raises(AssertionError):
                lines["verify"](shown | altered, published)
        with pytest.raises(AssertionError):
            lines["verify"](shown, "00" * 32)


async def test_the_audit_knows_until_when_prizes_live(client: httpx.AsyncClient, books: Books) -> None:
    (member,) = await rich(books)
    points = {"kind": "points", "points": 30, "weight": 1}
    for_ever = await add_lottery(client, points | {"name": "30 points"})
    for_a_week = await add_lottery(client, points | {"name": "30 points", "lifetime_days": 7})
    drawn = [(await draw(client, member, lottery)).json() for lottery in (for_ever, for_a_week)]
    assert await books.findings() == []
    async with books.database.transaction() as session:
        await session.execute(
            text("UPDATE lots SET expires_at = now() + interval '20 days' WHERE points = 30")
        )
    assert [found.check for found in await books.findings()] == ["lot_date"] * len(drawn)


async def test_last_prize_and_a_hundred_drawers(client: httpx.AsyncClient, books: Books) -> None:
    members = await rich(books, 100)
    lottery = await add_lottery(
        client, {"name": "500", "kind": "points", "points": 500, "weight": 1, "stock": 1}
    )
    answers = await asyncio.gather(*(draw(client, member, lottery) for member in members))
    batches = [ticket_for(member, lottery, "again") for member in members]
    halves = [batches[:50], batches[50:]]
    more = await asyncio.gather(*(client.post("/v1/draws/batch", json=half) for half in halves))
    assert {item["outcome"] for answer in more for item in answer.json()["results"]} <= {"exhausted"}
    assert {answer.status_code for answer in answers} == {201}
    outcomes = [answer.json()["outcome"] for answer in answers]
    assert (outcomes.count("won"), outcomes.count("exhausted")) == (1, 99)
    await end_rounds(books)
    shown = [(await client.get(f"/v1/draws/{answer.json()['draw_id']}")).json() for answer in answers]
    read = [read_draw(each) for each in shown]
    assert oversold(read[0][1], [record for record, _ in read]) == []
    await books.assert_balanced()


async def test_draws_of_one_member_in_parallel_keep_the_daily_limit(
    client: httpx.AsyncClient, books: Books
) -> None:
    (member,) = await rich(books)
    lottery = await add_lottery(client, per_period={"period": "day", "limit": 3})
    answers = await asyncio.gather(*(draw(client, member, lottery, f"n{turn}") for turn in range(12)))
    codes = [answer.json().get("code") for answer in answers]
    assert (codes.count(None), codes.count("daily_limit_reached")) == (3, 9)
    numbers = sorted(answer.json()["draw_number"] for answer in answers if answer.status_code == 201)
    assert numbers == [1, 2, 3]
    assert (await books.balance(member)).available_points == 70


# Wherever the clock stands in UTC, one of these days began some hours ago and the other long ago.
@pytest.mark.parametrize("name", ["America/Los_Angeles", "Pacific/Auckland"])
async def test_the_daily_limit_ends_at_local_midnight(
    client: httpx.AsyncClient, books: Books, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(
        "services.points.operations.counter.settings", lambda: settings().model_copy(update={"zone": name})
    )
    (member,) = await rich(books)
    lottery = await add_lottery(client, per_period={"period": "day", "limit": 1})
    assert (await draw(client, member, lottery)).status_code == 201
    assert (await draw(client, member, lottery)).json()["code"] == "daily_limit_reached"
    moment = datetime.now(ZoneInfo(name))
    midnight = datetime.combine(moment.date(), time(), ZoneInfo(name))
    for drawn_at, answer in ((midnight - timedelta(microseconds=1), 201), (midnight, 422)):
        async with books.database.transaction() as session:
            await session.execute(text("UPDATE redemptions SET redeemed_at = :at"), {"at": drawn_at})
        assert (await draw(client, member, lottery)).status_code == answer


async def test_a_rehearsal_never_tells_what_a_draw_would_come_to(
    client: httpx.AsyncClient, books: Books
) -> None:
    (member,) = await rich(books)
    lottery = await add_lottery(client)
    answer = await client.post("/v1/draws", json=ticket_for(member, lottery), params={"dry_run": "true"})
    assert (answer.status_code, answer.json()) == (201, {"cost_points": 10, "available_points": 90})
    assert (await books.balance(member)).available_points == 100
    poor = ticket_for(uuid4(), lottery)
    answer = await client.post("/v1/draws/batch", json=[poor], params={"dry_run": "true"})
    assert answer.json()["results"][0]["problem"]["code"] == "insufficient_points"


async def test_a_batch_of_draws_answers_each(client: httpx.AsyncClient, books: Books) -> None:
    first, second = await rich(books, 2)
    lottery = await add_lottery(client)
    bodies = [
        ticket_for(first, lottery),
        ticket_for(uuid4(), lottery),
        ticket_for(second, lottery, "not | allowed"),
        ticket_for(first, lottery),
        ticket_for(first, str(uuid4())),
    ]
    headers = {"Idempotency-Key": "once"}
    answer = await client.post("/v1/draws/batch", json=bodies, headers=headers)
    results = answer.json()["results"]
    codes = [result.get("problem", {}).get("code") for result in results]
    assert codes == [None, "insufficient_points", "invalid_item", None, "lottery_not_found"]
    assert [results[0]["draw_number"], results[3]["draw_number"]] == [1, 2]
    again = await client.post("/v1/draws/batch", json=bodies, headers=headers)
    assert again.json() == answer.json()
    assert (await books.balance(first)).available_points == 80


async def test_rewards_of_the_catalogue_are_won_and_granted_for_nothing(
    client: httpx.AsyncClient, books: Books
) -> None:
    (member,) = await rich(books)
    mug = {"name": "A mug", "kind": "goods", "cost_points": 900, "goods": {"sku": "MUG"}, "stock": 0}
    goods = (await client.post("/v1/rewards", json=mug)).json()["reward_id"]
    lottery = await add_lottery(
        client, {"name": "A mug", "kind": "reward", "reward_id": goods, "weight": 1, "stock": 2}
    )
    made = (await draw(client, member, lottery)).json()
    won = (await client.get(f"/v1/redemptions/{made['redemption_id']}")).json()
    assert (won["points"], won["status"], won["fulfilment"]) == (0, "granted", "requested")
    assert won["draw_id"] == made["draw_id"]
    async with books.database.reading() as session:
        (granted,) = await outbox(session, "reward.granted")
    assert (granted["draw_id"], granted["reward_id"]) == (made["draw_id"], goods)


@pytest.mark.parametrize("kind", ["free_shipping", "lottery", "unknown"])
async def test_a_prize_needs_neither_an_order_nor_another_draw(client: httpx.AsyncClient, kind: str) -> None:
    prize = str(uuid4())
    if kind == "lottery":
        prize = await add_lottery(client)
    if kind == "free_shipping":
        body = {"name": "s", "kind": kind, "cost_points": 1}
        prize = (await client.post("/v1/rewards", json=body)).json()["reward_id"]
    line = {"name": "x", "kind": "reward", "reward_id": prize, "weight": 1}
    terms = {"name": "w", "kind": "lottery", "cost_points": 1, "lottery": {"prizes": [line]}}
    answer = await client.post("/v1/rewards", json=terms)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_prize")
    lottery = await add_lottery(client)
    answer = await client.put(f"/v1/lotteries/{lottery}/odds", json={"prizes": [line]})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_prize")


async def test_new_odds_are_for_the_next_round_and_never_for_this_one(
    client: httpx.AsyncClient, books: Books
) -> None:
    (member,) = await rich(books)
    lottery = await add_lottery(client, NOTHING)
    better = {"prizes": [{"name": "5 points", "kind": "points", "points": 5, "weight": 1}]}
    published = (await client.put(f"/v1/lotteries/{lottery}/odds", json=better)).json()
    rounds = (await client.get(f"/v1/lotteries/{lottery}")).json()["rounds"]
    assert published["effective_at"] == rounds[1]["starts_at"]
    assert [each["odds_version"] for each in rounds] == [1, 2]
    assert (await draw(client, member, lottery)).json()["odds_version"] == 1
    await end_rounds(books, timedelta(days=1))
    made = (await draw(client, member, lottery)).json()
    assert (made["odds_version"], made["round_number"], made["draw_number"]) == (2, 2, 1)


async def test_a_round_is_prepared_ahead_by_the_job_and_in_need_by_the_draw(
    client: httpx.AsyncClient, books: Books
) -> None:
    (member,) = await rich(books)
    lottery = await add_lottery(client)
    await end_rounds(books, timedelta(days=1))
    async with books.database.transaction() as session:
        assert await operations.prepare_due_rounds(session) == 1
    async with books.database.transaction() as session:
        assert await operations.prepare_due_rounds(session) == 0
    page = (await client.get(f"/v1/lotteries/{lottery}/rounds", params={"limit": 2})).json()
    assert [each["number"] for each in page["items"]] == [3, 2]
    rest = await client.get(f"/v1/lotteries/{lottery}/rounds", params={"cursor": page["next_cursor"]})
    (first,) = rest.json()["items"]
    assert commitment_of(bytes.fromhex(first["seed"])) == first["commitment"]
    await end_rounds(books)
    assert (await draw(client, member, lottery)).json()["round_number"] == 4


async def test_what_is_no_lottery_is_not_drawn_from_and_a_lottery_is_not_redeemed(
    client: httpx.AsyncClient, books: Books
) -> None:
    (member,) = await rich(books)
    reward = coupon()
    await books.add(reward)
    assert (await draw(client, member, str(reward.id))).json()["code"] == "lottery_not_found"
    lottery = await add_lottery(client)
    body = {"member_id": str(member), "reward_id": lottery}
    assert (await client.post("/v1/redemptions", json=body)).json()["code"] == "draw_required"
    assert (await client.get(f"/v1/lotteries/{reward.id}")).status_code == 404
    assert (await client.get(f"/v1/lotteries/{uuid4()}/rounds")).status_code == 404
    assert (await client.get(f"/v1/draws/{uuid4()}")).json()["code"] == "draw_not_found"
    await client.delete(f"/v1/rewards/{lottery}")
    assert (await draw(client, member, lottery)).json()["code"] == "reward_not_available"
    assert (await client.put(f"/v1/lotteries/{lottery}/odds", json={"prizes": [NOTHING]})).status_code == 404
