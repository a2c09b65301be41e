"""`regulars doctor`: what is wrong, and what to do."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

import typer
from rich.console import Console

from cli.commands.options import HomeOption
from cli.demo.purchases import DatasetMissing, dataset
from cli.embedded.kafka import unavailable_reason
from cli.embedded.ports import is_free
from cli.embedded.postgres import EmbeddedPostgres
from cli.platform import SERVICES, Home, PlatformState
from cli.platform.platform import Platform

__all__ = ["register"]

ENOUGH_DISK_BYTES = 2 * 1024**3


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at; `advice` is what to do if it is not as it should be."""

    what: str
    advice: str | None = None


def doctor(
    home: HomeOption = None,
    kafka: Annotated[bool, typer.Option("--kafka", help="Also whether Kafka could run here.")] = False,
) -> None:
    """Look at the platform and this machine, and say what to do; exit code 1 if anything is wrong."""
    where = Home(home)
    console = Console()
    ill = 0
    for finding in (*_machine(where, kafka), *_platform(where)):
        ill += finding.advice is not None
        mark = "[green]✓[/]" if finding.advice is None else "[bold red]✗[/]"
        console.print(f"{mark} {finding.what}", highlight=False, soft_wrap=True)
        if finding.advice is not None:
            console.print(f"    {finding.advice}", highlight=False, soft_wrap=True)
    if ill:
        raise typer.Exit(1)


def _machine(home: Home, kafka: bool) -> Iterator[Finding]:
    existing = next(folder for folder in (home.path, *home.path.parents) if folder.exists())
    free = shutil.disk_usage(existing).free
    too_little = "Free some: PostgreSQL stops when it cannot write." if free < ENOUGH_DISK_BYTES else None
    yield Finding(f"{free / 1024**3:.1f} GB free for {home}", too_little)
    try:
        yield Finding(f"the demo's purchase history is at {dataset()}")
    except DatasetMissing as missing:
        yield Finding("the demo's purchase history is missing", str(missing))
    if kafka:
        reason = unavailable_reason()
        yield Finding("Kafka can run here" if reason is None else "Kafka cannot run here", reason)


def _platform(home: Home) -> Iterator[Finding]:
    state = home.state()
    if state is None:
        yield Finding(f"nothing was started under {home} yet")
        for service, port in SERVICES.items():
            taken = None if is_free(port) else "Start with --port-base, or stop what listens there."
            yield Finding(f"port {port} for {service}", taken)
        return
    if not home.runs():
        yield Finding(f"the platform under {home} does not run", f"Run `regulars up --home {home}`.")
        return
    if state.embedded_postgres:
        running = EmbeddedPostgres(home.postgres).pid is not None
        advice = None if running else f"It is being started again; its log is {home.postgres}/postgres.log."
        yield Finding(f"PostgreSQL is {'up' if running else 'down'}", advice)
    yield from _services(home, state)


def _services(home: Home, state: PlatformState) -> Iterator[Finding]:
    platform = Platform(home.path, bus=state.bus, ports=state.ports)
    for service in SERVICES:
        report = platform.ready(service)
        if report is None:
            yield Finding(f"{service} does not answer", f"Its log is {home.logs / f'{service}.log'}.")
            continue
        failed = [name for name, holds in report["checks"].items() if not holds]
        advice = {
            "database": "Its database is away: look at PostgreSQL.",
            "migrations": "Its database is of another release: run `regulars migrate`.",
            "consumer": "It stopped: most records were refused. `regulars dead-letters list` says why.",
            "serving": "It is about to stop.",
        }
        wrong = " ".join(advice.get(name, name) for name in failed)
        if report["bus"] == "down":
            wrong += " The bus is away: what is accepted meanwhile waits in the outbox."
        waiting = report["backlog"].get("dead_letters") or 0
        if waiting:
            wrong += f" {waiting} dead letters wait: `regulars dead-letters list --service {service}`."
        backlog = ", ".join(f"{name} {count}" for name, count in report["backlog"].items() if count)
        yield Finding(
            f"{service} is {report['status']}; to do: {backlog or 'nothing'}", wrong.strip() or None
        )


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("doctor")(doctor)
