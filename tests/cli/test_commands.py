"""Keys, dead letters and migrations from the command line, on real databases."""

import asyncio
import fcntl
import json
from pathlib import Path

import pytest
from sqlalchemy import text
from typer.testing import CliRunner, Result

from cli.commands import application
from cli.platform import SERVICES, Home, NothingStarted, PlatformState
from shared import dead_letters
from shared.auth import hash_key
from shared.database import Database


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home that knows no databases yet."""
    return tmp_path / "home"


def knows(home: Path, **databases: Database) -> None:
    """Let the home know where databases are, as `up` leaves it."""
    where = Home(home)
    where.prepare()
    for service in ("members", "points", "campaigns", "messaging", "analytics"):
        known = databases.get(service) or next(iter(databases.values()))
        where.keep_secret(f"{service}_database_url", known.url)


def run(home: Path, *arguments: str) -> Result:
    return CliRunner().invoke(application(arguments), [*arguments, "--home", str(home)])


async def stored_keys(database: Database) -> list[tuple[str, bytes, list[str], bool]]:
    async with database.reading() as session:
        rows = await session.execute(
            text("SELECT id, hash, scopes, revoked_at IS NOT NULL AS gone FROM api_keys")
        )
        return [(row.id, bytes(row.hash), list(row.scopes), row.gone) for row in rows]


async def test_a_key_opens_the_services_that_its_scopes_name(
    home: Path, members_database: Database, points_database: Database
) -> None:
    knows(home, members=members_database, points=points_database)
    scopes = ("--scope", "members:write", "--scope", "points:read", "--scope", "points:admin")
    made = await asyncio.to_thread(run, home, "keys", "create", "shop", *scopes, "--json")
    assert made.exit_code == 0, made.output
    key = json.loads(made.stdout)
    expected = hash_key(key["key"])
    assert await stored_keys(members_database) == [(key["key_id"], expected, ["members:write"], False)]
    assert await stored_keys(points_database) == [
        (key["key_id"], expected, ["points:admin", "points:read"], False)
    ]


async def test_a_revoked_key_is_revoked_everywhere(
    home: Path, members_database: Database, points_database: Database
) -> None:
    knows(home, members=members_database, points=points_database)
    scopes = ("--scope", "members:write", "--scope", "points:read")
    made = await asyncio.to_thread(run, home, "keys", "create", "shop", *scopes, "--json")
    key_id = json.loads(made.stdout)["key_id"]
    revoked = await asyncio.to_thread(run, home, "keys", "revoke", key_id)
    assert revoked.exit_code == 0, revoked.output
    for database in (members_database, points_database):
        assert [gone for *_, gone in await stored_keys(database)] == [True]
    listed = await asyncio.to_thread(run, home, "keys", "list", "--json")
    (row,) = json.loads(listed.stdout)
    assert row["scopes"] == ["members:write", "points:read"]
    assert row["revoked_at"] is not None


@pytest.mark.parametrize("scope", ["weather:read", "members", "members:fly"])
async def test_a_scope_that_is_none_makes_no_key(home: Path, members_database: Database, scope: str) -> None:
    knows(home, members=members_database)
    made = await asyncio.to_thread(run, home, "keys", "create", "shop", "--scope", scope)
    assert made.exit_code == 2
    assert await stored_keys(members_database) == []


async def bury(database: Database, offset: int) -> None:
    async with database.transaction() as session:
        await dead_letters.bury(
            session,
            topic="orders",
            partition=0,
            offset=offset,
            key="k",
            event_id=None,
            event_type="order.paid",
            value=b'{"total_minor": "much"}',
            headers=[("ce_type", b"order.paid")],
            code="undecodable_event",
            reason="total_minor is not a number",
        )


async def test_dead_letters_are_listed_shown_retried_and_dropped(
    home: Path, points_database: Database
) -> None:
    knows(home, points=points_database)
    await bury(points_database, 1)
    await bury(points_database, 2)
    listed = await asyncio.to_thread(run, home, "dead-letters", "list", "--service", "points", "--json")
    letters = [letter["letter"] for letter in json.loads(listed.stdout)]
    assert len(letters) == 2
    shown = json.loads((await asyncio.to_thread(run, home, "dead-letters", "show", letters[0])).stdout)
    assert shown["value"] == {"total_minor": "much"}
    assert shown["reason"] == "total_minor is not a number"
    retried = await asyncio.to_thread(run, home, "dead-letters", "retry", letters[0])
    assert retried.stdout.startswith("1 to be tried again")
    dropped = await asyncio.to_thread(run, home, "dead-letters", "drop", "--all", "--service", "points")
    assert dropped.stdout.startswith("2 dropped")
    async with points_database.reading() as session:
        assert await dead_letters.count_waiting(session) == 0


async def test_retrying_what_is_not_there_is_said(home: Path, points_database: Database) -> None:
    knows(home, points=points_database)
    assert (await asyncio.to_thread(run, home, "dead-letters", "retry", "points:99")).exit_code == 1
    for wrong in (["weather:1"], ["points:x"], [], ["points:1", "--all"]):
        assert (await asyncio.to_thread(run, home, "dead-letters", "retry", *wrong)).exit_code == 2


def test_without_a_platform_the_answer_says_what_to_do(home: Path) -> None:
    for command in (("keys", "list"), ("dead-letters", "list"), ("migrate",)):
        failed = run(home, *command)
        assert isinstance(failed.exception, NothingStarted)
        assert "regulars up" in str(failed.exception)


def test_a_database_that_is_away_is_said(home: Path) -> None:
    where = Home(home)
    where.prepare()
    for service in SERVICES:
        where.keep_secret(f"{service}_database_url", "postgresql://regulars@127.0.0.1:9/regulars")
    for command in (("keys", "list"), ("dead-letters", "list"), ("migrate", "--check")):
        failed = run(home, *command)
        assert isinstance(failed.exception, NothingStarted)
        assert "regulars up" in str(failed.exception)


async def test_migrate_says_what_is_behind(home: Path, members_database: Database) -> None:
    where = Home(home)
    where.prepare()
    where.keep_secret("members_database_url", members_database.url)
    assert (await asyncio.to_thread(run, home, "migrate", "--check")).exit_code == 0
    async with members_database.transaction() as session:
        await session.execute(text("UPDATE alembic_version SET version_num = 'unknown' WHERE false"))
        await session.execute(text("DELETE FROM alembic_version"))
    checked = await asyncio.to_thread(run, home, "migrate", "--check")
    assert (checked.exit_code, checked.stdout.strip()) == (1, "behind: members")


def test_topics_are_listed_without_a_bus(home: Path) -> None:
    listed = run(home, "topics", "--json")
    names = [row["topic"] for row in json.loads(listed.stdout)]
    assert "orders" in names
    assert "dead-letters" in names


def test_every_command_explains_itself() -> None:
    answer = CliRunner().invoke(application([]), ["--help"])
    assert answer.exit_code == 0
    for command in (
        "up",
        "demo",
        "import",
        "keys",
        "dead-letters",
        "migrate",
        "topics",
        "replay",
        "bench",
        "doctor",
    ):
        assert command in answer.output


def test_the_doctor_tells_a_platform_that_was_stopped_from_one_that_is_ill(home: Path) -> None:
    where = Home(home)
    where.prepare()
    state = PlatformState(
        bus="postgres", ports=SERVICES, embedded_postgres=True, kafka_bootstrap=None, mail_port=None, pid=1
    )
    where.keep_state(state)
    stopped = run(home, "doctor")
    assert "does not run" in stopped.output
    assert "members" not in stopped.output
    assert stopped.exit_code == 1
    with where.lock.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert "PostgreSQL is down" in run(home, "doctor").output
    assert not where.runs()
