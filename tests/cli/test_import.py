"""Importing into the real members service: what goes in, what does not, and going on after a kill."""

import asyncio
import csv
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from cli.commands import application
from cli.embedded.ports import LOOPBACK, free_port
from cli.importing import (
    ImportAborted,
    ImportPlan,
    MappingError,
    Outcome,
    holds_documents,
    import_file,
    load_mapping,
)
from services.members.app import service
from shared.database import Database
from shared.settings import DEVELOPMENT_KEY
from tests.fixtures.serving import serving

HEADER = "order_id,customer_id,currency,placed_at,paid_at,sku,quantity,unit_price,email"
GOOD = "{n},kim,USD,2026-03-01T12:00:00Z,2026-03-01T12:01:00Z,MUG,2,19.99,kim@example.test"

BAD = {
    "unreadable_row": {
        "text for a number": "b1,kim,USD,2026-03-01T12:00:00Z,,MUG,two,19.99,",
        "an unknown currency": "b2,kim,XXZ,2026-03-01T12:00:00Z,,MUG,1,19.99,",
        "no date": "b3,kim,USD,someday,,MUG,1,19.99,",
        "a missing column": "b4,kim,USD,2026-03-01T12:00:00Z,,MUG,1",
        "an empty customer": "b5,,USD,2026-03-01T12:00:00Z,,MUG,1,19.99,",
        "an amount beyond 64 bits": "b6,kim,USD,2026-03-01T12:00:00Z,,MUG,1,99999999999999999999,",
        "an open quotation mark": 'b9,kim,USD,2026-03-01T12:00:00Z,,"MUG" and more",1,1,',
    },
    "invalid_item": {
        "a negative price": "c1,kim,USD,2026-03-01T12:00:00Z,,MUG,1,-5.00,",
        "no pieces": "c2,kim,USD,2026-03-01T12:00:00Z,,MUG,0,5.00,",
        "the far future": "c3,kim,USD,2999-03-01T12:00:00Z,,MUG,1,5.00,",
        "no address": "c4,kim,USD,2026-03-01T12:00:00Z,,MUG,1,5.00,nobody",
    },
    "order_conflict": {"other content under a known id": "known,kim,USD,2026-03-01T12:00:00Z,,MUG,9,19.99,"},
}


@pytest.fixture
async def members(members_database: Database) -> AsyncIterator[str]:
    """The address of a members service with an empty database."""
    async with serving(service, members_database) as address:
        yield address


def plan_for(url: str, folder: Path, lines: list[str]) -> ImportPlan:
    file = folder / "orders.csv"
    file.write_text("\n".join([HEADER, *lines]) + "\n")
    return ImportPlan(
        file=file,
        mapping=load_mapping("generic"),
        url=url,
        key=DEVELOPMENT_KEY,
        rejects=folder / "orders.csv.rejects.csv",
        patience_seconds=30,
    )


def good(count: int) -> list[str]:
    return [GOOD.format(n=n) for n in range(count)]


def rejected(plan: ImportPlan) -> list[dict[str, str]]:
    if not plan.rejects.exists():
        return []
    with plan.rejects.open(newline="") as file:
        return list(csv.DictReader(file))


async def orders_known(url: str) -> int:
    async with httpx.AsyncClient(headers={"Authorization": f"Bearer {DEVELOPMENT_KEY}"}) as client:
        answer = await client.get(f"{url}/v1/summary")
    return int(answer.json()["orders"]["total"])


async def test_good_rows_go_in_and_each_bad_one_comes_back_with_its_reason(
    members: str, tmp_path: Path
) -> None:
    bad = [(code, row) for code, rows in BAD.items() for row in rows.values()]
    await import_file(plan_for(members, tmp_path, [GOOD.format(n="known")]))
    lines = [*good(30), *(row for _, row in bad), GOOD.format(n="last")]
    plan = plan_for(members, tmp_path, lines)
    outcome = await import_file(replace(plan, batch_rows=10))
    assert (outcome.accepted, outcome.rejected, outcome.rows) == (31, len(bad), len(lines))
    assert await orders_known(members) == 32
    found = rejected(plan)
    assert [(reject["code"], reject["row"]) for reject in found] == bad
    # The header is line 1.
    assert [int(reject["line"]) for reject in found] == list(range(32, 32 + len(bad)))
    assert all(reject["reason"] for reject in found)
    assert not plan.journal.exists()


