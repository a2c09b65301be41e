"""`regulars merge` and `regulars unmerge`: say that two members are one person, or two after all."""

import json
from typing import Annotated, Any
from uuid import UUID

import typer

from cli.commands.asking import ask_members
from cli.commands.options import HomeOption, JsonOption
from cli.platform import Home
from shared.settings import DEVELOPMENT_KEY

__all__ = ["register"]

REQUEST_TIMEOUT_SECONDS = 30.0

Surviving = Annotated[UUID, typer.Argument(help="The member that stays.", show_default=False)]
Merged = Annotated[UUID, typer.Argument(help="The member that is an alias of it.", show_default=False)]
Reason = Annotated[str | None, typer.Option(help="Why, for the history.", show_default=False)]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would happen, and change nothing.")]
Url = Annotated[
    str | None, typer.Option(help="Address of members; of the platform under the home if left out.")
]
Key = Annotated[
    str, typer.Option(help="API key with members:write.", envvar="REGULARS_KEY", show_default=False)
]


def merge(
    surviving: Surviving,
    merged: Merged,
    reason: Reason = None,
    dry_run: DryRun = False,
    home: HomeOption = None,
    url: Url = None,
    key: Key = DEVELOPMENT_KEY,
    as_json: JsonOption = False,
) -> None:
    """Make a member an alias of another; everything of both is seen under the one that stays.

    Exit code 0: they are one person. 1: refused. 2: members could not be asked.
    """
    body = {"surviving_id": str(surviving), "merged_id": str(merged), "reason": reason}
    _show(_asked("merges", body, dry_run, url or Home(home).url("members"), key), as_json)


def unmerge(
    surviving: Surviving,
    merged: Merged,
    reason: Reason = None,
    dry_run: DryRun = False,
    home: HomeOption = None,
    url: Url = None,
    key: Key = DEVELOPMENT_KEY,
    as_json: JsonOption = False,
) -> None:
    """Undo a merge: both members stand for themselves again, each with what came under its own id.

    Exit code 0: they are two. 1: refused. 2: members could not be asked.
    """
    body = {"surviving_id": str(surviving), "merged_id": str(merged), "reason": reason}
    _show(_asked("unmerges", body, dry_run, url or Home(home).url("members"), key), as_json)


def _asked(what: str, body: dict[str, Any], dry_run: bool, url: str, key: str) -> dict[str, Any]:
    return ask_members(what, body, dry_run=dry_run, url=url, key=key, timeout_seconds=REQUEST_TIMEOUT_SECONDS)


def _show(told: dict[str, Any], as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(told))
        return
    typer.echo(f"{told['status']}: {told['merged_id']} is now {told['person_id']}")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("merge")(merge)
    app.command("unmerge")(unmerge)
