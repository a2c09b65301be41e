"""`regulars dead-letters`: records that a service could not apply, and the way back."""

import asyncio
import json
from collections.abc import Iterable
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from cli.commands.options import HomeOption, JsonOption
from cli.databases import databases_of, reachable_servers, service_named
from cli.platform import SERVICES, Home
from shared import dead_letters as shelf
from shared.dead_letters import DeadLetter

__all__ = ["register"]

PAGE = 500
MAX_SHOWN = 10_000

dead_letters = typer.Typer(
    help="Records that a service could not apply: look, mend, and try again.", no_args_is_help=True
)

ServiceOption = Annotated[str | None, typer.Option("--service", help="Only of this service.")]
References = Annotated[list[str] | None, typer.Argument(help="<service>:<id>, as `list` shows them.")]


def references(given: list[str]) -> dict[str, list[int]]:
    """Ids by service. Raises typer.BadParameter."""
    wanted: dict[str, list[int]] = {}
    for reference in given:
        service, _, number = reference.partition(":")
        if not number.isdigit():
            raise typer.BadParameter(f"{reference!r} is not <service>:<id>")
        wanted.setdefault(service_named(service), []).append(int(number))
    return wanted


@dead_letters.command("list")
def show_all(service: ServiceOption = None, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """List what waits, the oldest first."""
    where = Home(home)
    with reachable_servers(where):
        letters = asyncio.run(_letters(where, [service_named(service)] if service else SERVICES))
    if as_json:
        print(json.dumps([_facts(name, letter) for name, letter in letters]))
        return
    if not letters:
        print("no dead letters")
        return
    table = Table()
    for heading in ("letter", "event", "position", "attempts", "code", "reason"):
        table.add_column(heading)
    for name, letter in letters:
        position = f"{letter.topic}/{letter.partition}@{letter.offset}"
        waiting = " (retry asked)" if letter.retry_requested_at else ""
        table.add_row(
            f"{name}:{letter.id}",
            letter.type or "?",
            position,
            f"{letter.attempts}{waiting}",
            letter.code,
            letter.reason[:200],
        )
    Console().print(table)


@dead_letters.command("show")
def show_one(letter: Annotated[str, typer.Argument(help="<service>:<id>")], home: HomeOption = None) -> None:
    """Show one whole: where it came from, why it was refused, and what it says."""
    ((service, (number,)),) = references([letter]).items()
    where = Home(home)
    with reachable_servers(where):
        found = [one for _, one in asyncio.run(_letters(where, [service])) if one.id == number]
    if not found:
        Console(stderr=True).print(f"There is no waiting dead letter {letter}.")
        raise typer.Exit(1)
    print(json.dumps(_facts(service, found[0]) | _content(found[0]), indent=2))


@dead_letters.command("retry")
def retry(
    letters: References = None,
    service: ServiceOption = None,
    every: Annotated[bool, typer.Option("--all", help="All that wait.")] = False,
    home: HomeOption = None,
) -> None:
    """Have records applied again by the handlers that refused them."""
    _settle(Home(home), letters or [], service, every, "to be tried again")


@dead_letters.command("drop")
def drop(
    letters: References = None,
    service: ServiceOption = None,
    every: Annotated[bool, typer.Option("--all", help="All that wait.")] = False,
    home: HomeOption = None,
) -> None:
    """Give records up; the rows stay as a record of the decision."""
    _settle(Home(home), letters or [], service, every, "dropped")


def _settle(home: Home, given: list[str], service: str | None, every: bool, verb: str) -> None:
    if bool(given) == every:
        raise typer.BadParameter("name letters, or --all (of one --service, or of every one)")
    with reachable_servers(home):
        if every:
            waiting = asyncio.run(_letters(home, [service_named(service)] if service else SERVICES))
            wanted: dict[str, list[int]] = {}
            for name, letter in waiting:
                wanted.setdefault(name, []).append(letter.id)
        else:
            wanted = references(given)
        count = asyncio.run(_settled(home, wanted, retried=verb != "dropped"))
    print(f"{count} {verb}")
    if count < sum(len(ids) for ids in wanted.values()):
        Console(stderr=True).print("The others do not exist or were settled before.")
        raise typer.Exit(1)


async def _settled(home: Home, wanted: dict[str, list[int]], *, retried: bool) -> int:
    count = 0
    async with databases_of(home, wanted) as databases:
        for service, ids in wanted.items():
            async with databases[service].transaction() as session:
                settle = shelf.request_retry if retried else shelf.drop
                count += await settle(session, ids)
    return count


async def _letters(home: Home, services: Iterable[str]) -> list[tuple[str, DeadLetter]]:
    found: list[tuple[str, DeadLetter]] = []
    async with databases_of(home, services) as databases:
        for service, database in databases.items():
            async with database.reading() as session:
                after = 0
                while len(found) < MAX_SHOWN:
                    page = await shelf.list_letters(session, after_id=after, limit=PAGE)
                    found += [(service, letter) for letter in page]
                    if len(page) < PAGE:
                        break
                    after = page[-1].id
    return found


def _facts(service: str, letter: DeadLetter) -> dict[str, Any]:
    return {
        "letter": f"{service}:{letter.id}",
        "topic": letter.topic,
        "partition": letter.partition,
        "offset": letter.offset,
        "key": letter.key,
        "event_id": str(letter.event_id) if letter.event_id else None,
        "type": letter.type,
        "code": letter.code,
        "reason": letter.reason,
        "attempts": letter.attempts,
        "buried_at": letter.buried_at.isoformat(),
        "retry_requested_at": letter.retry_requested_at.isoformat() if letter.retry_requested_at else None,
    }


def _content(letter: DeadLetter) -> dict[str, Any]:
    headers = {name: value.decode("utf-8", "replace") for name, value in letter.headers}
    if letter.value is None:
        return {"headers": headers, "value": None}
    try:
        return {"headers": headers, "value": json.loads(letter.value)}
    except ValueError:
        return {"headers": headers, "value": letter.value.decode("utf-8", "backslashreplace")}


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(dead_letters, name="dead-letters")