async def test_rejects_that_were_mended_can_be_imported(members: str, tmp_path: Path) -> None:
    bad = [GOOD.format(n=f"r{n}").replace(",19.99,", ",1O.00,") for n in "ab"]
    plan = plan_for(members, tmp_path, [*good(3), *bad])
    assert (await import_file(plan)).rejected == 2
    mended = tmp_path / "mended.csv"
    mended.write_text(plan.rejects.read_text().replace(",1O.00,", ",10.00,", 1))
    again = replace(plan, file=mended, rejects=tmp_path / "left.csv")
    outcome = await import_file(again)
    assert (outcome.accepted, outcome.rejected) == (1, 1)
    # What is left names the line of the first file, and can be mended once more.
    assert [reject["line"] for reject in rejected(again)] == ["6"]
    assert rejected(again)[0]["row"] == bad[1]
    again.rejects.write_text(again.rejects.read_text().replace(",1O.00,", ",10.00,"))
    last = await import_file(replace(plan, file=again.rejects, rejects=tmp_path / "none.csv"))
    assert (last.accepted, last.rejected) == (1, 0)
    assert await orders_known(members) == 5


async def test_rejects_never_take_the_place_of_the_file(members: str, tmp_path: Path) -> None:
    plan = plan_for(members, tmp_path, good(1))
    with pytest.raises(MappingError, match="cannot take its own rejects"):
        await import_file(replace(plan, rejects=plan.file))
    assert plan.file.exists()


async def test_a_column_that_stands_twice_is_refused_if_it_is_read(members: str, tmp_path: Path) -> None:
    plan = plan_for(members, tmp_path, good(1))
    content = plan.file.read_text()
    plan.file.write_text(
        "".join(line + ",9.99\n" for line in content.splitlines()).replace(",9.99", ",sku", 1)
    )
    with pytest.raises(MappingError, match="'sku' stands twice"):
        await import_file(plan)
    plan.file.write_text(plan.file.read_text().replace(",sku\n", ",note\n"))
    assert (await import_file(plan)).accepted == 1


async def test_importing_again_changes_nothing(members: str, tmp_path: Path) -> None:
    plan = plan_for(members, tmp_path, good(25))
    await import_file(plan)
    again = await import_file(plan)
    assert (again.accepted, again.unchanged, again.rejected) == (0, 25, 0)


class Killed(Exception):
    """The import ended in the middle."""


async def test_an_import_that_was_cut_off_goes_on_where_it_was(members: str, tmp_path: Path) -> None:
    lines = [*good(12), next(iter(BAD["invalid_item"].values())), *(GOOD.format(n=n) for n in range(12, 60))]
    plan = replace(plan_for(members, tmp_path, lines), batch_rows=10, in_flight=1)
    batches = 0

    def cut_off(rows: int) -> None:
        nonlocal batches
        batches += 1
        if batches == 3:
            raise Killed

    with pytest.raises(Killed):
        await import_file(plan, advance=cut_off)
    resumed: Outcome = await import_file(replace(plan, resume=True))
    assert resumed.skipped == 30
    assert (resumed.rows, resumed.accepted, resumed.unchanged, resumed.rejected) == (61, 60, 0, 1)
    assert len(rejected(plan)) == 1
    assert await orders_known(members) == 60


async def test_a_file_that_changed_meanwhile_is_not_gone_on_with(members: str, tmp_path: Path) -> None:
    plan = replace(plan_for(members, tmp_path, good(30)), batch_rows=10, in_flight=1)

    def cut_off(rows: int) -> None:
        raise Killed

    with pytest.raises(Killed):
        await import_file(plan, advance=cut_off)
    plan.file.write_text(plan.file.read_text() + GOOD.format(n="new") + "\n")
    with pytest.raises(ImportAborted, match="has changed"):
        await import_file(replace(plan, resume=True))


