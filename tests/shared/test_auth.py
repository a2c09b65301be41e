"""Keys are stored as hashes and die within seconds of their revocation; the development key stays at home."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import httpx
import pytest
from fastapi import APIRouter, Depends, FastAPI
from sqlalchemy import text

from cli.embedded.postgres import EmbeddedPostgres
from shared.auth import (
    Authenticator,
    Caller,
    InvalidScope,
    api_keys_table,
    create_key,
    generate_key,
    hash_key,
    list_keys,
    require,
    revoke_key,
)
from shared.database import Database, is_outage, new_metadata
from shared.edge import Platform, Transaction, TransactionalRoute
from shared.problems import NotFound, install
from shared.settings import DEVELOPMENT_KEY, ServiceSettings
from shared.testing import api_client
from tests.fixtures.services import closing_database, fresh_database


@pytest.fixture
async def database(postgres: EmbeddedPostgres) -> AsyncIterator[Database]:
    metadata = new_metadata()
    api_keys_table(metadata)
    async with (
        fresh_database(postgres, "auth") as url,
        closing_database(url, pool_size=2, pool_timeout_seconds=5) as database,
    ):
        async with database.engine.begin() as connection:
            await connection.run_sync(metadata.create_all)
        yield database


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def application(database: Database, clock: Clock | None = None, **changes: Any) -> FastAPI:
    settings = ServiceSettings(**changes)
    router = APIRouter(route_class=TransactionalRoute)

    @router.get("/read")
    async def read(
        session: Transaction, caller: Annotated[Caller, Depends(require("points:read"))]
    ) -> dict[str, str]:
        return {"caller": caller.key_id, "one": str((await session.execute(text("SELECT 1"))).scalar())}

    @router.get("/public")
    async def public() -> str:
        return "for all"

    app = FastAPI()
    app.include_router(router)
    install(app, is_outage=is_outage)
    authenticator = Authenticator(database, settings, clock=clock or Clock())
    app.state.authenticator = authenticator
    app.state.platform = Platform(settings, database, authenticator.authenticate, {})
    return app


@asynccontextmanager
async def calling(app: FastAPI, **options: Any) -> AsyncIterator[httpx.AsyncClient]:
    async with api_client(app, **options) as client:
        yield client


async def new_key(database: Database, *scopes: str, expires_at: datetime | None = None) -> tuple[str, str]:
    async with database.transaction() as session:
        return await create_key(session, name="test", scopes=scopes, expires_at=expires_at)


async def test_a_key_opens_what_its_scopes_say(database: Database) -> None:
    app = application(database)
    key_id, secret = await new_key(database, "points:read")
    async with calling(app) as client:
        answer = await client.get("/read", headers={"Authorization": f"Bearer {secret}"})
        assert answer.json() == {"caller": key_id, "one": "1"}
        assert (await client.get("/read", headers={"X-API-Key": secret})).status_code == 200
        _, other = await new_key(database, "points:write", "members:read")
        refused = await client.get("/read", headers={"X-API-Key": other})
        assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
        assert refused.json()["required_scope"] == "points:read"


async def test_wrong_and_missing_keys(database: Database) -> None:
    _, secret = await new_key(database, "*")
    wrong = [
        {},
        {"Authorization": ""},
        {"Authorization": "Bearer "},
        {"Authorization": f"Basic {secret}"},
        {"Authorization": f"Bearer {secret[:-1]}x"},
        {"Authorization": f"Bearer {secret}x"},
        {"Authorization": f"Bearer {generate_key().secret}"},
        {"Authorization": "Bearer a.b.c"},
        {"Authorization": b"Bearer \xff\xfe"},
        {"Authorization": "Bearer " + "x" * 10_000},
        {"X-API-Key": "rk_' OR true_aaaaaaaaaaaaaaaaaaaaaaaa"},
    ]
    async with calling(application(database)) as client:
        for headers in wrong:
            answer = await client.get("/read", headers=headers)  # type: ignore[arg-type]  # raw bytes too
            assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated"), headers
            assert answer.headers["www-authenticate"] == "Bearer"
        assert (await client.get("/public")).status_code == 200
        assert (await client.get("/public", headers={"X-API-Key": "rk_wrong"})).status_code == 200


async def test_a_revoked_key_dies_within_the_cache_time(database: Database) -> None:
    clock = Clock()
    key_id, secret = await new_key(database, "points:admin")
    async with calling(application(database, clock, key_cache_seconds=10), key=secret) as client:
        assert (await client.get("/read")).status_code == 200
        async with database.transaction() as session:
            await revoke_key(session, key_id)
        clock.seconds = 10.0
        assert (await client.get("/read")).status_code == 401


async def test_an_expired_key_is_not_remembered_beyond_its_time(database: Database) -> None:
    clock = Clock()
    _, past = await new_key(database, "*", expires_at=datetime.now(UTC) - timedelta(seconds=1))
    _, soon = await new_key(database, "*", expires_at=datetime.now(UTC) + timedelta(minutes=1))
    async with calling(application(database, clock)) as client:
        assert (await client.get("/read", headers={"X-API-Key": past})).status_code == 401
        assert (await client.get("/read", headers={"X-API-Key": soon})).status_code == 200
        async with database.transaction() as session:
            await session.execute(text("UPDATE api_keys SET expires_at = clock_timestamp()"))
        clock.seconds = 60.0
        assert (await client.get("/read", headers={"X-API-Key": soon})).status_code == 401


async def test_many_callers_at_once_do_not_starve_the_pool(database: Database) -> None:
    _, secret = await new_key(database, "*")
    _, other = await new_key(database, "*")
    async with calling(application(database)) as client:
        calls = [
            client.get("/read", headers={"X-API-Key": secret if number % 2 else other})
            for number in range(40)
        ]
        answers = await asyncio.wait_for(asyncio.gather(*calls), timeout=30)
    assert {answer.status_code for answer in answers} == {200}


async def test_the_memory_of_judgements_is_bounded(database: Database) -> None:
    app = application(database, key_cache_entries=3)
    async with calling(app) as client:
        for _ in range(10):
            await client.get("/read", headers={"X-API-Key": generate_key().secret})
    assert len(app.state.authenticator._judgements) == 3


async def test_the_development_key_works_at_home_only(database: Database) -> None:
    app = application(database)
    async with calling(app, key=DEVELOPMENT_KEY) as client:
        assert (await client.get("/read")).json()["caller"] == "development"
        forwarded = await client.get("/read", headers={"X-Forwarded-For": "203.0.113.9"})
        assert forwarded.status_code == 401
    for address, status in (("::1", 200), ("::ffff:127.0.0.1", 200), ("203.0.113.9", 401), ("unix", 401)):
        async with calling(app, key=DEVELOPMENT_KEY, client=(address, 1)) as client:
            assert (await client.get("/read")).status_code == status, address


async def test_production_has_no_development_key(database: Database) -> None:
    app = application(
        database,
        profile="production",
        database_url="postgresql://database/points",
        bus="kafka",
        signing_keys=["k" * 32],
    )
    async with calling(app, key=DEVELOPMENT_KEY) as client:
        assert (await client.get("/read")).status_code == 401


async def test_keys_are_listed_without_their_secret_and_stored_as_hashes(database: Database) -> None:
    key_id, secret = await new_key(database, "points:read", "points:read")
    async with database.transaction() as session:
        (info,) = await list_keys(session)
        stored = (await session.execute(text("SELECT hash FROM api_keys"))).scalar_one()
    assert (info.key_id, info.scopes, info.revoked_at) == (key_id, ("points:read",), None)
    assert bytes(stored) == hash_key(secret)
    assert secret not in repr(info)


async def test_keys_need_known_scopes_and_unknown_keys_cannot_be_revoked(database: Database) -> None:
    for scopes in ((), ("everything",), ("points:own",), ("points:*",)):
        with pytest.raises(InvalidScope):
            await new_key(database, *scopes)
    with pytest.raises(NotFound):
        async with database.transaction() as session:
            await revoke_key(session, "unknown")


def test_scopes() -> None:
    assert Caller("k", frozenset({"*"})).may("points:admin")
    assert Caller("k", frozenset({"points:admin"})).may("points:read")
    assert not Caller("k", frozenset({"points:admin"})).may("members:read")
    assert not Caller("k", frozenset({"points:write"})).may("points:read")
    with pytest.raises(InvalidScope):
        require("points")


def test_openapi_shows_the_scheme() -> None:
    app = FastAPI()

    @app.get("/read", dependencies=[Depends(require("points:read"))])
    async def read() -> str:
        return ""

    install(app)
    schema = app.openapi()
    operation = schema["paths"]["/read"]["get"]
    assert operation["security"] == [{"ApiKey": []}]
    assert schema["components"]["securitySchemes"]["ApiKey"]["scheme"] == "bearer"
    assert {"401", "403", "503"} <= set(operation["responses"])
    assert "parameters" not in operation
