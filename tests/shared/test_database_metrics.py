"""Failed transactions are counted by what the database had to do with them, and a glance is none."""

from datetime import datetime

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from cli.embedded.postgres import EmbeddedPostgres
from shared.database import Database, error_kind
from shared.metrics import REGISTRY
from shared.problems import Conflict


def failures(kind: str) -> float:
    return REGISTRY.get_sample_value("regulars_database_errors_total", {"kind": kind}) or 0.0


async def test_a_broken_constraint_is_counted_and_its_values_stay_out_of_the_message(
    postgres: EmbeddedPostgres,
) -> None:
    database = Database(postgres.url(), pool_size=1)
    before = failures("integrity")

    async def store_twice() -> None:
        async with database.transaction() as session:
            await session.execute(text("CREATE TEMP TABLE person (id int PRIMARY KEY, note text)"))
            for _ in range(2):
                await session.execute(text("INSERT INTO person VALUES (1, :note)"), {"note": "Ann"})

    with pytest.raises(IntegrityError) as caught:
        await store_twice()
    assert failures("integrity") == before + 1
    assert "Ann" not in str(caught.value)
    await database.close()


async def test_a_glance_stands_in_no_transaction(postgres: EmbeddedPostgres) -> None:
    database = Database(postgres.url(), pool_size=1)

    async def seen(session: AsyncSession) -> list[datetime]:
        return [(await session.execute(text("SELECT now()"))).scalar_one() for _ in range(2)]

    async with database.reading() as session:
        first, second = await seen(session)
        assert first == second
    # The same connection of the pool, so neither way of reading leaves anything behind for the other.
    async with database.glance() as session:
        first, second = await seen(session)
        assert first < second
    async with database.reading() as session:
        first, second = await seen(session)
        assert first == second
    with pytest.raises(DBAPIError):
        async with database.reading() as session:
            await session.execute(text("CREATE TABLE written_by_a_reader (id int)"))
    await database.close()


def test_kinds_of_errors() -> None:
    assert error_kind(asyncpg.DeadlockDetectedError()) == "deadlock"
    assert error_kind(asyncpg.SerializationError()) == "serialization"
    assert error_kind(asyncpg.LockNotAvailableError()) == "timeout"
    assert error_kind(asyncpg.QueryCanceledError()) == "timeout"
    assert error_kind(asyncpg.UniqueViolationError()) == "integrity"
    assert error_kind(asyncpg.UndefinedTableError()) == "other"
    assert error_kind(asyncpg.AdminShutdownError()) == "outage"
    assert error_kind(ConnectionRefusedError()) == "outage"
    assert error_kind(Conflict()) is None
    assert error_kind(ValueError()) is None
