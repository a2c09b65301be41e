"""`regulars rules` against the real services: points with its worker's job, and members answering."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pytest
from typer.testing import CliRunner, Result

from cli.commands import application
from cli.rules import Unreadable, read_document
from services.members import operations as members
from services.members.domain import Level
from services.members.handlers import handlers as hear_members
from services.points import operations as points
from services.points.app import service
from services.points.handlers import handlers as hear_points
from shared.database import Database
from shared.events import Envelope, TrialRecounted, TrialTiersJudged
from shared.ids import new_id
from tests.fixtures.moment import now
from tests.fixtures.services import emitted
from tests.fixtures.serving import serving
from tests.members.shop import Shop, order
from tests.points.ledger import Books, earn_of

YAML = """\
# What the shop wants to know before the holidays.
name: Holidays
terms:
  base: {points: 3}
  matures: {on: delivered}
  multipliers:
    - id: late
      factor: 1.5
      when: {field: order.paid_at, op: gte, value: 2030-01-01T00:00:00Z}
"""


@pytest.fixture
def books(points_database: Database) -> Books:
    return Books(points_database)


@pytest.fixture
async def address(points_database: Database) -> AsyncIterator[str]:
    """Where points listens."""
    async with serving(service, points_database) as found:
        yield found


async def run(address: str, *arguments: str) -> Result:
    line = ("rules", *arguments, "--url", address)
    return await asyncio.to_thread(CliRunner().invoke, application(line), list(line))


async def carry(source: Database, target: Database, event: type[Any], handlers: Any, said: int) -> int:
    """Hand on what one service said to the other, as the bus does; return how much it has said by now."""
    async with source.reading() as session:
        payloads = [payload for type_, _, payload in await emitted(session) if type_ == event.type]
    for data in (msgspec.convert(payload, event) for payload in payloads[said:]):
        envelope = Envelope(id=new_id(), type=event.type, source="test", time=now(), key=data.key, data=data)
        async with target.transaction() as session:
            await handlers.dispatch(session, [envelope])
    return len(payloads)


@pytest.fixture
async def platform(points_database: Database, members_database: Database) -> AsyncIterator[None]:
    """What the workers of both services do while a command waits."""

    async def work() -> None:
        asked = answered = 0
        while True:
            async with points_database.transaction() as session:
                await points.advance_back_test(session, accounts=2)
            asked = await carry(points_database, members_database, TrialRecounted, hear_members, asked)
            answered = await carry(members_database, points_database, TrialTiersJudged, hear_points, answered)
            await asyncio.sleep(0)

    async with AsyncExitStack() as stack:
        task = asyncio.create_task(work())
        stack.callback(task.cancel)
        yield


async def test_a_draft_is_tried_from_a_file_and_put_into_force(
    tmp_path: Path, address: str, books: Books, platform: None, members_database: Database
) -> None:
    shop = Shop(members_database)
    await shop.take(*(order(name, name, placed_at=now().isoformat()) for name in ("kim", "lee", "max")))
    buyers = [await shop.member_id(name) for name in ("kim", "lee", "max")]
    async with members_database.transaction() as session:
        levels = [Level("bronze", 0, 0), Level("gold", 1, None, min_points=200)]
        await members.replace_tiers(session, levels, actor="kim")
    await books.earn(*(earn_of(member) for member in buyers), earn_of(buyers[0], 500))
    draft = tmp_path / "holidays.yaml"
    draft.write_text(YAML)
    tried = await run(address, "back-test", str(draft), "--json")
    assert tried.exit_code == 0, tried.output
    report = json.loads(tried.stdout)
    assert report["status"] == "done"
    assert (report["granted_points"], report["draft_points"]) == (305, 915)
    assert report["tiers"] == {
        "members_up": 3,
        "members_down": 0,
        "moves": [{"from_tier": "bronze", "to_tier": "gold", "members": 3}],
    }
    version = str(report["version"])
    draft.write_text(YAML.replace("3", "0", 1))
    shown = await run(address, "back-test", str(draft), "--version", version)
    assert shown.exit_code == 0, shown.output
    for words in ("-305", "most of the losers", f"{buyers[0]}  -105", "0 members up, 0 down"):
        assert words in shown.stdout, shown.stdout
    assert "draft" in (await run(address, "list")).stdout
    assert json.loads((await run(address, "show", version, "--json")).stdout)["name"] == "Holidays"
    assert (await run(address, "activate", version, "--dry-run")).exit_code == 0
    active = json.loads((await run(address, "activate", version, "--yes", "--json")).stdout)
    assert (active["status"], active["terms"]["matures"]) == ("active", {"on": "delivered"})
    again = await run(address, "activate", version, "--yes")
    assert (again.exit_code, "rule_is_active" in again.output) == (1, True)


async def test_a_back_test_that_nobody_works_at_is_shown_as_far_as_it_is(address: str, books: Books) -> None:
    await books.earn(earn_of(new_id()))
    started = await run(address, "back-test", "--version", "1", "--wait-seconds", "0")
    assert started.exit_code == 3, started.output
    test_id = started.output.rsplit("--resume ", 1)[1].split()[0]
    resumed = await run(address, "back-test", "--resume", test_id, "--wait-seconds", "0", "--json")
    assert resumed.exit_code == 3
    assert '"status": "running"' in resumed.output


async def test_what_cannot_be_tried_is_refused_with_the_place(tmp_path: Path, address: str) -> None:
    file = tmp_path / "rules.json"
    file.write_text('{"terms": {"base": {"points": 1}, "exclude": {"all": 1}}}')
    refused = await run(address, "back-test", str(file))
    assert (refused.exit_code, "/exclude/all" in refused.output) == (1, True), refused.output
    file.write_text('{"terms": {"base": {"points": "many"}}}')
    refused = await run(address, "back-test", str(file))
    assert (refused.exit_code, "/terms/base/points" in refused.output) == (1, True), refused.output
    assert (await run(address, "back-test", str(tmp_path / "none.json"))).exit_code == 1
    assert (await run(address, "show", "99")).exit_code == 1
    assert (await run("http://127.0.0.1:9", "list")).exit_code == 2
    assert (await run(address, "back-test")).exit_code == 2
    assert (await run(address, "back-test", "--version", "1", "--resume", str(UUID(int=1)))).exit_code == 2


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("a.json", "[1]"),
        ("a.json", "{"),
        ("a.yaml", "a: [1"),
        ("a.yaml", "a: !!python/object:os.system {}"),
        ("a.json", "\x00"),
        ("a.json", '"' + "x" * 1_000_001 + '"'),
    ],
)
def test_a_file_that_holds_no_rule_set(tmp_path: Path, name: str, written: str) -> None:
    file = tmp_path / name
    file.write_text(written)
    with pytest.raises(Unreadable):
        read_document(file)


def test_yaml_says_what_json_does(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("base: {points: 1, per_units: 0.50}\nwhen: 2026-10-05\non: delivered\nbig: true\nno: ~\n")
    assert read_document(file) == {
        "terms": {
            "base": {"points": 1, "per_units": "0.50"},
            "when": "2026-10-05",
            "on": "delivered",
            "big": True,
            "no": None,
        }
    }
