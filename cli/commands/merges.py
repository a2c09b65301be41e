"""`regulars merge` and `regulars unmerge`: say that two members are one person, or two after all."""

import json
from typing import Annotated
from uuid import UUID

import typer

from cli.commands.asking import ask_members
from cli.commands.options import HomeOption, JsonOption, MembersUrlOption, key_option
from cli.platform import Home
from shared.settings import DEVELOPMENT_KEY

__all__ = ["register"]

REQUEST_TIMEOUT_SECONDS = 30.0

Surviving = Annotated[UUID, typer.Argument(help="The member that stays.", show_default=False)]
Merged = Annotated[UUID, typer.Argument(help="The member that is an alias of it.", show_default=False)]
Reason = Annotated[str | None, typer.Option(help="Why, for the history.", show_default=False)]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would happen, and change nothing.")]
Key = Annotated[str, key_option("members:write")]


def merge(
    surviving: Surviving,
    merged: Merged,
    reason: Reason = None,
    dry_run: DryRun = False,
    home: HomeOption = None,
    url: MembersUrlOption = None,
    key: Key = DEVELOPMENT_KEY,
    as_json: JsonOption = False,
) -> None:
    """Make a member an alias of another; everything of both is seen under the one that stays.

    Exit code 0: they are one person. 1: refused. 2: members could not be asked.
    """
    _ask("merges", surviving, merged, reason, dry_run, url or Home(home).url("members"), key, as_json)


def unmerge(
    surviving: Surviving,
    merged: Merged,
    reason: Reason = None,
    dry_run: DryRun = False,
    home: HomeOption = None,
    url: MembersUrlOption = None,
    key: Key = DEVELOPMENT_KEY,
    as_json: JsonOption = False,
) -> None:
    """Undo a merge: both members stand for themselves again, each with what came under its own id.

    Exit code 0: they are two. 1: refused. 2: members could not be asked.
    """
    _ask("unmerges", surviving, merged, reason, dry_run, url or Home(home).url("members"), key, as_json)


def _ask(
    what: str,
    surviving: UUID,
    merged: UUID,
    reason: str | None,
    dry_run: bool,
    url: str,
    key: str,
    as_json: bool,
) -> None:
    body = {"surviving_id": str(surviving), "merged_id": str(merged), "reason": reason}
    told = ask_members(what, body, dry_run=dry_run, url=url, key=key, timeout_seconds=REQUEST_TIMEOUT_SECONDS)
    if as_json:
        typer.echo(json.dumps(told))
        return
    typer.echo(f"{told['status']}: {told['merged_id']} is now {told['person_id']}")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("merge")(merge)
    app.command("unmerge")(unmerge)
