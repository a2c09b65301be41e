"""The edge: answers follow commits, keys replay, refusals and dry runs leave nothing behind."""

import asyncio
import functools
from collections.abc import AsyncIterator, Sequence
from typing import Annotated, ClassVar

import httpx
import pytest
from fastapi import APIRouter, Depends, FastAPI, Request, Response
from pydantic import ValidationError
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from shared import problems
from shared.auth import Authenticator, Caller, require
from shared.database import Database, is_outage
from shared.edge import Desk, DryRun, Platform, Transaction, TransactionalRoute, desk
from shared.fast_path import FastPath, FastRoute
from shared.problems import NotFound, Refusal
from shared.schemas import StrictModel
from shared.settings import ServiceSettings
from shared.testing import eventually
from tests.fixtures.platform import journal, write


class Entry(StrictModel):
    """What is written."""

    key: str
    entry: str


class Unwelcome(Refusal):
    """This entry is not welcome."""


class Welcome:
    """Which entries are not welcome, as of now."""

    refused: ClassVar = {"unwelcome"}


async def write_entries(session: AsyncSession, entries: Sequence[Entry]) -> list[int | Refusal]:
    welcome = [entry for entry in entries if entry.entry not in Welcome.refused]
    await write(session, [(entry.key, entry.entry) for entry in welcome])
    written = int(await session.scalar(text("SELECT count(*) FROM journal")) or 0)
    return [Unwelcome() if entry.entry in Welcome.refused else written for entry in entries]


def routes() -> list[APIRouter]:
    transactional = APIRouter(prefix="/v1", route_class=TransactionalRoute)
    plain = APIRouter(prefix="/v1")

    @transactional.post("/entries", status_code=201)
    async def create(
        entry: Entry,
        session: Transaction,
        caller: Annotated[Caller, Depends(require("toys:write"))],
        dry_run: DryRun = False,
    ) -> dict[str, int]:
        (result,) = await write_entries(session, [entry])
        if isinstance(result, Refusal):
            raise result
        return {"written": result}

    @transactional.post("/half-done")
    async def half_done(entry: Entry, session: Transaction) -> None:
        await write(session, [(entry.key, entry.entry)])
        raise NotFound

    @transactional.get("/entries")
    async def entries(session: Transaction) -> int:
        return int(await session.scalar(text("SELECT count(*) FROM journal")) or 0)

    @transactional.get("/writes-in-a-read")
    async def writes_in_a_read(session: Transaction) -> None:
        await write(session, [("k", "e")])

    @plain.post("/hot")
    @plain.post("/fast")
    async def hot(
        entry: Entry, request: Request, caller: Annotated[Caller, Depends(require("toys:write"))]
    ) -> Response:
        return await desk(request, "hot").answer(request, entry)

    return [transactional, plain]


@pytest.fixture
async def client(platform_database: Database) -> AsyncIterator[httpx.AsyncClient]:
    app = FastAPI()
    problems.install(app, is_outage=is_outage)
    for router in routes():
        app.include_router(router)
    settings = ServiceSettings(service="toys")
    authenticator = Authenticator(platform_database, settings)
    hot: Desk[Entry, int] = Desk(
        "hot", write_entries, lambda written: b'{"written":%d}' % written, status=201
    )
    hot.open(platform_database, max_batch=64, max_queue=512)
    app.state.authenticator = authenticator
    app.state.platform = Platform(settings, platform_database, authenticator.authenticate, {"hot": hot})
    fast = FastPath(
        app,
        [FastRoute("/v1/fast", "toys:write", hot, read_entry)],
        lambda _: authenticator,
        lambda _: platform_database,
        is_outage,
    )
    transport = httpx.ASGITransport(app=fast, client=("127.0.0.1", 5), raise_app_exceptions=False)
    headers = {"Authorization": "Bearer rk_development"}
    async with httpx.AsyncClient(transport=transport, base_url="http://toys", headers=headers) as caller:
        yield caller
    await hot.close()


def read_entry(body: bytes, caller: Caller) -> Entry | None:
    try:
        return Entry.model_validate_json(body)
    except ValidationError:
        return None


ENTRY = {"key": "a", "entry": "1"}
BOTH = pytest.mark.parametrize("path", ["/v1/entries", "/v1/hot", "/v1/fast"])


@BOTH
async def test_the_effect_is_there_when_the_answer_is(
    client: httpx.AsyncClient, platform_database: Database, path: str
) -> None:
    answer = await client.post(path, json=ENTRY)
    assert (answer.status_code, answer.json()) == (201, {"written": 1})
    assert await journal(platform_database) == [("a", "1")]


@BOTH
async def test_the_same_key_and_body_answer_as_the_first_time(
    client: httpx.AsyncClient, platform_database: Database, path: str
) -> None:
    headers = {"Idempotency-Key": "k1"}
    first = await client.post(path, json=ENTRY, headers=headers)
    again = await client.post(path, json=ENTRY, headers=headers)
    assert (again.status_code, again.content) == (first.status_code, first.content)
    assert again.headers["idempotency-replayed"] == "true"
    assert "idempotency-replayed" not in first.headers
    assert len(await journal(platform_database)) == 1


