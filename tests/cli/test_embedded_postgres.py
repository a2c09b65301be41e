"""The embedded PostgreSQL: life, death, and long paths."""

import os
import stat
from pathlib import Path

import asyncpg
import pytest

from cli.embedded.postgres import EmbeddedPostgres


async def asked(url: str, question: str) -> object:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(question)
    finally:
        await connection.close()


@pytest.fixture
def server(tmp_path: Path) -> EmbeddedPostgres:
    """A server that is not started yet, in a home whose path is too long for a socket."""
    return EmbeddedPostgres(tmp_path / ("a-long-name-" * 10), durable=False)


@pytest.mark.kill
async def test_it_survives_stops_kills_and_stale_pid_files(server: EmbeddedPostgres) -> None:
    try:
        url = server.start().create_service_database("points")
        connection = await asyncpg.connect(url)
        await connection.execute("CREATE TABLE kept AS SELECT 1 AS one")
        await connection.close()
        port, first = server.port, server.pid
        assert server.start().pid == first
        assert EmbeddedPostgres(server.home).pid == first

        server.restart()
        assert server.pid != first
        assert server.port == port
        assert server.create_service_database("points") == url

        server.kill()
        assert server.pid is None
        assert (server.home / "data" / "postmaster.pid").exists()
        # The number in the stale file belongs to a living process that is no server.
        stale = server.home / "data" / "postmaster.pid"
        stale.write_text(f"{os.getpid()}\n" + "\n".join(stale.read_text().splitlines()[1:]) + "\n")
        assert EmbeddedPostgres(server.home, durable=False).start().pid is not None
        assert await asked(url, "SELECT one FROM kept") == 1
    finally:
        server.stop()
    assert server.pid is None
    server.stop()


async def test_services_keep_to_their_own_database(postgres: EmbeddedPostgres) -> None:
    url = postgres.create_service_database("own_one")
    postgres.create_service_database("own_two")
    assert await asked(url, "SELECT current_user || ' ' || current_database()") == "own_one own_one"
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await asked(postgres.url("own_two", "own_one"), "SELECT 1")
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asked(url.replace("own_one:", "own_one:wrong"), "SELECT 1")
    with pytest.raises(ValueError, match="not a database name"):
        postgres.create_service_database("no; drop")


def test_passwords_are_for_the_owner_only(postgres: EmbeddedPostgres) -> None:
    mode = (postgres.home / "passwords.json").stat().st_mode
    assert stat.S_IMODE(mode) == 0o600


async def test_the_socket_works_too(postgres: EmbeddedPostgres) -> None:
    url = postgres.create_service_database("by_socket")
    password = url.split(":")[2].split("@")[0]
    connection = await asyncpg.connect(
        host=str(postgres.socket_dir),
        port=postgres.port,
        user="by_socket",
        password=password,
        database="by_socket",
    )
    assert await connection.fetchval("SELECT inet_server_addr() IS NULL")
    await connection.close()
