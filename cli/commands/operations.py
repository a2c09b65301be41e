"""`regulars migrate`, `topics` and `replay`: what an operator does now and then."""

import asyncio
import contextlib
import json
from collections.abc import Iterator
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from cli.commands.options import HomeOption, JsonOption
from cli.databases import bus_of, databases_of, reachable_servers, service_named
from cli.platform import SERVICES, Home, NothingStarted
from shared.bus import BusUnavailable
from shared.events import TOPICS

__all__ = ["register"]


def migrate(
    home: HomeOption = None,
    check: Annotated[
        bool, typer.Option("--check", help="Change nothing; exit code 1 if a database is behind.")
    ] = False,
) -> None:
    """Bring the databases of all five services up to this release."""
    from cli.platform.provision import databases_behind
    from cli.platform.provision import migrate as upgrade

    where = Home(home)
    urls = {service: where.database_url(service) for service in SERVICES}
    known = {service: url for service, url in urls.items() if url is not None}
    if not known:
        raise NothingStarted(
            f"No database is known: nothing was started under {where} yet. Run `regulars up`, name another"
            " --home, or set REGULARS_<SERVICE>_DATABASE_URL."
        )
    with reachable_servers(where):
        behind = asyncio.run(databases_behind(known))
        if behind and not check:
            asyncio.run(upgrade(known))
    if not behind:
        print("all databases are up to date")
    elif check:
        print(f"behind: {', '.join(behind)}")
        raise typer.Exit(1)
    else:
        print(f"brought up to date: {', '.join(behind)}")


def topics(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """List the topics of the bus: what they carry, how long it is kept, how many records there were."""
    records = asyncio.run(_records(Home(home)))
    rows = [
        {
            "topic": topic.name,
            "carries": topic.carries,
            "partitions": topic.partitions,
            "kept_days": None if topic.retention is None else topic.retention.days,
            "compacted": topic.compacted,
            "personal": topic.personal,
            "records": records.get(topic.name),
        }
        for topic in TOPICS.values()
    ]
    if as_json:
        print(json.dumps(rows))
        return
    table = Table()
    for heading, is_text in (("topic", False), ("carries", True), ("kept", False), ("records", False)):
        table.add_column(heading, no_wrap=not is_text)
    for row in rows:
        kept = "per key" if row["compacted"] else f"{row['kept_days']} days"
        count = "?" if row["records"] is None else f"{row['records']:,}"
        table.add_row(str(row["topic"]), str(row["carries"]), kept, count)
    Console().print(table)


async def _records(home: Home) -> dict[str, int]:
    """Records ever written, by topic; nothing if the bus cannot be asked."""
    counts: dict[str, int] = {}
    with contextlib.suppress(NothingStarted, BusUnavailable):
        async with bus_of(home) as bus:
            for (topic, _), offset in (await bus.end_offsets(list(TOPICS))).items():
                counts[topic] = counts.get(topic, 0) + offset
    return counts


def replay(
    service: Annotated[str, typer.Argument(help="Which service hears everything again.")],
    topic: Annotated[list[str] | None, typer.Option(help="Only these topics; repeat for more.")] = None,
    home: HomeOption = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Have a service hear all records again that the bus still has, as after restoring its database.

    What it knows already changes nothing: its inbox passes over every event that it has applied.
    """
    where = Home(home)
    name = service_named(service)
    unknown = set(topic or []) - set(TOPICS)
    if unknown:
        raise typer.BadParameter(f"no such topic: {', '.join(sorted(unknown))}")
    if not yes:
        typer.confirm(
            f"Stop {name}, and have it hear {', '.join(topic or ['every topic'])} again?", abort=True
        )
    with reachable_servers(where), _stopped(where, name):
        count = asyncio.run(_rewind(where, name, topic or list(TOPICS)))
    print(f"{name} hears {count} partitions again from their oldest record")


@contextlib.contextmanager
def _stopped(home: Home, service: str) -> Iterator[None]:
    """The service is stopped inside, if the platform runs."""
    if home.state() is None:
        yield
        return
    # Installed wherever a platform was started.
    from cli.platform.supervision import Supervisor

    supervisor = Supervisor(home, [])
    try:
        supervisor.stop_program(service)
    except OSError:
        yield
        return
    try:
        yield
    finally:
        supervisor.start_program(service)


async def _rewind(home: Home, service: str, wanted: list[str]) -> int:
    async with databases_of(home, [service]), bus_of(home) as bus:
        offsets = dict.fromkeys(await bus.committed(service, wanted), 0)
        if offsets:
            await bus.reset(service, offsets)
    return len(offsets)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("migrate")(migrate)
    app.command("topics")(topics)
    app.command("replay")(replay)