@BOTH
async def test_the_same_key_with_another_body_is_a_conflict(
    client: httpx.AsyncClient, platform_database: Database, path: str
) -> None:
    headers = {"Idempotency-Key": "k1"}
    await client.post(path, json=ENTRY, headers=headers)
    other = await client.post(path, json={"key": "b", "entry": "2"}, headers=headers)
    assert (other.status_code, other.json()["code"]) == (409, "idempotency_conflict")
    assert len(await journal(platform_database)) == 1


@BOTH
async def test_the_same_key_in_flight_many_times_has_one_effect(
    client: httpx.AsyncClient, platform_database: Database, path: str
) -> None:
    headers = {"Idempotency-Key": "k1"}
    answers = await asyncio.gather(*(client.post(path, json=ENTRY, headers=headers) for _ in range(20)))
    assert {answer.content for answer in answers} == {b'{"written":1}'}
    assert sum("idempotency-replayed" not in answer.headers for answer in answers) == 1
    assert len(await journal(platform_database)) == 1


@BOTH
@pytest.mark.parametrize("refused", [False, True], ids=["carried out again", "refused by now"])
async def test_a_twin_in_flight_in_another_process_is_waited_for(
    client: httpx.AsyncClient,
    platform_database: Database,
    path: str,
    refused: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ask = functools.partial(client.post, path, json=ENTRY, headers={"Idempotency-Key": "k1"})
    first = await ask()
    async with platform_database.dedicated() as elder, platform_database.dedicated() as watcher:
        stored = await elder.fetchrow("DELETE FROM idempotency RETURNING *")
        assert stored is not None
        await elder.execute("DELETE FROM journal")
        async with elder.transaction():
            await elder.execute("INSERT INTO idempotency VALUES ($1, $2, $3, $4, $5, $6)", *stored)
            if refused:
                monkeypatch.setattr(Welcome, "refused", {"1"})
            twin = asyncio.create_task(ask())
            waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
            await eventually(lambda: watcher.fetchval(waiting))
    answer = await twin
    assert (answer.status_code, answer.content) == (first.status_code, first.content)
    assert answer.headers["idempotency-replayed"] == "true"
    assert await journal(platform_database) == []


@BOTH
async def test_a_refusal_does_not_use_up_its_key(
    client: httpx.AsyncClient, platform_database: Database, path: str
) -> None:
    headers = {"Idempotency-Key": "k1"}
    refused = {"key": "a", "entry": "unwelcome"}
    answers = await asyncio.gather(*(client.post(path, json=refused, headers=headers) for _ in range(3)))
    assert {(answer.status_code, answer.json()["code"]) for answer in answers} == {(422, "unwelcome")}
    assert (await client.post(path, json=ENTRY, headers=headers)).status_code == 201


@BOTH
@pytest.mark.parametrize("word", ["true", "True", "1", "on", "yes", "t", "y"])
async def test_a_dry_run_answers_as_usual_and_changes_nothing(
    client: httpx.AsyncClient, platform_database: Database, path: str, word: str
) -> None:
    headers = {"Idempotency-Key": "k1"}
    dry = await client.post(path, params={"dry_run": word}, json=ENTRY, headers=headers)
    assert (dry.status_code, dry.json(), dry.headers["dry-run"]) == (201, {"written": 1}, "true")
    assert await journal(platform_database) == []
    assert (await client.post(path, json=ENTRY, headers=headers)).status_code == 201


@BOTH
@pytest.mark.parametrize("key", ["", "x" * 256, "tab\there"])
async def test_an_impossible_key_is_refused(client: httpx.AsyncClient, path: str, key: str) -> None:
    for dry_run in ("false", "true"):
        answer = await client.post(
            path, params={"dry_run": dry_run}, json=ENTRY, headers={"Idempotency-Key": key}
        )
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_idempotency_key")


@pytest.mark.parametrize("path", ["/v1/hot", "/v1/fast"])
async def test_neighbours_in_a_group_keep_their_own_answers(
    client: httpx.AsyncClient, platform_database: Database, path: str
) -> None:
    entries = [{"key": "a", "entry": "unwelcome" if n % 3 == 0 else str(n)} for n in range(30)]
    answers = await asyncio.gather(
        *(
            client.post(path, json=entry, headers={"Idempotency-Key": f"k{n}"})
            for n, entry in enumerate(entries)
        )
    )
    assert [answer.status_code for answer in answers] == [422 if n % 3 == 0 else 201 for n in range(30)]
    assert len(await journal(platform_database)) == 20


async def test_a_refusal_after_writing_takes_the_writing_back(
    client: httpx.AsyncClient, platform_database: Database
) -> None:
    assert (await client.post("/v1/half-done", json=ENTRY)).status_code == 404
    assert await journal(platform_database) == []


async def test_reading_routes_cannot_write(client: httpx.AsyncClient, platform_database: Database) -> None:
    assert (await client.get("/v1/entries")).json() == 0
    assert (await client.get("/v1/writes-in-a-read")).status_code == 500
    assert await journal(platform_database) == []


async def test_a_key_needs_a_caller(client: httpx.AsyncClient) -> None:
    headers = {"Authorization": "Bearer wrong", "Idempotency-Key": "k1"}
    assert (await client.post("/v1/entries", json=ENTRY, headers=headers)).status_code == 401
