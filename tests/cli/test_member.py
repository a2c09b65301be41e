"""`regulars member` against the real services: whole, without points, unknown, and strange words."""

import asyncio
import json
from collections.abc import AsyncIterator
from io import StringIO
from pathlib import Path
from typing import Any

import httpx
import pytest
from rich.console import Console
from typer.testing import CliRunner, Result

from cli.commands import application
from cli.embedded.ports import LOOPBACK, free_port
from cli.member import Found, read, show_member
from cli.platform import SERVICES, Home
from cli.platform.home import PlatformState
from services.members.app import service as members_service
from services.points.app import service as points_service
from shared.database import Database
from shared.ids import new_id
from shared.settings import DEVELOPMENT_KEY
from tests.fixtures.serving import serving
from tests.members.shop import order

HEADERS = {"Authorization": f"Bearer {DEVELOPMENT_KEY}"}


@pytest.fixture
async def home(tmp_path: Path, members_database: Database) -> AsyncIterator[Path]:
    """The home of a platform of which only members runs."""
    where = Home(tmp_path / "home")
    where.prepare()
    ports = {service: free_port() for service in SERVICES}
    keep_state(where, ports)
    async with serving(members_service, members_database, ports["members"]):
        yield where.path


def keep_state(home: Home, ports: dict[str, int]) -> None:
    """Leave behind what a platform does that runs on these ports."""
    state = PlatformState(
        bus="postgres", ports=ports, embedded_postgres=False, kafka_bootstrap=None, mail_port=None, pid=1
    )
    home.keep_state(state)


def url_of(home: Path, service: str) -> str:
    state = Home(home).state()
    assert state is not None
    return f"http://{LOOPBACK}:{state.ports[service]}"


async def buys(home: Path, **fields: Any) -> str:
    async with httpx.AsyncClient(headers=HEADERS) as client:
        answer = await client.post(f"{url_of(home, 'members')}/v1/orders", json=order(1, **fields))
    member_id: str = answer.json()["member_id"]
    return member_id


async def run(home: Path, *arguments: str) -> Result:
    words = ["member", *arguments, "--home", str(home)]
    return await asyncio.to_thread(CliRunner().invoke, application(words), words)


async def test_a_member_by_id_and_by_the_name_of_a_source_without_points(home: Path) -> None:
    member_id = await buys(home, customer={"display_name": "Kim [bold]Example[/]\u202e عل\u200cی"})
    for name in (member_id, "amazon:kim"):
        shown = await run(home, name)
        assert shown.exit_code == 0, shown.output
        for words in (
            "Kim [bold]Example[/]",
            "bronze",
            "silver",
            "amazon:kim",
            "points does not answer",
            "1 × CD",
        ):
            assert words in shown.stdout, words
        assert "\u202e" not in shown.stdout
        assert "عل\u200cی" in shown.stdout
    facts = json.loads((await run(home, member_id, "--json")).stdout)
    assert (facts["member"]["member_id"], facts["points"], facts["entries"]) == (member_id, None, None)


async def test_a_member_with_points(home: Path, points_database: Database) -> None:
    member_id = await buys(home)
    port = int(url_of(home, "points").rpartition(":")[2])
    async with serving(points_service, points_database, port):
        shown = await run(home, member_id)
        assert shown.exit_code == 0, shown.output
        assert "to spend" in shown.stdout
        facts = json.loads((await run(home, member_id, "--json")).stdout)
        assert (facts["points"]["available_points"], facts["entries"]) == (0, [])


async def test_nobody_is_known_by_that_name(home: Path) -> None:
    for name in (str(new_id()), "amazon:nobody", "kim"):
        shown = await run(home, name)
        assert (shown.exit_code, shown.stdout) == (4, "")
        assert name in shown.stderr
    assert (await run(home, "find", "nobody")).exit_code == 4
    assert (await run(home, "find")).exit_code == 2
    assert (await run(home, "kim", "lee")).exit_code == 2


async def test_a_member_is_found_by_any_name(home: Path) -> None:
    points = [{"channel": "email", "address": "kim@example.test", "verified": True}]
    member_id = await buys(home, contact_points=points)
    for words in ("kim", "kim@example.test"):
        found = json.loads((await run(home, "find", words, "--json")).stdout)
        assert [member["member_id"] for member in found] == [member_id]
    assert "amazon:kim" in (await run(home, "find", "kim")).stdout


async def test_members_down_is_said_and_exits_with_1(tmp_path: Path) -> None:
    where = Home(tmp_path / "home")
    where.prepare()
    ports = {service: free_port() for service in SERVICES}
    keep_state(where, ports)
    shown = await run(where.path, "amazon:kim")
    assert (shown.exit_code, shown.stdout) == (1, "")
    assert "members does not answer: nothing listens at" in shown.stderr
    assert "regulars up" in shown.stderr


