"""Importing opening balances into the real points service, with members to look customers up."""

import asyncio
import csv
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import UUID, uuid4

import httpx
import pytest
from typer.testing import CliRunner, Result

from cli.commands import application
from cli.importing import ImportPlan, import_file, load_mapping
from services.members.app import service as members_service
from services.points.app import service as points_service
from shared.database import Database
from shared.settings import DEVELOPMENT_KEY
from tests.fixtures.serving import serving
from tests.points.ledger import Books

HEADER = "row_id,member_id,customer_source,customer_id,points,earned_at,expires_at"
DATES = "2025-11-02T09:30:00Z,2090-11-02T09:30:00Z"
KIM = "019aa8f2-f23f-7ae5-9b9b-f3b2f981c5c4"


@pytest.fixture
def books(points_database: Database) -> Books:
    """The ledger behind the service."""
    return Books(points_database)


@dataclass(frozen=True)
class Addresses:
    """Where the two services listen."""

    members: str
    points: str


@pytest.fixture
async def services(members_database: Database, points_database: Database) -> AsyncIterator[Addresses]:
    """Members and points, both with empty databases."""
    async with (
        serving(members_service, members_database) as members,
        serving(points_service, points_database) as points,
    ):
        yield Addresses(members, points)


def plan_for(services: Addresses, folder: Path, lines: list[str]) -> ImportPlan:
    file = folder / "points.csv"
    file.write_text("\n".join([HEADER, *lines]) + "\n")
    return ImportPlan(
        file=file,
        mapping=load_mapping("points"),
        url=services.points,
        members_url=services.members,
        key=DEVELOPMENT_KEY,
        rejects=folder / "points.csv.rejects.csv",
        patience_seconds=30,
    )


async def order_of(services: Addresses, customer: str) -> str:
    """Let a customer order something; return the id of the member that they are."""
    order = {
        "source": "shop",
        "shop_id": "main",
        "external_order_id": f"o-{customer}",
        "external_customer_id": customer,
        "currency": "USD",
        "placed_at": "2026-03-01T12:00:00Z",
        "lines": [{"line_no": 1, "sku": "MUG", "product_id": "MUG", "quantity": 1, "unit_price_minor": 100}],
        "total_minor": 100,
    }
    headers = {"Authorization": f"Bearer {DEVELOPMENT_KEY}"}
    async with httpx.AsyncClient(base_url=services.members, headers=headers) as client:
        taken = await client.post("/v1/orders", json=[order])
        assert taken.json()["results"][0]["status"] == "accepted", taken.text
        query = {"source": "shop", "external_id": customer}
        found = await client.get("/v1/members", params=query)
    return str(found.json()["items"][0]["member_id"])


def rejected(plan: ImportPlan) -> list[dict[str, str]]:
    with plan.rejects.open(newline="") as file:
        return list(csv.DictReader(file))


async def test_rows_go_in_by_member_and_by_customer_and_bad_ones_come_back(
    services: Addresses, books: Books, tmp_path: Path
) -> None:
    lee = await order_of(services, "lee")
    lines = [
        f"1,{KIM},,,500,{DATES}",
        f"2,,shop,lee,70,{DATES}",
        f"3,,shop,nobody,70,{DATES}",
        f"4,,,,70,{DATES}",
        f"5,{KIM},,,0,{DATES}",
        f"6,{KIM},,,many,{DATES}",
        f"7,{KIM},,,5,2025-11-02T09:30:00Z,2024-11-02T09:30:00Z",
        "8,,shop,lee,5,2025-11-02T09:30:00Z,",
        f"1,{KIM},,,501,{DATES}",
    ]
    plan = plan_for(services, tmp_path, lines)
    outcome = await import_file(plan)
    assert (outcome.rows, outcome.accepted, outcome.rejected) == (9, 3, 6)
    assert [(reject["line"], reject["code"]) for reject in rejected(plan)] == [
        ("4", "member_not_found"),
        ("5", "invalid_item"),
        ("6", "invalid_item"),
        ("7", "unreadable_row"),
        ("8", "invalid_item"),
        ("10", "opening_conflict"),
    ]
    assert "nobody whom shop calls nobody" in rejected(plan)[0]["reason"]
    assert (await books.balance(UUID(KIM))).available_points == 500
    assert (await books.balance(UUID(lee))).available_points == 75
    again = await import_file(plan)
    assert (again.accepted, again.unchanged, again.rejected) == (0, 3, 6)
    await books.assert_balanced()


async def test_an_import_that_was_cut_off_goes_on_where_it_was(
    services: Addresses, books: Books, tmp_path: Path
) -> None:
    plan = plan_for(services, tmp_path, [f"{n},{uuid4()},,,10,{DATES}" for n in range(50)])
    plan = replace(plan, batch_rows=10, in_flight=1)

    class Killed(Exception):
        """The import ended in the middle."""

    done = 0

    def advance(rows: int) -> None:
        nonlocal done
        done += rows
        if done == 30:
            raise Killed

    with pytest.raises(Killed):
        await import_file(plan, advance=advance)
    outcome = await import_file(replace(plan, resume=True))
    assert (outcome.rows, outcome.skipped, outcome.accepted) == (50, 30, 50)
    assert (await books.summary())["available_points"] == 500


def run(*arguments: str) -> Result:
    return CliRunner().invoke(application(arguments), list(arguments))


async def test_the_command_imports_documents_and_says_what_became_of_them(
    services: Addresses, tmp_path: Path
) -> None:
    file = tmp_path / "points.ndjson"
    good = {
        "source": "old",
        "row_id": "1",
        "member_id": KIM,
        "points": 5,
        "earned_at": "2025-11-02T09:30:00Z",
    }
    file.write_text(json.dumps(good) + "\n" + json.dumps(good | {"row_id": "2", "points": -1}) + "\n")
    addresses = ("--url", services.points, "--members", services.members)
    result = await asyncio.to_thread(run, "import", "points", str(file), *addresses, "--json")
    assert result.exit_code == 3, result.output
    facts = json.loads(result.stdout)
    assert (facts["accepted"], facts["rejected"], facts["codes"]) == (1, 1, {"invalid_item": 1})
    wrong = await asyncio.to_thread(
        run, "import", "points", str(file), *addresses, "--mapping", "generic", "--json"
    )
    assert wrong.exit_code == 2
