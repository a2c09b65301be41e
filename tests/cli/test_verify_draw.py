"""`regulars verify draw` against the real points service: fair draws pass, altered ones are named."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text
from typer.testing import CliRunner, Result

from cli.commands import application
from services.points import operations
from services.points.app import service
from services.points.domain import Prize
from services.points.operations import DrawLot, Drawn
from shared.database import Database
from tests.fixtures.serving import serving
from tests.points.ledger import Books, coupon, earn_of


@pytest.fixture
async def address(points_database: Database) -> AsyncIterator[str]:
    """Where points listens."""
    async with serving(service, points_database) as address:
        yield address


async def drawn(database: Database) -> Drawn:
    """One draw of a lottery."""
    books, member, lottery = Books(database), uuid4(), coupon(10)
    lottery.kind, lottery.reference, lottery.round_hours = "lottery", None, 24
    await books.earn(earn_of(member))
    prizes = [Prize(1, "Nothing", "nothing", 3), Prize(2, "5 points", "points", 2, 9, points=5)]
    async with database.transaction() as session:
        await operations.add_rewards(session, [lottery], actor="test", prizes={lottery.id: prizes})
    async with database.transaction() as session:
        (result,) = await operations.draw(session, [DrawLot(member, lottery.id, "nonce", "test")])
    assert isinstance(result, Drawn)
    return result


async def end_rounds(database: Database) -> None:
    async with database.transaction() as session:
        await session.execute(
            text(
                "UPDATE lottery_rounds SET starts_at = starts_at - CAST(:by AS interval),"
                " ends_at = ends_at - CAST(:by AS interval)"
            ),
            {"by": timedelta(days=9)},
        )


async def verify(address: str, draw_id: UUID, *arguments: str) -> Result:
    line = ("verify", "draw", str(draw_id), "--url", address, *arguments)
    return await asyncio.to_thread(CliRunner().invoke, application(line), list(line))


async def test_a_fair_draw_and_what_was_kept_of_it(address: str, points_database: Database) -> None:
    result = await drawn(points_database)
    assert result.row is not None
    draw = result.row.draw
    early = await verify(address, draw.id)
    assert (early.exit_code, "when the round is over" in early.output) == (2, True)
    await end_rounds(points_database)
    kept = ("--commitment", draw.commitment, "--receipt", result.row.receipt)
    shown = await verify(address, draw.id, *kept)
    assert (shown.exit_code, shown.stdout.startswith("fair: ticket")) == (0, True), shown.output
    other = await verify(address, draw.id, "--commitment", "0" * 64, "--json")
    assert other.exit_code == 1
    assert json.loads(other.stdout)["problems"] == ["the commitment is not the one that you noted"]


async def test_a_draw_that_was_altered_is_named(address: str, points_database: Database) -> None:
    result = await drawn(points_database)
    assert result.row is not None
    await end_rounds(points_database)
    async with points_database.transaction() as session:
        await session.execute(text("UPDATE draws SET ticket = (ticket + 1) % 5"))
    shown = await verify(address, result.row.draw.id, "--receipt", result.row.receipt)
    assert shown.exit_code == 1
    assert "the ticket is" in shown.stdout
    assert "receipt" in shown.stdout


async def test_a_draw_that_is_not_there(address: str) -> None:
    result = await verify(address, uuid4())
    assert (result.exit_code, "draw_not_found" in result.output) == (2, True)
