"""`regulars rules`: look at the earning rules, try a draft on orders that were, and put it into force."""

import json
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from cli.commands.asking import EXIT_REFUSED, Service
from cli.commands.options import HomeOption, JsonOption
from cli.platform import Home
from cli.rules import Unreadable, read_document, show_report, show_version, show_versions
from shared.clock import utc_now
from shared.settings import DEVELOPMENT_KEY

__all__ = ["register"]

EXIT_NOT_DONE = 3

REQUEST_TIMEOUT_SECONDS = 30.0
POLL_SECONDS = 0.5
# A season: long enough to have seen every kind of order.
WINDOW_DAYS = 90

RULES = "/v1/rules/earning"

rules = typer.Typer(help="The earning rules: list, show, try and activate them.", no_args_is_help=True)

UrlOption = Annotated[
    str | None, typer.Option(help="Address of points; of the platform under the home if left out.")
]
KeyOption = Annotated[
    str, typer.Option(help="API key with points:admin.", envvar="REGULARS_KEY", show_default=False)
]
VersionArgument = Annotated[int, typer.Argument(min=1, help="Number of the version or draft.")]


def _instant(written: str) -> datetime:
    """Return the instant of an ISO 8601 date or time, which is in UTC unless it says otherwise."""
    try:
        instant = datetime.fromisoformat(written)
    except ValueError as error:
        raise typer.BadParameter(f"{written!r} is no date or time such as 2026-10-05T09:00Z") from error
    return instant if instant.tzinfo is not None else instant.replace(tzinfo=UTC)


@rules.command("list")
def list_rules(
    home: HomeOption = None,
    url: UrlOption = None,
    key: KeyOption = DEVELOPMENT_KEY,
    as_json: JsonOption = False,
) -> None:
    """List all versions and drafts, and which is in force."""
    told = _points(home, url, key).ask("GET", RULES)
    if as_json:
        print(json.dumps(told))
        return
    show_versions(told, Console())


@rules.command("show")
def show(
    version: VersionArgument,
    home: HomeOption = None,
    url: UrlOption = None,
    key: KeyOption = DEVELOPMENT_KEY,
    as_json: JsonOption = False,
) -> None:
    """Show one version or draft with its terms."""
    _show(_points(home, url, key).ask("GET", f"{RULES}/{version}"), as_json)


@rules.command("activate")
def activate(
    version: VersionArgument,
    at: Annotated[
        str | None,
        typer.Option(help="From when on, UTC unless it says; now if left out.", show_default=False),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be, and change nothing.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    home: HomeOption = None,
    url: UrlOption = None,
    key: KeyOption = DEVELOPMENT_KEY,
    as_json: JsonOption = False,
) -> None:
    """Put a draft into force: orders paid from then on earn by it, and it never changes again.

    Exit code 0: in force. 1: refused, or not wanted after all. 2: points could not be asked.
    """
    body = {} if at is None else {"effective_at": _instant(at).isoformat()}
    if not (dry_run or yes):
        typer.confirm(f"Let orders earn by version {version} from {at or 'now'} on?", abort=True)
    points = _points(home, url, key)
    _show(points.ask("POST", f"{RULES}/{version}/activate", body, dry_run=dry_run), as_json)


@rules.command("back-test")
def back_test(
    file: Annotated[
        Path | None,
        typer.Argument(help="A rule set as JSON or YAML; it is kept as a draft.", show_default=False),
    ] = None,
    version: Annotated[
        int | None,
        typer.Option(
            min=1, help="Try this version or draft; with FILE, change the draft first.", show_default=False
        ),
    ] = None,
    resume: Annotated[
        UUID | None, typer.Option(help="Wait for a back-test that was started before.", show_default=False)
    ] = None,
    paid_from: Annotated[
        str | None,
        typer.Option("--from", help="Orders paid from then on; 90 days before --until if left out."),
    ] = None,
    paid_until: Annotated[
        str | None, typer.Option("--until", help="Orders paid before; now if left out.")
    ] = None,
    wait_seconds: Annotated[float, typer.Option(min=0, help="How long to wait for the end of it.")] = 600.0,
    home: HomeOption = None,
    url: UrlOption = None,
    key: KeyOption = DEVELOPMENT_KEY,
    as_json: JsonOption = False,
) -> None:
    """Try rules on orders that have earned: what would change in points, liability and tiers, and for whom.

    Nothing is changed by it, beside the draft that is kept. Exit code 0: done. 1: refused, or no rule set.
    2: points could not be asked. 3: not done yet, and shown as far as it is.
    """
    if resume is not None and (file is not None or version is not None):
        raise typer.BadParameter("--resume goes alone: it says which rules are tried already")
    points = _points(home, url, key)
    console = Console(stderr=True)
    if resume is None:
        window = _window(paid_from, paid_until)
        if file is not None:
            version = _keep(points, file, version, console)
        if version is None:
            raise typer.BadParameter("say what to try: FILE, --version or --resume")
        body: dict[str, Any] = {"version": version, **window}
        resume = UUID(points.ask("POST", f"{RULES}/back-tests", body)["back_test_id"])
    report = _wait(points, resume, wait_seconds, console)
    if as_json:
        print(json.dumps(report))
    else:
        show_report(report, Console())
    if report["status"] != "done":
        console.print(
            f"not done yet: regulars rules back-test --resume {resume}", highlight=False, soft_wrap=True
        )
        raise typer.Exit(EXIT_NOT_DONE)


def _window(paid_from: str | None, paid_until: str | None) -> dict[str, str]:
    until = utc_now() if paid_until is None else _instant(paid_until)
    begins = until - timedelta(days=WINDOW_DAYS) if paid_from is None else _instant(paid_from)
    return {"paid_from": begins.isoformat(), "paid_until": until.isoformat()}


def _keep(points: Service, file: Path, version: int | None, console: Console) -> int:
    """Keep what a file says as a draft, a new one or that one; return its number."""
    try:
        document = read_document(file)
    except Unreadable as error:
        console.print(str(error), style="bold red", highlight=False, markup=False, soft_wrap=True)
        raise typer.Exit(EXIT_REFUSED) from error
    if version is not None:
        points.ask("PUT", f"{RULES}/{version}", document)
        return version
    kept = int(points.ask("POST", f"{RULES}/drafts", document)["version"])
    console.print(f"kept as draft {kept}", highlight=False)
    return kept


def _wait(points: Service, back_test_id: UUID, wait_seconds: float, console: Console) -> dict[str, Any]:
    """Ask until it is done, or until that has taken long enough."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    gives_up_at = time.monotonic() + wait_seconds
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("", total=None)
        while True:
            report = points.ask("GET", f"{RULES}/back-tests/{back_test_id}")
            what = "tiers" if report["status"] == "judging_tiers" else "points"
            tried = f"{report['orders']:,} orders of {report['members']:,} members"
            progress.update(task, description=f"{what}: {tried}")
            if report["status"] == "done" or time.monotonic() >= gives_up_at:
                return report
            time.sleep(POLL_SECONDS)


def _points(home: Path | None, url: str | None, key: str) -> Service:
    return Service("points", url or Home(home).url("points"), key, REQUEST_TIMEOUT_SECONDS)


def _show(rule: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print(json.dumps(rule))
        return
    show_version(rule, Console())


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(rules, name="rules")