async def test_a_wrong_key_is_said(home: Path) -> None:
    shown = await run(home, "amazon:kim", "--key", "rk_wrong")
    assert shown.exit_code == 1
    assert "unauthenticated" in shown.stderr


# What a page says of a tier, by what is special about it.
TERMS = {
    "ends_at": "2026-07-01T00:00:00Z",
    "prolonged_if": {"spend_minor": 5_000, "orders": None, "points": None},
}
STANDINGS: dict[str, tuple[dict[str, Any], set[str], set[str]]] = {
    "its period": (TERMS, {"holds until 2026-07-01", "kept with 50.00 USD more", "next silver"}, {"risk"}),
    "grace": (
        TERMS | {"falls_at": "2026-07-06T00:00:00Z", "falls_reason": "period_end"},
        {
            "held until 2026-07-01, in grace since",
            "falls on 2026-07-06",
            "kept with 50.00 USD more before it falls",
        },
        {"holds until", "period_end"},
    ),
    "a refund": (
        TERMS | {"falls_at": "2026-06-06T00:00:00Z", "falls_reason": "refund"},
        {"holds until 2026-07-01", "falls on 2026-06-06 for a refund"},
        {"in grace"},
    ),
    "bought": (TERMS | {"is_given": True}, {"holds until 2026-07-01, bought or kept by a rule"}, set()),
    "a lock": (
        {"is_locked": True, "locked_until": "2026-12-24T05:00:00Z"},
        {"locked until 2026-12-24, whatever is earned", "coming"},
        {"holds until", "kept", "next"},
    ),
    "an endless lock": ({"is_locked": True}, {"until somebody unlocks it, whatever is earned"}, {"next"}),
    "erasure": ({}, {"erased 2026-06-01", "tier bronze"}, {"next", "coming", "kept"}),
}


@pytest.mark.parametrize("special", STANDINGS)
async def test_what_is_said_of_a_tier_fits_its_terms(home: Path, special: str) -> None:
    changed, said, unsaid = STANDINGS[special]
    member_id = await buys(home)
    urls = {"members": url_of(home, "members"), "points": url_of(home, "points")}
    found = await asyncio.to_thread(read, urls, DEVELOPMENT_KEY, member_id)
    found.member["standing"] |= changed
    found.member["lifecycle"] |= {"next_stage": "decline", "next_at": "2026-09-29T00:00:00Z"}
    if special == "erasure":
        found.member["erased_at"] = "2026-06-01T00:00:00Z"
    screen = Console(width=100, file=StringIO(), force_terminal=False)
    show_member(found, screen)
    assert isinstance(screen.file, StringIO)
    words = " ".join(screen.file.getvalue().split())
    assert [each for each in said if each not in words] == []
    assert [each for each in unsaid if each in words] == []


@pytest.mark.parametrize(
    ("stage", "said"),
    [("stability", "stability from 2026-09-29 on"), ("lost", "lost from 2026-09-29 on without an order")],
)
async def test_a_stage_is_threatened_with_only_on_the_way_down(home: Path, stage: str, said: str) -> None:
    member_id = await buys(home)
    urls = {"members": url_of(home, "members"), "points": url_of(home, "points")}
    found = await asyncio.to_thread(read, urls, DEVELOPMENT_KEY, member_id)
    found.member["lifecycle"] |= {"next_stage": stage, "next_at": "2026-09-29T00:00:00Z"}
    screen = Console(width=100, file=StringIO(), force_terminal=False)
    show_member(found, screen)
    assert isinstance(screen.file, StringIO)
    (line,) = (line for line in screen.file.getvalue().splitlines() if "coming" in line)
    assert line.strip("│ ").removeprefix("coming").strip() == said


@pytest.mark.parametrize("width", [80, 120, 200])
async def test_everything_fits_the_screen(home: Path, width: int) -> None:
    member_id = await buys(home, customer={"display_name": "K" * 150})
    urls = {"members": url_of(home, "members"), "points": url_of(home, "points")}
    found = await asyncio.to_thread(read, urls, DEVELOPMENT_KEY, member_id)
    entry = {
        "occurred_at": "2026-03-01T12:00:00Z",
        "points": -(10**15),
        "kind": "claw_back",
        "reason": "w" * 300,
    }
    expirations = [{"expires_at": f"2027-01-{day:02}T00:00:00Z", "points": day} for day in range(1, 32)]
    points = {
        "available_points": 10**15,
        "held_points": 3,
        "pending_points": 4,
        "debt_points": 5,
        "lifetime": {"earned": 10**15, "clawed_back": 10**15},
        "expirations": expirations,
        "maturities": [{"matures_at": None, "points": 4}],
    }
    screen = Console(width=width, file=StringIO(), force_terminal=False)
    show_member(Found(found.member, points, [entry]), screen)
    assert isinstance(screen.file, StringIO)
    lines = screen.file.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    # All upcoming expiries are shown, however many they are.
    assert all(any(f"on 2027-01-{day:02}" in line for line in lines) for day in range(1, 32))
