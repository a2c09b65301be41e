"""Databases and roles on a server that others use too."""

from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest
from sqlalchemy.engine import make_url

from cli.embedded.postgres import EmbeddedPostgres
from cli.platform import SERVICES, Home
from cli.platform.provision import provision
from tests.fixtures.services import administration

NAMES = (*SERVICES, "bus")


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A fresh home."""
    fresh = Home(tmp_path)
    fresh.prepare()
    return fresh


@pytest.fixture
async def prefix(postgres: EmbeddedPostgres) -> AsyncIterator[str]:
    """A prefix of one's own on the session's server, tidied up afterwards."""
    mine = f"t{uuid4().hex[:8]}_"
    yield mine
    async with administration(postgres) as administrator:
        for name in NAMES:
            await administrator.execute(f'DROP DATABASE IF EXISTS "{mine}{name}"')
        for name in (*NAMES, "maker"):
            await administrator.execute(f'DROP ROLE IF EXISTS "{mine}{name}"')


async def who(url: str) -> tuple[str, str]:
    connection = await asyncpg.connect(url)
    try:
        row = await connection.fetchrow("SELECT current_user, current_database()")
    finally:
        await connection.close()
    assert row is not None
    return str(row[0]), str(row[1])


async def test_each_service_gets_a_database_and_a_role_of_its_own(
    postgres: EmbeddedPostgres, home: Home, prefix: str
) -> None:
    await provision(postgres.url(), home, prefix=prefix)
    urls = {name: home.secret(f"{name}_database_url") or "" for name in NAMES}
    for name, url in urls.items():
        assert await who(url) == (f"{prefix}{name}", f"{prefix}{name}")
    elsewhere = make_url(urls["points"]).set(database=f"{prefix}members")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await who(elsewhere.render_as_string(hide_password=False))
    assert home.secret_path("points_database_url").stat().st_mode & 0o077 == 0


async def test_doing_it_again_keeps_the_passwords_and_a_lost_home_gets_new_ones(
    postgres: EmbeddedPostgres, home: Home, prefix: str, tmp_path: Path
) -> None:
    await provision(postgres.url(), home, prefix=prefix)
    before = home.secret("points_database_url")
    await provision(postgres.url(), home, prefix=prefix)
    assert home.secret("points_database_url") == before
    other = Home(tmp_path / "other")
    other.prepare()
    await provision(postgres.url(), other, prefix=prefix)
    changed = other.secret("points_database_url")
    assert changed is not None
    assert changed != before
    assert await who(changed) == (f"{prefix}points", f"{prefix}points")


async def test_a_role_that_may_create_databases_is_enough(
    postgres: EmbeddedPostgres, home: Home, prefix: str
) -> None:
    async with administration(postgres) as administrator:
        await administrator.execute(f"CREATE ROLE \"{prefix}maker\" LOGIN CREATEDB CREATEROLE PASSWORD 'm'")
    maker = make_url(postgres.url()).set(username=f"{prefix}maker", password="m")
    await provision(maker.render_as_string(hide_password=False), home, prefix=prefix)
    assert (await who(home.secret("analytics_database_url") or ""))[0] == f"{prefix}analytics"
