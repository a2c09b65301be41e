"""`regulars verify ledger`: compare the books of points with themselves."""

import json
from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from cli.commands.asking import Ask, asking_points
from cli.commands.options import HomeOption, JsonOption, PointsUrlOption, key_option
from cli.commands.verify_draw import verify_draw
from cli.platform import Home
from shared.settings import DEVELOPMENT_KEY

__all__ = ["register"]

EXIT_FINDINGS = 1

# A slice of accounts with long histories takes a while on a busy machine.
REQUEST_TIMEOUT_SECONDS = 120.0
# More than anybody reads; the count says how many there are.
SHOWN_FINDINGS = 50


class Books:
    """What the slices have shown together."""

    def __init__(self) -> None:
        self.counts = {"accounts": 0, "entries": 0, "lots": 0}
        self.members_points = 0
        self.contra_points: dict[str, int] = {}
        self.findings: list[dict[str, Any]] = []

    def add(self, part: dict[str, Any]) -> None:
        """Add a slice."""
        for name in self.counts:
            self.counts[name] += part[name]
        self.members_points += part["members_points"]
        for contra, points in part["contra_points"].items():
            self.contra_points[contra] = self.contra_points.get(contra, 0) + points
        self.findings += part["findings"]

    @property
    def sum_points(self) -> int:
        """Members and contra accounts together: zero, or points came from nowhere."""
        return self.members_points + sum(self.contra_points.values())

    @property
    def is_right(self) -> bool:
        """Whether nothing disagrees."""
        return not self.findings and self.sum_points == 0

    def facts(self) -> dict[str, Any]:
        """Everything, as `--json` prints it."""
        return {
            "verified": self.is_right,
            **self.counts,
            "members_points": self.members_points,
            "contra_points": self.contra_points,
            "entries_sum": self.sum_points,
            "findings": self.findings,
        }


def verify_ledger(
    member: Annotated[
        UUID | None, typer.Option(help="Only this member's account.", show_default=False)
    ] = None,
    home: HomeOption = None,
    url: PointsUrlOption = None,
    key: Annotated[str, key_option("points:admin")] = DEVELOPMENT_KEY,
    slice_accounts: Annotated[int, typer.Option(min=1, max=5_000, help="Accounts per request.")] = 1_000,
    as_json: JsonOption = False,
) -> None:
    """Compare the ledger with itself: entries, hash chains, balances, lots and moves, holds, contra totals.

    Exit code 0: all agree. 1: something disagrees, and is listed. 2: points could not be asked.
    """
    books = Books()
    address = url or Home(home).url("points")
    with asking_points(address, key, timeout_seconds=REQUEST_TIMEOUT_SECONDS) as ask:
        if member is not None:
            books.add(ask(f"/v1/audit/accounts/{member}", {}))
        else:
            _verify_all(ask, books, slice_accounts)
    _show(books, as_json)
    if not books.is_right:
        raise typer.Exit(EXIT_FINDINGS)


def _verify_all(ask: Ask, books: Books, slice_accounts: int) -> None:
    summary = ask("/v1/summary", {})
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed:,}"))
    with Progress(*columns, TimeElapsedColumn(), console=Console(stderr=True)) as progress:
        for what, path, limit, total in (
            ("accounts", "/v1/audit/accounts", slice_accounts, summary["accounts"]),
            # A lot is compared with less than an account is.
            ("lots", "/v1/audit/lots", slice_accounts * 10, None),
        ):
            task = progress.add_task(what, total=total)
            cursor = None
            while True:
                part = ask(path, {"limit": limit} | ({"cursor": cursor} if cursor else {}))
                books.add(part)
                progress.update(task, completed=books.counts[what])
                cursor = part["next_cursor"]
                if cursor is None:
                    break
            progress.update(task, total=books.counts[what])


def _show(books: Books, as_json: bool) -> None:
    if as_json:
        print(json.dumps(books.facts()))
        return
    console = Console()
    sums = Table(show_header=False, box=None)
    for name, count in books.counts.items():
        sums.add_row(name, f"{count:,}")
    sums.add_row("members hold", f"{books.members_points:,}")
    for contra, points in sorted(books.contra_points.items()):
        sums.add_row(f"  {contra}", f"{points:,}")
    sums.add_row("together", f"{books.sum_points:,}")
    console.print(sums)
    if books.is_right:
        console.print("[green]everything agrees[/]")
        return
    console.print(f"[bold red]{len(books.findings):,} findings[/]")
    for each in books.findings[:SHOWN_FINDINGS]:
        # One line each, whatever the width: these are for copying.
        console.print(_described(each), highlight=False, soft_wrap=True)
    if len(books.findings) > SHOWN_FINDINGS:
        console.print(f"and {len(books.findings) - SHOWN_FINDINGS:,} more: see --json")


def _described(finding: dict[str, Any]) -> str:
    if finding["check"] == "lot_date":
        dates = {name: _date(finding[name]) for name in ("expected", "found")}
        finding = finding | dates
    names = {
        "member_id": "member",
        "sequence": "entry",
        "lot_id": "lot",
        "expected": "expected",
        "found": "found",
    }
    said = [f"{label} {finding[name]}" for name, label in names.items() if finding[name] is not None]
    return "  ".join([finding["check"], *said])


def _date(seconds: int | None) -> str:
    return "never" if seconds is None else f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M}"


def register(app: typer.Typer) -> None:
    """Add the commands."""
    verify = typer.Typer(help="Prove that the books are right, and the lottery fair.", no_args_is_help=True)
    verify.callback()(_several)
    verify.command("ledger")(verify_ledger)
    verify.command("draw")(verify_draw)
    app.add_typer(verify, name="verify")


def _several() -> None:
    """Prove that the books are right, and the lottery fair."""
