"""`regulars member`: one member as a person would want to see it."""

import json
from typing import Annotated

import typer
from rich.console import Console

from cli.commands.options import HomeOption, JsonOption, key_option
from cli.member import MemberUnknown, Unanswered, find, read, show_found, show_member
from cli.platform import Home
from shared.settings import DEVELOPMENT_KEY

__all__ = ["register"]

EXIT_UNANSWERED, EXIT_UNKNOWN = 1, 4


def member(
    who: Annotated[
        str,
        typer.Argument(metavar="ID", help="A member id, SOURCE:EXTERNAL_ID, or the word `find`."),
    ],
    text: Annotated[
        str | None,
        typer.Argument(help="After `find`: an id that any source knows, or a verified address."),
    ] = None,
    home: HomeOption = None,
    key: Annotated[str, key_option("members:read and points:read")] = DEVELOPMENT_KEY,
    as_json: JsonOption = False,
) -> None:
    """Show one member: profile, tier and what is missing to the next, stage, points, orders, entries.

    `regulars member find TEXT` says who somebody is. Exit code 0: shown. 4: nobody is known by that name.
    1: members does not answer; without points, everything else is shown.
    """
    urls = {service: Home(home).url(service) for service in ("members", "points")}
    complaints = Console(stderr=True)
    try:
        if who == "find":
            if text is None:
                raise typer.BadParameter("say whom to find")
            _find(urls, key, text, as_json)
        elif text is not None:
            raise typer.BadParameter(f"{text!r} is one argument too many; did you mean `find {who}`?")
        else:
            _show(urls, key, who, as_json)
    except MemberUnknown as unknown:
        complaints.print(str(unknown), style="bold red", highlight=False, markup=False, soft_wrap=True)
        raise typer.Exit(EXIT_UNKNOWN) from unknown
    except Unanswered as reason:
        complaints.print(str(reason), style="bold red", highlight=False, markup=False, soft_wrap=True)
        raise typer.Exit(EXIT_UNANSWERED) from reason


def _show(urls: dict[str, str], key: str, who: str, as_json: bool) -> None:
    found = read(urls, key, who)
    if as_json:
        print(json.dumps(found.facts()))
    else:
        show_member(found, Console())


def _find(urls: dict[str, str], key: str, words: str, as_json: bool) -> None:
    members = find(urls, key, words)
    if as_json:
        print(json.dumps(members))
        return
    if not members:
        raise MemberUnknown(f"Nobody is known as {words}.")
    show_found(members, Console())


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("member")(member)