async def test_an_outage_is_waited_out(members_database: Database, tmp_path: Path) -> None:
    port = free_port()
    plan = plan_for(f"http://{LOOPBACK}:{port}", tmp_path, good(20))
    waited = asyncio.Event()
    running = asyncio.create_task(import_file(plan, waiting=lambda reason: waited.set()))
    await waited.wait()
    async with serving(service, members_database, port):
        assert (await running).accepted == 20


async def test_an_outage_that_does_not_end_is_said(tmp_path: Path) -> None:
    plan = plan_for(f"http://{LOOPBACK}:{free_port()}", tmp_path, good(1))
    with pytest.raises(ImportAborted, match=r"nothing listens at .*regulars up"):
        await import_file(replace(plan, patience_seconds=0))


async def test_a_wrong_key_is_said_at_once(members: str, tmp_path: Path) -> None:
    plan = replace(plan_for(members, tmp_path, good(1)), key="rk_wrong")
    with pytest.raises(ImportAborted, match="401, unauthenticated"):
        await import_file(plan)


async def test_a_file_of_which_nothing_can_be_read_is_refused_whole(members: str, tmp_path: Path) -> None:
    plan = plan_for(members, tmp_path, [GOOD.format(n=n).replace("19.99", "19,99") for n in range(20)])
    with pytest.raises(MappingError, match="Not one of the first 20 rows"):
        await import_file(plan)


async def test_documents_need_no_mapping(members: str, tmp_path: Path) -> None:
    document = (
        '{"source":"s","shop_id":"1","external_order_id":"%s","external_customer_id":"kim","currency":"USD",'
        '"placed_at":"2026-03-01T12:00:00Z","lines":[{"sku":"MUG","quantity":1,"unit_price_minor":%s}]}'
    )
    plan = plan_for(members, tmp_path, [])
    plan.file.write_text("\n".join([document % (1, 5), document % (2, -5), "{", document % (3, 0)]))
    outcome = await import_file(replace(plan, mapping=plan.mapping.for_documents()))
    assert (outcome.accepted, outcome.rejected) == (2, 2)
    assert [reject["code"] for reject in rejected(plan)] == ["invalid_item", "unreadable_row"]
    assert holds_documents(plan.rejects)
    plan.rejects.write_text(plan.rejects.read_text().replace('"":-5', '"":5'))
    again = replace(
        plan, file=plan.rejects, mapping=plan.mapping.for_documents(), rejects=tmp_path / "left.csv"
    )
    outcome = await import_file(again)
    assert (outcome.accepted, outcome.rejected) == (1, 1)


@pytest.mark.parametrize("kind", ["orders", "refunds", "cancellations", "deliveries", "points"])
@pytest.mark.parametrize("name", ["some.csv", "some.ndjson", "some"])
@pytest.mark.parametrize("content", [b"", b"\xef\xbb\xbf", b"\xff\xfe\n\x00", b"\r\n\n"])
def test_a_file_with_nothing_in_it_is_no_error_and_said(
    tmp_path: Path, kind: str, name: str, content: bytes
) -> None:
    """A day without orders has an empty export; nothing is sent, so no service need run."""
    file = tmp_path / name
    file.write_bytes(content)
    words = ["import", kind, str(file), "--home", str(tmp_path), "--json"]
    answer = CliRunner().invoke(application(words), words)
    assert answer.exit_code == 0, answer.output
    assert json.loads(answer.stdout)["rows"] == 0
    assert "some" in answer.stderr
    assert "holds no rows: nothing was imported" in answer.stderr
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_header_without_rows_is_no_error_and_another_header_is(tmp_path: Path) -> None:
    file = tmp_path / "orders.csv"
    for header, exit_code, said in ((HEADER, 0, "holds no rows"), ("a,b", 2, "has no header with")):
        file.write_text(f"{header}\n")
        words = ["import", "orders", str(file), "--home", str(tmp_path)]
        answer = CliRunner().invoke(application(words), words)
        assert (answer.exit_code, said in answer.stderr) == (exit_code, True), answer.stderr
