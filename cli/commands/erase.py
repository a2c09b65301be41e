"""`regulars erase`: forget a member in all services, for good."""

import json
from typing import Annotated, Any

import typer

from cli.commands.asking import ask_members
from cli.commands.options import HomeOption, JsonOption, MembersUrlOption, key_option
from cli.platform import Home
from shared.settings import DEVELOPMENT_KEY

__all__ = ["register"]

REQUEST_TIMEOUT_SECONDS = 60.0


def erase(
    member: Annotated[
        str, typer.Argument(help="A member's id, or with --source the name that it knows them by.")
    ],
    source: Annotated[
        str | None, typer.Option(help="The source that MEMBER is a name of.", show_default=False)
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would go, and change nothing.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask: it cannot be undone.")] = False,
    home: HomeOption = None,
    url: MembersUrlOption = None,
    key: Annotated[str, key_option("members:admin")] = DEVELOPMENT_KEY,
    as_json: JsonOption = False,
) -> None:
    """Erase what is personal of a member, and of all who were merged into the same person; the books stay.

    Exit code 0: erased, now or before. 1: refused, or not wanted after all. 2: members could not be asked.
    """
    body = {"member_id": member} if source is None else {"source": source, "external_id": member}
    address = url or Home(home).url("members")
    if not dry_run and not yes:
        _show(_asked(body, True, address, key), as_json=False, would=True)
        typer.confirm("Erase for good?", abort=True)
    _show(_asked(body, dry_run, address, key), as_json, would=dry_run)


def _asked(body: dict[str, Any], dry_run: bool, url: str, key: str) -> dict[str, Any]:
    return ask_members(
        "erasures", body, dry_run=dry_run, url=url, key=key, timeout_seconds=REQUEST_TIMEOUT_SECONDS
    )


def _show(told: dict[str, Any], as_json: bool, *, would: bool) -> None:
    if as_json:
        typer.echo(json.dumps(told))
        return
    if told["status"] == "unchanged":
        typer.echo(f"{told['member_id']} was erased before, at {told['erased_at']}")
        return
    gone = (
        ", ".join(f"{count} {kind}" for kind, count in told["gone"].items()) or "nothing beside the profile"
    )
    kept = ", ".join(f"{count} {kind}" for kind, count in told["kept"].items())
    typer.echo(f"{told['member_id']} {'would be' if would else 'is'} erased")
    typer.echo(f"  gone: {gone}")
    typer.echo(f"  kept without anything personal: {kept}")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("erase")(erase)
