"""`regulars verify ledger` against the real points service: silent if all agrees, exact if it does not."""

import asyncio
import json
from collections.abc import AsyncIterator
from uuid import UUID

import pytest
from sqlalchemy import text
from typer.testing import CliRunner, Result

from cli.commands import application
from cli.embedded.ports import LOOPBACK, free_port
from services.points.app import service
from shared.auth import create_key
from shared.database import Database
from tests.fixtures.serving import serving
from tests.points.ledger import Books, coupon, earn_of

MEMBERS = [UUID(int=number) for number in range(1, 8)]


@pytest.fixture
def books(points_database: Database) -> Books:
    """The ledger behind the service."""
    return Books(points_database)


@pytest.fixture
async def address(points_database: Database) -> AsyncIterator[str]:
    """Where points listens."""
    async with serving(service, points_database) as address:
        yield address


@pytest.fixture
async def history(books: Books) -> Books:
    """A ledger of seven members in which something has happened."""
    reward = coupon(30)
    await books.add(reward)
    await books.earn(*(earn_of(member) for member in MEMBERS), *(earn_of(member) for member in MEMBERS))
    await books.redeem(*((member, reward.id) for member in MEMBERS[:3]))
    return books


async def verify(address: str, *arguments: str) -> Result:
    line = ("verify", "ledger", "--url", address, *arguments)
    return await asyncio.to_thread(CliRunner().invoke, application(line), list(line))


async def test_a_ledger_that_is_right(address: str, history: Books) -> None:
    result = await verify(address, "--json", "--slice-accounts", "2")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout) == {
        "verified": True,
        "accounts": 7,
        "entries": 17,
        "lots": 14,
        "members_points": 1_310,
        "contra_points": {"issuance": -1_400, "redemption": 90},
        "entries_sum": 0,
        "findings": [],
    }
    shown = await verify(address)
    assert shown.exit_code == 0
    assert "everything agrees" in shown.output


async def test_an_empty_ledger_is_right(address: str) -> None:
    assert (await verify(address)).exit_code == 0


async def test_what_was_tampered_with_is_named(address: str, history: Books) -> None:
    victim = MEMBERS[4]
    async with history.database.transaction() as session:
        await session.execute(
            text("UPDATE entries SET reason = 'A gift' WHERE member_id = :member AND sequence = 2"),
            {"member": victim},
        )
    result = await verify(address, "--json", "--slice-accounts", "3")
    assert result.exit_code == 1
    (finding,) = json.loads(result.stdout)["findings"]
    assert (finding["check"], finding["member_id"], finding["sequence"]) == ("chain_broken", str(victim), 2)
    one = await verify(address, "--member", str(victim))
    assert one.exit_code == 1
    assert f"chain_broken  member {victim}  entry 2" in one.output
    other = await verify(address, "--member", str(MEMBERS[5]), "--json")
    assert other.exit_code == 0
    assert json.loads(other.stdout)["entries"] == 2
    async with history.database.transaction() as session:
        await session.execute(
            text("UPDATE lots SET expires_at = NULL WHERE member_id = :member"), {"member": MEMBERS[6]}
        )
    dated = await verify(address, "--member", str(MEMBERS[6]))
    assert "lot_date" in dated.output
    assert "found never" in dated.output


async def test_who_may_not_ask_gets_no_verdict(
    address: str, history: Books, points_database: Database
) -> None:
    async with points_database.transaction() as session:
        reader = await create_key(session, name="reader", scopes=["points:read"])
    result = await verify(address, "--key", reader.secret)
    assert result.exit_code == 2
    assert "HTTP 403" in result.output


async def test_without_a_service_there_is_no_verdict() -> None:
    result = await verify(f"http://{LOOPBACK}:{free_port()}")
    assert result.exit_code == 2
    assert "could not be asked: nothing listens at" in result.output
    assert "regulars up" in result.output
